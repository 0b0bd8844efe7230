-- expect: unknown
CREATE TABLE effect (); COMMIT; SELECT bad;