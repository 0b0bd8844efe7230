-- The structure of everything a user made, one digest per kind. Names come out qualified, since nothing but
-- pg_catalog is on the path. Comments and statistics are not structure; privileges and owners are. Nothing that a dump
-- and restore changes may be in it: no number of an object, only of roles and tablespaces, which are the server's.

SELECT 'schemas', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, pg_get_userbyid(n.nspowner),
    (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a))
  FROM pg_namespace n WHERE {users_schemas}
) t(line);

SELECT 'relations', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relpersistence,
    c.reloptions::text, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reltablespace,
    pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
    (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
    (SELECT string_agg(a::text, ',' ORDER BY a::text)
     FROM aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) a))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND {users_schemas}
) t(line);

SELECT 'columns', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
    (SELECT concat_ws('.', o.collnamespace::regnamespace, o.collname) FROM pg_collation o WHERE o.oid = a.attcollation),
    pg_get_expr(d.adbin, d.adrelid),
    (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM aclexplode(a.attacl) x))
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {users_schemas}
) t(line);

SELECT 'constraints', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, k.conname, k.conrelid::regclass, k.contypid::regtype, k.convalidated,
    pg_get_constraintdef(k.oid))
  FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE {users_schemas}
) t(line);

SELECT 'indexes', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident, c.reloptions::text)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE {users_schemas}
) t(line);

SELECT 'views', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', r.ev_class::regclass, r.rulename, r.ev_enabled, pg_get_ruledef(r.oid))
  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE {users_schemas}
) t(line);

SELECT 'functions', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), p.prokind,
    pg_get_userbyid(p.proowner),
    CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid)
      ELSE (SELECT concat_ws('|', g.aggtransfn, g.aggfinalfn, g.aggcombinefn, format_type(g.aggtranstype, NULL), g.agginitval)
            FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END,
    (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {users_schemas}
) t(line);

SELECT 'triggers', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', pg_get_triggerdef(g.oid), g.tgenabled)
  FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT g.tgisinternal AND {users_schemas}
  UNION ALL
  SELECT concat_ws('|', e.evtname, e.evtevent, e.evtfoid::regproc, e.evtenabled, e.evttags::text) FROM pg_event_trigger e
) t(line);

SELECT 'types', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, y.typname, y.typtype, pg_get_userbyid(y.typowner), y.typnotnull, y.typdefault,
    CASE WHEN y.typtype = 'd' THEN format_type(y.typbasetype, y.typtypmod) END,
    (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = y.oid),
    (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(y.typacl, acldefault('T', y.typowner))) a))
  FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace WHERE y.typtype IN ('e', 'd', 'r', 'b', 'm') AND {users_schemas}
) t(line);

SELECT 'sequences', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', n.nspname, c.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
    s.seqcache, s.seqcycle)
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE {users_schemas}
) t(line);

SELECT 'policies', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', p.polrelid::regclass, p.polname, p.polcmd, p.polpermissive, p.polroles::text,
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  FROM pg_policy p
) t(line);

SELECT 'database', encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
FROM (
  SELECT concat_ws('|', 'extension', e.extname, e.extversion, n.nspname)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
  UNION ALL
  SELECT concat_ws('|', 'publication', p.pubname, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete) FROM pg_publication p
  UNION ALL
  SELECT concat_ws('|', 'server', f.srvname, f.srvoptions::text) FROM pg_foreign_server f
  UNION ALL
  SELECT concat_ws('|', 'default privileges', a.defaclrole, a.defaclnamespace::regnamespace, a.defaclobjtype, a.defaclacl::text)
  FROM pg_default_acl a
  UNION ALL
  SELECT concat_ws('|', 'setting', s.setrole, s.setconfig::text) FROM pg_db_role_setting s
  WHERE s.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
) t(line);
