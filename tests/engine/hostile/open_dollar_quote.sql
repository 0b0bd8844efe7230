-- expect: failed 42601
CREATE TABLE effect (); DO $x$ BEGIN END $$;