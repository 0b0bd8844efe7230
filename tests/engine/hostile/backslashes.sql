-- expect: applied
CREATE TABLE effect (); SET standard_conforming_strings = off;