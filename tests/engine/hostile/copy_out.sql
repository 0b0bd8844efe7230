-- expect: applied
CREATE TABLE effect (); COPY (SELECT 1) TO STDOUT;