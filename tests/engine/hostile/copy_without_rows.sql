-- expect: failed 57014
CREATE TABLE effect (i int);
COPY effect FROM stdin