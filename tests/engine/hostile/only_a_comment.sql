-- expect: applied no effect
/* nothing */