-- expect: applied
CREATE TABLE effect (); SELECT * FROM generate_series(1, 100000);