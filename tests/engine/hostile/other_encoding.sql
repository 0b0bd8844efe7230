-- expect: applied
CREATE TABLE effect (); SET client_encoding = 'LATIN1';