//! What is in a database, in numbers that a restored copy must have too.
//!
//! Every table is counted, however big: the dump reads every row anyway, at the same time, and a count over sampled
//! blocks can't be compared, because a restored table has other blocks. Small tables also get a digest of their rows
//! that does not depend on their order.

use super::{BackupError, session::Session};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Tables up to this size get a digest of their rows. Hashing runs at some 100 MB/s, so that a thousand such tables
/// cost what ten minutes of a dump do.
const DIGEST_UP_TO: u64 = 64 << 20;
/// Differences that are named; the rest is counted.
const NAMED: usize = 3;

/// What was in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probes {
    /// By quoted name. Partitions count for themselves; tables of extensions are the extension's affair.
    pub tables: BTreeMap<String, TableProbe>,
    /// `<last value>/<called>` by quoted name. Read outside the snapshot, as the server has it no other way: equal
    /// only if nobody wrote while the dump was made.
    pub sequences: BTreeMap<String, String>,
    /// How many large objects.
    pub large_objects: u64,
    /// Digest over the first 10,000 large objects, the first 8 KiB of each.
    pub large_objects_digest: String,
    /// Numbers of catalogue objects by kind, extensions' own left out.
    pub objects: BTreeMap<String, u64>,
}

/// What is in one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableProbe {
    /// Rows, counted.
    pub rows: u64,
    /// Sum of the hashes of all rows, for tables of at most 64 MiB.
    pub digest: Option<String>,
}

/// A row's text depends on these; the source and the scratch server must write it the same way. `row_security = off`
/// makes a policy an error instead of a smaller count.
const SAME_TEXT: &str = "
SET row_security = off; SET search_path = ''; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';
SET timezone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C';
SET xmloption = 'content'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

#[derive(Deserialize)]
struct Relation {
    name: String,
    bytes: u64,
}

const TABLES: &str = "
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'name', format('%I.%I', n.nspname, c.relname), 'bytes', pg_relation_size(c.oid)) ORDER BY 1), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

const SEQUENCES: &str = "
SELECT coalesce(jsonb_agg(format('%I.%I', n.nspname, c.relname) ORDER BY 1), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

#[derive(Deserialize)]
struct LargeObjects {
    count: u64,
    digest: String,
}

const LARGE_OBJECTS: &str = "
SELECT jsonb_build_object(
  'count', (SELECT count(*) FROM pg_largeobject_metadata),
  'digest', (SELECT coalesce(sum(hashtextextended(oid::text || ':' || md5(lo_get(oid, 0, 8192)), 0)), 0)::text
               FROM (SELECT oid FROM pg_largeobject_metadata ORDER BY oid LIMIT 10000) first))";

/// NOT NULL became a constraint with a row of its own in 18 and is left out: a newer scratch server has more of them.
const OBJECTS: &str = "
WITH part_of_extension AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
relation AS (
  SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND (c.oid NOT IN (SELECT objid FROM part_of_extension WHERE classid = 'pg_class'::regclass)))
SELECT jsonb_build_object(
  'tables', (SELECT count(*) FROM relation WHERE relkind IN ('r', 'p')),
  'foreign tables', (SELECT count(*) FROM relation WHERE relkind = 'f'),
  'views', (SELECT count(*) FROM relation WHERE relkind IN ('v', 'm')),
  'indexes', (SELECT count(*) FROM pg_index WHERE indrelid IN (SELECT oid FROM relation)),
  'constraints', (SELECT count(*) FROM pg_constraint
                   WHERE contype <> 'n' AND conrelid IN (SELECT oid FROM relation)),
  'triggers', (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM relation)),
  'policies', (SELECT count(*) FROM pg_policy WHERE polrelid IN (SELECT oid FROM relation)),
  'functions', (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND p.oid NOT IN (SELECT objid FROM part_of_extension WHERE classid = 'pg_proc'::regclass)))";

/// Makes the session write rows as every other probing session does.
pub(super) async fn prepare(session: &mut Session) -> Result<(), BackupError> {
    session.run(SAME_TEXT).await
}

/// Reads everything, in the transaction that the session is in.
pub(super) async fn read(session: &mut Session) -> Result<Probes, BackupError> {
    let mut probes = Probes::default();
    for table in session.value::<Vec<Relation>>(TABLES).await? {
        let digest = if table.bytes <= DIGEST_UP_TO {
            "coalesce(sum(hashtextextended(whimbrel_row::text COLLATE \"C\", 0)), 0)::text"
        } else {
            "NULL"
        };
        let name = table.name;
        let sql = format!(
            "SELECT jsonb_build_object('rows', count(*), 'digest', {digest}) FROM ONLY {name} AS whimbrel_row"
        );
        let probe = session.value(&sql).await?;
        probes.tables.insert(name, probe);
    }
    for name in session.value::<Vec<String>>(SEQUENCES).await? {
        let sql = format!("SELECT to_jsonb(last_value || '/' || is_called) FROM {name}");
        let value = session.value(&sql).await?;
        probes.sequences.insert(name, value);
    }
    let large: LargeObjects = session.value(LARGE_OBJECTS).await?;
    probes.large_objects = large.count;
    probes.large_objects_digest = large.digest;
    probes.objects = session.value(OBJECTS).await?;
    Ok(probes)
}

impl Probes {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|it| it.rows).sum()
    }

    /// What a restored copy has otherwise than these, one sentence each; nothing if it is equal.
    ///
    /// A digest that one side has not, because the table's file is of another size there, is not compared.
    pub fn differences(&self, restored: &Self) -> Vec<String> {
        let mut all = Vec::new();
        for name in keys(&self.tables, &restored.tables) {
            match (self.tables.get(name), restored.tables.get(name)) {
                (Some(_), None) => all.push(format!("table {name} is missing")),
                (None, _) => all.push(format!("table {name} was not in the database")),
                (Some(had), Some(has)) if had.rows != has.rows => {
                    all.push(format!("table {name} has {} rows, the snapshot had {}", has.rows, had.rows));
                }
                (Some(TableProbe { digest: Some(had), .. }), Some(TableProbe { digest: Some(has), .. }))
                    if had != has =>
                {
                    all.push(format!("table {name} has as many rows as the snapshot, but others"));
                }
                _ => {}
            }
        }
        for name in keys(&self.sequences, &restored.sequences) {
            let (had, has) = (self.sequences.get(name), restored.sequences.get(name));
            if had != has {
                let word = |it: Option<&String>| it.map_or("missing", String::as_str).to_owned();
                all.push(format!("sequence {name} is {}, was {}", word(has), word(had)));
            }
        }
        if self.large_objects != restored.large_objects {
            all.push(format!(
                "there are {} large objects, the snapshot had {}",
                restored.large_objects, self.large_objects
            ));
        } else if self.large_objects_digest != restored.large_objects_digest {
            all.push("the large objects have other contents than in the snapshot".into());
        }
        for kind in keys(&self.objects, &restored.objects) {
            let number = |it: &BTreeMap<String, u64>| it.get(kind).copied().unwrap_or(0);
            let (had, has) = (number(&self.objects), number(&restored.objects));
            if had != has {
                all.push(format!("there are {has} {kind}, the snapshot had {had}"));
            }
        }
        if all.len() > NAMED {
            let more = all.len() - NAMED;
            all.truncate(NAMED);
            all.push(format!("and {more} more"));
        }
        all
    }
}

fn keys<'a, V>(one: &'a BTreeMap<String, V>, other: &'a BTreeMap<String, V>) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(rows: u64, digest: Option<&str>) -> Probes {
        let table = TableProbe { rows, digest: digest.map(str::to_owned) };
        Probes {
            tables: [("public.users".to_owned(), table)].into(),
            sequences: [("public.s".to_owned(), "7/true".to_owned())].into(),
            large_objects: 1,
            large_objects_digest: "5".into(),
            objects: [("indexes".to_owned(), 3)].into(),
        }
    }

    #[test]
    fn equal_probes_differ_in_nothing() {
        assert_eq!(probes(3, Some("9")).differences(&probes(3, Some("9"))), [""; 0]);
        assert_eq!(probes(3, None).differences(&probes(3, Some("9"))), [""; 0], "sizes on disk may differ");
    }

    #[test]
    fn each_difference_is_a_sentence() {
        let source = probes(3, Some("9"));
        assert_eq!(
            source.differences(&probes(2, Some("9"))),
            ["table public.users has 2 rows, the snapshot had 3"]
        );
        assert_eq!(
            source.differences(&probes(3, Some("8"))),
            ["table public.users has as many rows as the snapshot, but others"]
        );
        let mut other = probes(3, Some("9"));
        other.sequences.clear();
        other.large_objects_digest = "6".into();
        other.objects.insert("indexes".into(), 2);
        assert_eq!(
            source.differences(&other),
            [
                "sequence public.s is missing, was 7/true",
                "the large objects have other contents than in the snapshot",
                "there are 2 indexes, the snapshot had 3",
            ]
        );
        assert_eq!(
            source.differences(&Probes::default()),
            [
                "table public.users is missing",
                "sequence public.s is missing, was 7/true",
                "there are 0 large objects, the snapshot had 1",
                "and 1 more",
            ]
        );
    }
}
