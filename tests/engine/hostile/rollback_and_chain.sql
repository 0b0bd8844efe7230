-- expect: failed WB003
CREATE TABLE effect (); ROLLBACK AND CHAIN; CREATE TABLE after_it ();