-- expect: applied
BEGIN; CREATE TABLE effect ();