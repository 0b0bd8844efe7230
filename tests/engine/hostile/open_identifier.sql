-- expect: failed 42601
CREATE TABLE effect (); SELECT 1 AS "abc