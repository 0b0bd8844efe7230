-- expect: applied
CREATE TABLE effect (); SET synchronous_commit = off;