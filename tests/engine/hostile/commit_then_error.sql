-- expect: unknown
CREATE TABLE effect (); COMMIT; SELECT 1/0;