//! What a database is beside its contents: owner, locale, grants, settings. A dump of the contents has none of it.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::{Deserialize, Serialize};

/// What a restored database must have as the original had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Properties {
    /// The role that owns it.
    pub owner: String,
    /// Character set, such as `UTF8`.
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// Who knows the locale: `c` libc, `i` ICU, `b` the server itself.
    pub provider: String,
    /// Name of the locale for providers other than libc.
    pub locale: Option<String>,
    /// Additional rules of an ICU locale; servers from 16 on have them.
    pub icu_rules: Option<String>,
    /// Where its files are.
    pub tablespace: String,
    /// How many sessions of ordinary roles; -1 is any number.
    pub connection_limit: i32,
    /// Who may do what with it, the owner's own rights included.
    pub grants: Vec<Grant>,
    /// What `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET` say.
    pub settings: Vec<Setting>,
    /// Its comment.
    pub comment: Option<String>,
}

/// One right on a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Who gave it.
    pub grantor: String,
    /// Who has it; `None` is everybody.
    pub grantee: Option<String>,
    /// `CREATE`, `TEMPORARY`, `CONNECT`.
    pub privilege: String,
    /// Whether it may be given on.
    pub grantable: bool,
}

/// The settings that hold in a database, for everybody or for one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// For whom; `None` is everybody.
    pub role: Option<String>,
    /// `name=value`, as the catalogue has them.
    pub values: Vec<String>,
}

/// Settings whose value is a list of names, quoted one by one. As one text they would become one name with commas in it.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

impl Properties {
    /// A query that gives the properties of `database` as one JSON value, from any database of the server. Columns that
    /// only newer servers have are read through the whole row.
    pub fn query(database: &str) -> String {
        format!(
            "SELECT jsonb_build_object(
  'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
  'collate', d.datcollate, 'ctype', d.datctype,
  'provider', coalesce(to_jsonb(d)->>'datlocprovider', 'c'),
  'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
  'icuRules', to_jsonb(d)->>'daticurules',
  'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace),
  'connectionLimit', d.datconnlimit,
  'grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('grantor', pg_get_userbyid(a.grantor),
      'grantee', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END,
      'privilege', a.privilege_type, 'grantable', a.is_grantable)
      ORDER BY a.grantor <> d.datdba, a.grantor, a.grantee, a.privilege_type), '[]')
    FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a),
  'settings', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'role', CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END, 'values', to_jsonb(s.setconfig))
      ORDER BY s.setrole), '[]')
    FROM pg_db_role_setting s WHERE s.setdatabase = d.oid),
  'comment', shobj_description(d.oid, 'pg_database'))
  FROM pg_database d WHERE d.datname = {}",
            escape_literal(database).trim()
        )
    }

    /// The statement that makes an empty database `name` with the owner, encoding and locale of these.
    pub fn create(&self, name: &str) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            escape_identifier(name),
            escape_identifier(&self.owner),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype),
        );
        let named = self.locale.as_deref().map(literal);
        match (self.provider.as_str(), named) {
            ("i", Some(name)) => {
                sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {name}"));
                if let Some(rules) = &self.icu_rules {
                    sql.push_str(&format!(" ICU_RULES {}", literal(rules)));
                }
            }
            ("b", Some(name)) => sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {name}")),
            _ => {}
        }
        sql
    }

    /// As [`Properties::create`], for the same server: in the original's tablespace.
    pub fn create_beside(&self, name: &str) -> String {
        // Named, even the server's default needs a right on it that ordinary roles have not.
        if self.tablespace == "pg_default" {
            return self.create(name);
        }
        format!("{} TABLESPACE {}", self.create(name), escape_identifier(&self.tablespace))
    }

    /// The statements that give `name`, which has the grants of `now`, the grants of these: what is too much first.
    pub fn grant(&self, name: &str, now: &Self) -> Vec<String> {
        let database = escape_identifier(name);
        let too_much = now.grants.iter().filter(|it| !self.grants.contains(it));
        let missing = self.grants.iter().filter(|it| !now.grants.contains(it));
        let revoke = too_much
            .map(|it| (it, format!("REVOKE {} ON DATABASE {database} FROM {}", it.privilege, grantee(it))));
        let grant = missing.map(|it| {
            let option = if it.grantable { " WITH GRANT OPTION" } else { "" };
            (it, format!("GRANT {} ON DATABASE {database} TO {}{option}", it.privilege, grantee(it)))
        });
        revoke.chain(grant).flat_map(|(it, sql)| self.as_grantor(it, sql)).collect()
    }

    /// The owner's grants are anybody's who may act as the owner; another grantor's only the grantor's own.
    fn as_grantor(&self, grant: &Grant, sql: String) -> Vec<String> {
        if grant.grantor == self.owner {
            return vec![sql];
        }
        vec![format!("SET ROLE {}", escape_identifier(&grant.grantor)), sql, "RESET ROLE".to_owned()]
    }

    /// The statements that give `name`, a database without settings, the settings and the connection limit of these.
    /// After its contents are there: some of them would keep a restore out.
    pub fn set(&self, name: &str) -> Vec<String> {
        let database = escape_identifier(name);
        let mut statements = Vec::new();
        for Setting { role, values } in &self.settings {
            let whose = match role {
                Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", escape_identifier(role)),
                None => format!("ALTER DATABASE {database}"),
            };
            for (key, value) in values.iter().filter_map(|it| it.split_once('=')) {
                statements.push(format!(
                    "{whose} SET {} TO {}",
                    setting_name(key),
                    setting_value(key, value)
                ));
            }
        }
        if self.connection_limit != -1 {
            statements.push(format!("ALTER DATABASE {database} CONNECTION LIMIT {}", self.connection_limit));
        }
        statements
    }

    /// What `copy` has otherwise, one sentence each. Comments are not compared: a copy's says that it is one.
    pub fn differences(&self, copy: &Self) -> Vec<String> {
        let pairs = [
            ("owner", self.owner.clone(), copy.owner.clone()),
            ("encoding", self.encoding.clone(), copy.encoding.clone()),
            ("LC_COLLATE", self.collate.clone(), copy.collate.clone()),
            ("LC_CTYPE", self.ctype.clone(), copy.ctype.clone()),
            ("locale provider", self.provider.clone(), copy.provider.clone()),
            ("locale", format!("{:?}", self.locale), format!("{:?}", copy.locale)),
            ("ICU rules", format!("{:?}", self.icu_rules), format!("{:?}", copy.icu_rules)),
            ("tablespace", self.tablespace.clone(), copy.tablespace.clone()),
            ("connection limit", self.connection_limit.to_string(), copy.connection_limit.to_string()),
        ];
        let mut all: Vec<_> = pairs
            .into_iter()
            .filter(|(_, had, has)| had != has)
            .map(|(what, had, has)| format!("its {what} is {has}, the original's was {had}"))
            .collect();
        if sorted(&self.grants) != sorted(&copy.grants) {
            all.push("the grants on it are others than the original's".to_owned());
        }
        if sorted(&self.settings) != sorted(&copy.settings) {
            all.push(
                "its settings (ALTER DATABASE, ALTER ROLE … IN DATABASE) are others than the original's"
                    .to_owned(),
            );
        }
        all
    }
}

/// Roles are ordered by number at the server, which says nothing here.
fn sorted<T: std::fmt::Debug>(all: &[T]) -> Vec<String> {
    let mut all: Vec<_> = all.iter().map(|it| format!("{it:?}")).collect();
    all.sort();
    all
}

fn grantee(grant: &Grant) -> String {
    grant.grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), escape_identifier)
}

/// `escape_literal` puts a blank before the `E` of a text with a backslash.
fn literal(text: &str) -> String {
    escape_literal(text).trim_start().to_owned()
}

/// Settings of extensions have a dot between two names.
fn setting_name(name: &str) -> String {
    name.split('.').map(escape_identifier).collect::<Vec<_>>().join(".")
}

fn setting_value(name: &str, value: &str) -> String {
    if !LISTS.contains(&name) {
        return literal(value);
    }
    let names = names(value);
    // The empty list is written as the empty text.
    if names.is_empty() {
        "''".to_owned()
    } else {
        names.iter().map(|it| literal(it)).collect::<Vec<_>>().join(", ")
    }
}

/// The names of a list such as `"$user", public`.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut letters = list.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace() || *letter == ',').is_some() {}
        let Some(first) = letters.peek().copied() else { return names };
        let mut name = String::new();
        if first == '"' {
            letters.next();
            while let Some(letter) = letters.next() {
                // Doubled inside the quotes, it is one of the name's own.
                if letter == '"' && letters.next_if_eq(&'"').is_none() {
                    break;
                }
                name.push(letter);
            }
        } else {
            while let Some(letter) = letters.next_if(|letter| *letter != ',') {
                name.push(letter);
            }
            name.truncate(name.trim_end().len());
        }
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties() -> Properties {
        Properties {
            owner: "o\"wner".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            provider: "c".into(),
            locale: None,
            icu_rules: None,
            tablespace: "pg_default".into(),
            connection_limit: -1,
            grants: vec![grant("o\"wner", None, "CONNECT"), grant("o\"wner", Some("o\"wner"), "CREATE")],
            settings: vec![],
            comment: None,
        }
    }

    fn grant(grantor: &str, grantee: Option<&str>, privilege: &str) -> Grant {
        Grant {
            grantor: grantor.into(),
            grantee: grantee.map(str::to_owned),
            privilege: privilege.into(),
            grantable: false,
        }
    }

    #[test]
    fn a_copy_is_made_as_the_original_was() {
        assert_eq!(
            Properties { tablespace: "fast".into(), ..properties() }.create_beside("n"),
            "CREATE DATABASE \"n\" TEMPLATE template0 OWNER \"o\"\"wner\" ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' \
             TABLESPACE \"fast\""
        );
        assert_eq!(properties().create_beside("n"), properties().create("n"));
        let icu = Properties {
            provider: "i".into(),
            locale: Some("de-DE".into()),
            icu_rules: Some("&V << w".into()),
            ..properties()
        };
        assert!(icu.create("n").ends_with(" LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' ICU_RULES '&V << w'"));
        let builtin = Properties { provider: "b".into(), locale: Some("C.UTF-8".into()), ..properties() };
        assert!(builtin.create("n").ends_with(" LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"));
    }

    #[test]
    fn only_what_differs_is_granted_and_each_by_its_grantor() {
        let had = Properties {
            grants: vec![
                grant("o\"wner", Some("o\"wner"), "CREATE"),
                Grant { grantable: true, ..grant("o\"wner", Some("a"), "CONNECT") },
                grant("a", Some("b"), "CONNECT"),
            ],
            ..properties()
        };
        assert_eq!(
            had.grant("n", &properties()),
            [
                "REVOKE CONNECT ON DATABASE \"n\" FROM PUBLIC",
                "GRANT CONNECT ON DATABASE \"n\" TO \"a\" WITH GRANT OPTION",
                "SET ROLE \"a\"",
                "GRANT CONNECT ON DATABASE \"n\" TO \"b\"",
                "RESET ROLE",
            ]
        );
        assert_eq!(had.grant("n", &had), [""; 0]);
        assert_eq!(had.differences(&properties()), ["the grants on it are others than the original's"]);
    }

    #[test]
    fn settings_come_back_as_they_were_written() {
        let had = Properties {
            connection_limit: 9,
            settings: vec![
                Setting {
                    role: None,
                    values: vec!["search_path=\"$user\", public".into(), "a.b=it's=x".into()],
                },
                Setting { role: Some("r".into()), values: vec!["search_path=\"\"".into()] },
            ],
            ..properties()
        };
        assert_eq!(
            had.set("n"),
            [
                "ALTER DATABASE \"n\" SET \"search_path\" TO '$user', 'public'",
                "ALTER DATABASE \"n\" SET \"a\".\"b\" TO 'it''s=x'",
                "ALTER ROLE \"r\" IN DATABASE \"n\" SET \"search_path\" TO ''",
                "ALTER DATABASE \"n\" CONNECTION LIMIT 9",
            ]
        );
        assert_eq!(
            had.differences(&properties()),
            [
                "its connection limit is -1, the original's was 9",
                "its settings (ALTER DATABASE, ALTER ROLE … IN DATABASE) are others than the original's",
            ]
        );
    }

    #[test]
    fn a_list_is_read_as_the_server_reads_it() {
        assert_eq!(names("a, \"B, \"\"c\" ,d e"), ["a", "B, \"c", "d e"]);
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("\"\""), [""]);
    }
}
