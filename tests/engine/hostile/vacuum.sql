-- expect: failed 25001
CREATE TABLE effect (); VACUUM effect;