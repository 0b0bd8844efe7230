//! The roles that a restore needs: read from the source, made again in a scratch server with the same attributes.
//!
//! A dump of one database holds no roles; a restore as a superuser hides that the real role can't restore.

use super::{BackupError, session::Session};
use serde::{Deserialize, Serialize};

/// A role as the source has it, without its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// SUPERUSER.
    pub superuser: bool,
    /// INHERIT.
    pub inherit: bool,
    /// CREATEROLE.
    pub create_role: bool,
    /// CREATEDB.
    pub create_db: bool,
    /// LOGIN.
    pub login: bool,
    /// BYPASSRLS.
    pub bypass_rls: bool,
    /// The roles it is a member of.
    pub member_of: Vec<Membership>,
}

/// That a role is a member of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Membership {
    /// The other one.
    pub role: String,
    /// Whether it may pass the membership on.
    pub admin: bool,
    /// Whether it has the other's rights by itself; only servers from 16 on say so.
    pub inherit: Option<bool>,
    /// Whether it may become the other; only servers from 16 on say so.
    pub set: Option<bool>,
}

/// Everybody who owns or was granted something in this database, its owner, ourselves, and all these are members of.
const NEEDED: &str = "
WITH RECURSIVE needed(oid) AS (
  SELECT refobjid FROM pg_shdepend
   WHERE refclassid = 'pg_authid'::regclass
     AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
          OR classid = 'pg_database'::regclass
             AND objid = (SELECT oid FROM pg_database WHERE datname = current_database()))
  UNION SELECT datdba FROM pg_database WHERE datname = current_database()
  UNION SELECT oid FROM pg_roles WHERE rolname = session_user
  UNION SELECT m.roleid FROM pg_auth_members m JOIN needed n ON m.member = n.oid
)
SELECT coalesce(jsonb_agg(jsonb_build_object(
  'name', r.rolname, 'superuser', r.rolsuper, 'inherit', r.rolinherit, 'createRole', r.rolcreaterole,
  'createDb', r.rolcreatedb, 'login', r.rolcanlogin, 'bypassRls', r.rolbypassrls,
  'memberOf', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'role', g.rolname, 'admin', m.admin_option,
      'inherit', (to_jsonb(m)->>'inherit_option')::bool, 'set', (to_jsonb(m)->>'set_option')::bool)
      ORDER BY g.rolname), '[]')
    FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
) ORDER BY r.rolname), '[]') FROM pg_roles r JOIN needed n ON n.oid = r.oid";

pub(super) async fn needed(session: &mut Session) -> Result<Vec<Role>, BackupError> {
    session.value(NEEDED).await
}

/// The statements that make the roles in an empty server.
pub(super) fn statements(roles: &[Role]) -> Vec<String> {
    // Names with this prefix are the server's own, there already.
    let own = roles.iter().filter(|role| !role.name.starts_with("pg_"));
    let made = own.clone().map(|role| {
        let word = |on: bool, word: &str| if on { word.to_owned() } else { format!("NO{word}") };
        format!(
            "CREATE ROLE {} {} {} {} {} {} {}",
            identifier(&role.name),
            word(role.superuser, "SUPERUSER"),
            word(role.inherit, "INHERIT"),
            word(role.create_role, "CREATEROLE"),
            word(role.create_db, "CREATEDB"),
            word(role.login, "LOGIN"),
            word(role.bypass_rls, "BYPASSRLS"),
        )
    });
    let granted = own.flat_map(|role| role.member_of.iter().map(|it| grant(&role.name, it)));
    made.chain(granted).collect()
}

fn grant(member: &str, membership: &Membership) -> String {
    let mut options = vec![];
    if membership.admin {
        options.push("ADMIN OPTION".to_owned());
    }
    for (word, said) in [("INHERIT", membership.inherit), ("SET", membership.set)] {
        options.extend(said.map(|on| format!("{word} {}", if on { "TRUE" } else { "FALSE" })));
    }
    let with = if options.is_empty() { String::new() } else { format!(" WITH {}", options.join(", ")) };
    format!("GRANT {} TO {}{with}", identifier(&membership.role), identifier(member))
}

/// A name as SQL quotes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL quotes it. `E''` never means anything else, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, member_of: Vec<Membership>) -> Role {
        Role {
            name: name.into(),
            superuser: false,
            inherit: true,
            create_role: false,
            create_db: true,
            login: false,
            bypass_rls: false,
            member_of,
        }
    }

    #[test]
    fn roles_come_before_the_grants_between_them() {
        let membership =
            |admin, inherit, set| Membership { role: "pg_read_all_data".into(), admin, inherit, set };
        let roles = [
            role("a\"b", vec![membership(false, None, None), membership(true, Some(false), Some(true))]),
            role("pg_read_all_data", vec![]),
            role("z", vec![]),
        ];
        let attributes = "NOSUPERUSER INHERIT NOCREATEROLE CREATEDB NOLOGIN NOBYPASSRLS";
        assert_eq!(
            statements(&roles),
            [
                format!("CREATE ROLE \"a\"\"b\" {attributes}"),
                format!("CREATE ROLE \"z\" {attributes}"),
                "GRANT \"pg_read_all_data\" TO \"a\"\"b\"".to_owned(),
                "GRANT \"pg_read_all_data\" TO \"a\"\"b\" WITH ADMIN OPTION, INHERIT FALSE, SET TRUE"
                    .to_owned(),
            ]
        );
        assert_eq!(literal("o'c\\"), "E'o\\'c\\\\'");
    }
}
