-- expect: applied
SAVEPOINT a; CREATE TABLE effect (); ROLLBACK TO a; CREATE TABLE effect (); RELEASE a;