-- expect: applied
CREATE TABLE effect (); CREATE SCHEMA mine;
CREATE FUNCTION mine.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS $$ SELECT '1'::xid8 $$;
SET search_path = mine, pg_catalog;