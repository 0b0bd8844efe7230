-- expect: failed WB003
CREATE TABLE effect (); SELECT whimbrel.close();