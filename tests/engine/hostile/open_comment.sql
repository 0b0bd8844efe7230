-- expect: failed 42601
CREATE TABLE effect (); /* a /* b */