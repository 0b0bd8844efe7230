-- expect: unknown
CREATE TABLE effect (); END;