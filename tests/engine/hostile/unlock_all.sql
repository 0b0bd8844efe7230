-- expect: applied
CREATE TABLE effect (); SELECT pg_advisory_unlock_all();