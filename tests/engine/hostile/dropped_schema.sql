-- expect: failed 3F000
CREATE TABLE effect (); DROP SCHEMA whimbrel CASCADE;