//! What the catalogues say of a restore: what would be lost, what our role could not make again.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use crate::engine::postgresql::connect::Connection;
use crate::engine::postgresql::mark::USERS_SCHEMAS;
use crate::engine::postgresql::settings::Settings;
use crate::engine::postgresql::wire::Set;
use crate::engine::{EngineError, RestoreTrial};

/// From here on a role that inherits from another one may still be kept from becoming it.
const SET_OPTION: u32 = 160_000;

/// Not made by an extension, which makes its own things again.
const NOT_OF_EXTENSION: &str = "NOT EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e'";

/// One set per question; [`judge`] reads them in this order.
fn query(version: u32) -> String {
    let become_role = if version >= SET_OPTION { "SET" } else { "MEMBER" };
    let this = "(SELECT oid FROM pg_database WHERE datname = current_database())";
    let basics = "SELECT r.rolsuper, pg_has_role(d.datdba, 'USAGE'), pg_has_role('pg_signal_backend', 'USAGE'), \
         d.datistemplate, EXISTS (SELECT FROM pg_shseclabel l WHERE l.classoid = 'pg_database'::regclass AND l.objoid = d.oid), \
         pg_get_userbyid(d.datdba), pg_database_size(d.oid) \
         FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user";
    let slots = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1";
    let subscriptions = format!("SELECT subname FROM pg_subscription WHERE subdbid = {this} ORDER BY 1");
    let publications = "SELECT pubname FROM pg_publication WHERE puballtables ORDER BY 1";
    let triggers = format!(
        "SELECT t.evtname FROM pg_event_trigger t WHERE {NOT_OF_EXTENSION} \
         AND e.classid = 'pg_event_trigger'::regclass AND e.objid = t.oid) ORDER BY 1"
    );
    let prepared = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1";
    let extensions = "SELECT x.extname, x.extversion, a.default_version, coalesce(v.superuser AND NOT v.trusted, true) \
         FROM pg_extension x LEFT JOIN pg_available_extensions a ON a.name = x.extname \
         LEFT JOIN pg_available_extension_versions v ON v.name = x.extname AND v.version = a.default_version ORDER BY 1";
    // The superuser that made the server is in no pg_shdepend: what it owns is found in pg_class.
    let owners = format!(
        "SELECT DISTINCT pg_get_userbyid(o.owner) FROM ( \
           SELECT s.refobjid AS owner FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' \
             AND s.dbid = {this} AND {NOT_OF_EXTENSION} AND e.classid = s.classid AND e.objid = s.objid) \
           UNION ALL SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE {USERS_SCHEMAS} AND {NOT_OF_EXTENSION} AND e.classid = 'pg_class'::regclass AND e.objid = c.oid) \
         ) o WHERE NOT pg_has_role(o.owner, '{become_role}') ORDER BY 1"
    );
    let superusers_things = format!(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
           JOIN pg_language l ON l.oid = p.prolang WHERE {USERS_SCHEMAS} AND NOT l.lanpltrusted \
           AND {NOT_OF_EXTENSION} AND e.classid = 'pg_proc'::regclass AND e.objid = p.oid) \
         UNION ALL SELECT f.fdwname FROM pg_foreign_data_wrapper f WHERE {NOT_OF_EXTENSION} \
           AND e.classid = 'pg_foreign_data_wrapper'::regclass AND e.objid = f.oid) ORDER BY 1"
    );
    [
        basics,
        slots,
        &subscriptions,
        publications,
        &triggers,
        prepared,
        extensions,
        &owners,
        &superusers_things,
    ]
    .join("; ")
}

/// Reads obstacles and warnings.
pub(super) async fn read(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<RestoreTrial, EngineError> {
    let sets = connection.read(settings, &query(connection.server.number)).await?;
    Ok(judge(&connection.server.user, settings, &sets))
}

fn judge(user: &str, settings: &Settings, sets: &[Set]) -> RestoreTrial {
    let mut trial = RestoreTrial::default();
    let basics = sets.first().and_then(|set| set.rows.first());
    let basic = |column: usize| basics.and_then(|row| row.get(column)?.as_deref()).unwrap_or_default();
    let yes = |column: usize| basic(column) == "t";
    let (superuser, role, database) =
        (yes(0), escape_identifier(user), escape_identifier(&settings.database));
    let obstacles = &mut trial.obstacles;
    if !yes(1) {
        obstacles.push(format!(
            "role {user} has not the rights of {owner}, which owns the database, and may not rename it. \
             A database administrator must run: GRANT {} TO {role};",
            escape_identifier(basic(5)),
            owner = basic(5),
        ));
    }
    if yes(3) {
        obstacles.push(format!(
            "it is a template, which its copy would not be. If it need not be one: ALTER DATABASE {database} IS_TEMPLATE false;"
        ));
    }
    if yes(4) {
        obstacles.push("it has a security label, which its copy would not have".to_owned());
    }
    let mut named = |set: usize, what: &str, consequence: &str| {
        let names = names(sets.get(set));
        if !names.is_empty() {
            obstacles.push(format!("{what} {}: {consequence}", names.join(", ")));
        }
    };
    named(
        1,
        "replication slot",
        "it would stay with the database that is put aside, and its consumer would get nothing any more",
    );
    named(2, "subscription", "it would not be in the copy, whose publisher's slot can't be used twice");
    if !superuser {
        named(3, "publication for all tables", "only a superuser can make it again in a copy");
        named(4, "event trigger", "only a superuser can make it again in a copy");
        named(8, "made by a superuser:", "only a superuser can make it again in a copy");
    }
    let role_hint = format!(
        "role {user} can't act as it and could not give a copy's objects to it. A database administrator must run GRANT … TO {role};"
    );
    named(7, "owner of objects in it is", &role_hint);
    extensions(superuser, sets.get(6), obstacles);
    let warnings = &mut trial.warnings;
    for gid in names(sets.get(5)) {
        warnings.push(format!(
            "prepared transaction {gid} is open; while one is, a restore waits. To end it: ROLLBACK PREPARED {};",
            escape_literal(gid)
        ));
    }
    if !superuser && !yes(2) {
        warnings.push(format!(
            "role {user} can't end sessions of other roles; a restore waits until they have left by themselves. \
             A database administrator may run: GRANT pg_signal_backend TO {role};"
        ));
    } else if !superuser {
        warnings.push(format!(
            "role {user} can't end sessions of superusers; a restore waits until they have left by themselves"
        ));
    }
    warnings.push(format!(
        "a server does not say how much disk is free; a restore needs {} bytes beside the database",
        basic(6)
    ));
    trial
}

/// A dump says only which extensions there were: a copy gets the version that the server now makes.
fn extensions(superuser: bool, set: Option<&Set>, obstacles: &mut Vec<String>) {
    for row in set.map_or(&[][..], |set| &set.rows) {
        let column = |index: usize| row.get(index).and_then(Option::as_deref);
        let (name, installed) = (column(0).unwrap_or_default(), column(1).unwrap_or_default());
        // Every database is made with it.
        if name == "plpgsql" {
            continue;
        }
        match column(2) {
            None => obstacles.push(format!(
                "extension {name} is not installed on the server any more, so that a copy can't have it"
            )),
            Some(default) if default != installed => obstacles.push(format!(
                "extension {name} has version {installed}, and a copy would get {default}. \
                 Bring it up first: ALTER EXTENSION {} UPDATE;",
                escape_identifier(name)
            )),
            Some(_) if !superuser && column(3) == Some("t") => {
                obstacles.push(format!("extension {name}: only a superuser can make it again in a copy"));
            }
            Some(_) => {}
        }
    }
}

fn names(set: Option<&Set>) -> Vec<&str> {
    set.into_iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.as_deref()).collect()
}
