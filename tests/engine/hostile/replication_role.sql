-- expect: applied
-- owner: failed 42501
CREATE TABLE effect (); SET session_replication_role = replica;