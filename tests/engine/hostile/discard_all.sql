-- expect: failed 25001
CREATE TABLE effect (); DISCARD ALL;