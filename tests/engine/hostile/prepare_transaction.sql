-- expect: failed 0A000
CREATE TABLE effect (); PREPARE TRANSACTION $$hostile$$;