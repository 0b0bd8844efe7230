-- expect: applied
CREATE TABLE effect (); CREATE SCHEMA mine; SET search_path = mine, pg_catalog;