-- expect: unknown
CREATE TABLE effect (); COMMIT;