-- expect: lost
CREATE TABLE effect (); SELECT pg_terminate_backend(pg_backend_pid());