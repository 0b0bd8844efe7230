-- expect: applied
CREATE TABLE effect (); SET statement_timeout = 200;