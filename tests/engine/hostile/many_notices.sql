-- expect: applied
CREATE TABLE effect (); DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE WARNING 'n'; END LOOP; END $$;