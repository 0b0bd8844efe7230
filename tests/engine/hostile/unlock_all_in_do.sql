-- expect: applied
CREATE TABLE effect (); DO $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$;