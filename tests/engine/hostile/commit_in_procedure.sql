-- expect: failed 2D000
CREATE TABLE effect ();
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CALL p();