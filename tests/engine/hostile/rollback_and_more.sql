-- expect: failed WB003
CREATE TABLE effect (); ROLLBACK; CREATE TABLE after_it ();