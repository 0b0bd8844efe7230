-- expect: applied
-- owner: failed 42501
CREATE TABLE effect (); SET ROLE pg_monitor;