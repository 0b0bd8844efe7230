-- expect: failed WB003
CREATE TABLE effect (); ROLLBACK;