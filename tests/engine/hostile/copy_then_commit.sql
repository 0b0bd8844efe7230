-- expect: unknown
CREATE TABLE effect (i int);
COPY effect FROM stdin;
1
\.
COMMIT;
