-- expect: failed WB003
CREATE TABLE effect (); UPDATE whimbrel.journal SET state = 'Applied';