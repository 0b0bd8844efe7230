-- expect: failed 2D000
CREATE TABLE effect (); DO $$ BEGIN COMMIT; END $$;