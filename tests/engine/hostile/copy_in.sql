-- expect: failed 57014
CREATE TABLE effect (); COPY effect FROM STDIN;