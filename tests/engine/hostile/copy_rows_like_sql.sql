-- expect: applied
CREATE TABLE effect (t text);
COPY effect FROM stdin;
COMMIT; ROLLBACK; $$ ' /* -- "
'); DROP TABLE effect; --
\.
