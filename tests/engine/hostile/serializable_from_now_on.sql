-- expect: applied
CREATE TABLE effect (); SET default_transaction_isolation = 'serializable';