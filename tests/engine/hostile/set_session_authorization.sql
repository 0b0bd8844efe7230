-- expect: applied
-- owner: failed 42501
CREATE TABLE effect (); SET SESSION AUTHORIZATION pg_monitor;