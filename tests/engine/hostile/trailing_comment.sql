-- expect: applied
CREATE TABLE effect (); -- and no newline