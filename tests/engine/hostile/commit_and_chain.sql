-- expect: unknown
CREATE TABLE effect (); COMMIT AND CHAIN; CREATE TABLE after_it ();