-- expect: unknown
ROLLBACK; BEGIN; CREATE TABLE effect (); COMMIT;