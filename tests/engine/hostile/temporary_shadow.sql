-- expect: applied
CREATE TEMP TABLE history (rank int); CREATE TEMP TABLE pg_class (oid int); CREATE TABLE effect ();
SET search_path = pg_temp, pg_catalog;