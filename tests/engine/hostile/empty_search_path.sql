-- expect: applied
CREATE TABLE effect (); SET search_path = '';