-- expect: unknown
CREATE TABLE effect (); COMMIT; BEGIN; SELECT 1;