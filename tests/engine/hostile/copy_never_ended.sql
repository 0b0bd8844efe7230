-- expect: failed 42601
CREATE TABLE effect (i int);
COPY effect FROM stdin;
1
