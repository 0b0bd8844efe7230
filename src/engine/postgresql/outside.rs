//! Whether a statement outside of a transaction has happened: what is in the database says so, not the answer.

use postgres_protocol::escape::escape_literal;

use super::session::PostgresqlSession;
use super::steps::Made;
use super::wire::{ALL_ROWS, NO_ROWS};
use crate::engine::{BlockedBy, ScriptFailure};
use crate::script::{Name, Outside, Script};

/// What the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused,
    Lost,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Done,
    /// Surely nothing of it is left; what is there instead, a part of a sentence.
    NotDone(String),
    /// Nobody can tell; what was seen, a part of a sentence.
    Unsure(String),
}

type Row = Vec<Option<String>>;

/// Indexes that are INVALID now, but for those that a session is working on.
const INVALID: &str = "\
SELECT i.indexrelid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
WHERE NOT i.indisvalid AND c.relkind OPERATOR(pg_catalog.=) 'i'";

/// An index that was named in a statement, as it is.
struct Index {
    oid: String,
    valid: bool,
    unique: bool,
    plain: bool,
    name: String,
    definition: String,
    builder: Option<String>,
}

impl PostgresqlSession {
    /// What the probe must know of the time before the statement: for indexes the named one, and all that are INVALID.
    pub(super) async fn before(
        &mut self,
        script: &Script,
        kind: &Outside,
        made: &Made,
    ) -> Result<String, ScriptFailure> {
        let rows = match kind {
            Outside::CreateIndex { index, table, .. } => {
                let named = self.index(script, index, table, made).await?.map(|index| index.oid);
                let invalid = self.look(script, made, INVALID).await?;
                return Ok(listed(named, &invalid));
            }
            Outside::Reindex => {
                let invalid = self.look(script, made, INVALID).await?;
                return Ok(listed(None, &invalid));
            }
            Outside::DropIndex(index) => {
                self.look(script, made, &format!("SELECT {}::pg_catalog.oid", relation(index))).await?
            }
            Outside::Database(name, _) => {
                self.look(script, made, &there("pg_database", "datname", name)).await?
            }
            Outside::Tablespace(name, _) => {
                self.look(script, made, &there("pg_tablespace", "spcname", name)).await?
            }
            Outside::Detach(table, partition) => self.look(script, made, &attached(table, partition)).await?,
            Outside::Repeats | Outside::NoProbe => return Ok(String::new()),
        };
        Ok(first(&rows))
    }

    /// What became of the statement. Takes away what a failed one of ours has left behind.
    pub(super) async fn seen(
        &mut self,
        script: &Script,
        kind: &Outside,
        made: &Made,
        before: &str,
        answer: Answer,
    ) -> Result<Seen, ScriptFailure> {
        match kind {
            Outside::CreateIndex { .. } => self.index_seen(script, kind, made, before, answer).await,
            Outside::Reindex => {
                self.clear_leftovers(script, made, before).await?;
                Ok(by_answer(answer, "it can run again"))
            }
            Outside::Repeats => Ok(by_answer(answer, "it can run again")),
            Outside::NoProbe if answer == Answer::Lost => Ok(Seen::Unsure(
                "its answer was lost; nothing in the database tells whether it happened".to_owned(),
            )),
            Outside::NoProbe => Ok(by_answer(answer, "")),
            Outside::DropIndex(index) => {
                if before.is_empty() {
                    return Ok(by_answer(answer, "the index was not there before"));
                }
                let still =
                    format!("SELECT 1 FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) {before}");
                let gone = self.look(script, made, &still).await?.is_empty();
                Ok(if gone { Seen::Done } else { Seen::NotDone(format!("index {} is still there", index.0)) })
            }
            Outside::Database(name, wanted) => {
                let rows = self.look(script, made, &there("pg_database", "datname", name)).await?;
                Ok(wanted_seen(*wanted, before, &first(&rows), answer, &format!("database {}", name.0)))
            }
            Outside::Tablespace(name, wanted) => {
                let rows = self.look(script, made, &there("pg_tablespace", "spcname", name)).await?;
                Ok(wanted_seen(*wanted, before, &first(&rows), answer, &format!("tablespace {}", name.0)))
            }
            Outside::Detach(table, partition) => {
                let now = first(&self.look(script, made, &attached(table, partition)).await?);
                Ok(match (before, now.as_str()) {
                    ("attached", "") => Seen::Done,
                    ("attached", "pending") => Seen::Unsure(format!(
                        "partition {1} is detached half way: finish it with ALTER TABLE {0} DETACH PARTITION {1} FINALIZE",
                        table.0, partition.0
                    )),
                    _ => by_answer(answer, "it is no partition, or still is one"),
                })
            }
        }
    }

    /// Done when it is there, fits the statement and is valid, whatever the server answered. One that is INVALID is taken
    /// away only if it is the named one, was not there before, and nobody is building it.
    async fn index_seen(
        &mut self,
        script: &Script,
        kind: &Outside,
        made: &Made,
        before: &str,
        answer: Answer,
    ) -> Result<Seen, ScriptFailure> {
        let Outside::CreateIndex { unique, if_not_exists, index, table, definition } = kind else {
            return Ok(Seen::NotDone(String::new()));
        };
        let Some(found) = self.index(script, index, table, made).await? else {
            return Ok(Seen::NotDone(format!("index {} is not there", index.0)));
        };
        let name = &found.name;
        let (named, invalid) = before.split_once(' ').unwrap_or((before, ""));
        let was_there = named == found.oid;
        if let Some(pid) = &found.builder {
            return Ok(Seen::Unsure(format!("index {name} is being built by pid {pid}")));
        }
        if found.valid {
            if was_there && !if_not_exists {
                return Ok(Seen::NotDone(format!("index {name} was there before")));
            }
            let wanted = self.definition(made, *unique, table, &script.body[definition.clone()]).await?;
            let fits = found.unique == *unique
                && wanted.is_none_or(|wanted| behind_using(&wanted) == behind_using(&found.definition));
            return Ok(match (fits, was_there) {
                (true, _) => Seen::Done,
                (false, true) => Seen::NotDone(format!(
                    "an index {name} of another definition was there before: {}",
                    found.definition
                )),
                (false, false) => Seen::Unsure(format!(
                    "an index {name} of another definition is there: {}",
                    found.definition
                )),
            });
        }
        let ours = !was_there && !invalid.split(',').any(|oid| oid == found.oid) && found.plain;
        if !ours {
            let what = format!(
                "index {name} is INVALID and not of this statement: drop it, or make it valid, by hand"
            );
            return Ok(if answer == Answer::Lost { Seen::Unsure(what) } else { Seen::NotDone(what) });
        }
        self.drop_index(script, name).await?;
        Ok(Seen::NotDone(format!("index {name} was INVALID and is dropped")))
    }

    /// What a REINDEX of ours that failed has left behind: INVALID, by its name a copy, and not there before.
    async fn clear_leftovers(
        &mut self,
        script: &Script,
        made: &Made,
        before: &str,
    ) -> Result<(), ScriptFailure> {
        let (_, invalid) = before.split_once(' ').unwrap_or_default();
        let before = if invalid.is_empty() { "0" } else { invalid };
        let leftovers = format!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             WHERE NOT i.indisvalid AND c.relkind OPERATOR(pg_catalog.=) 'i' \
             AND c.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$' \
             AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast' \
             AND NOT (i.indexrelid OPERATOR(pg_catalog.=) ANY (ARRAY[{before}]::pg_catalog.oid[])) \
             AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p \
               WHERE p.relid OPERATOR(pg_catalog.=) i.indrelid)"
        );
        for name in self.look(script, made, &leftovers).await?.into_iter().flatten().flatten() {
            self.drop_index(script, &name).await?;
        }
        Ok(())
    }

    /// `name` is qualified and quoted. Whoever is in the way is waited for by the next try.
    async fn drop_index(&mut self, script: &Script, name: &str) -> Result<(), ScriptFailure> {
        let what = format!("{}: drop what is INVALID", script.file);
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        let reply = self.connection.wire.effect(&what, &drop, NO_ROWS).await?;
        match reply.error {
            None => Ok(()),
            Some(error) => Err(ScriptFailure::Blocked(BlockedBy {
                what: format!(
                    "index {name} is INVALID, left by a statement of {} that failed, and can't be dropped: {} ({})",
                    script.file, error.message, error.code
                ),
                since: None,
                sql: Some(format!("{drop};")),
                pid: None,
            })),
        }
    }

    async fn index(
        &mut self,
        script: &Script,
        index: &Name,
        table: &Name,
        made: &Made,
    ) -> Result<Option<Index>, ScriptFailure> {
        let query = format!(
            "SELECT i.indexrelid, i.indisvalid AND i.indisready, i.indisunique, c.relkind OPERATOR(pg_catalog.=) 'i', \
             pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_get_indexdef(i.indexrelid), \
             (SELECT p.pid FROM pg_catalog.pg_stat_progress_create_index p \
              WHERE p.index_relid OPERATOR(pg_catalog.=) i.indexrelid LIMIT 1) \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             WHERE i.indrelid OPERATOR(pg_catalog.=) {} AND c.relname OPERATOR(pg_catalog.=) {}",
            relation(table),
            identifier(index)
        );
        let rows = self.look(script, made, &query).await?;
        Ok(rows.into_iter().next().map(|row| {
            let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
            Index {
                oid: text(0),
                valid: text(1) == "t",
                unique: text(2) == "t",
                plain: text(3) == "t",
                name: text(4),
                definition: text(5),
                builder: row.get(6).cloned().flatten(),
            }
        }))
    }

    /// How the server would write the definition that a statement asks for, tried on an empty copy of the table and taken
    /// back. `None` where the role may not.
    async fn definition(
        &mut self,
        made: &Made,
        unique: bool,
        table: &Name,
        definition: &str,
    ) -> Result<Option<String>, ScriptFailure> {
        let unique = if unique { "UNIQUE " } else { "" };
        let query = format!(
            "RESET ALL; SET SESSION AUTHORIZATION DEFAULT; BEGIN; {}\
             CREATE TEMPORARY TABLE whimbrel_like (LIKE {}); \
             CREATE {unique}INDEX whimbrel_like_i ON pg_temp.whimbrel_like {definition}\n; \
             SELECT pg_catalog.pg_get_indexdef('pg_temp.whimbrel_like_i'::pg_catalog.regclass)",
            made.text, table.0
        );
        let reply = self.connection.wire.query(&query, ALL_ROWS).await?;
        let text = reply.sets.into_iter().flat_map(|set| set.rows).flatten().next().flatten();
        self.connection.wire.query("ROLLBACK", NO_ROWS).await?;
        Ok(text.filter(|_| reply.error.is_none()))
    }

    /// Reads with the settings that the script has made, since they decide what its names mean.
    async fn look(&mut self, script: &Script, made: &Made, query: &str) -> Result<Vec<Row>, ScriptFailure> {
        let text =
            format!("RESET ALL; SET SESSION AUTHORIZATION DEFAULT; BEGIN; {}{query}; ROLLBACK", made.text);
        let reply = self.connection.wire.query(&text, ALL_ROWS).await?;
        match reply.error {
            None => Ok(reply.sets.into_iter().flat_map(|set| set.rows).collect()),
            Some(error) => {
                self.connection.wire.query("ROLLBACK", NO_ROWS).await?;
                let message = error.text(self.settings.diagnostics_full);
                Err(ScriptFailure::of_file(&script.file, &error.code, message, None))
            }
        }
    }
}

/// The relation that a name means, or NULL.
fn relation(name: &Name) -> String {
    format!("pg_catalog.to_regclass({})", escape_literal(&name.0))
}

/// A name without a schema as the catalogues have it.
fn identifier(name: &Name) -> String {
    format!("(pg_catalog.parse_ident({}))[1]::pg_catalog.name", escape_literal(&name.0))
}

/// One row, `1`, if an object of that name is there.
fn there(catalogue: &str, column: &str, name: &Name) -> String {
    let name = identifier(name);
    format!("SELECT 1 FROM pg_catalog.{catalogue} WHERE {column} OPERATOR(pg_catalog.=) {name}")
}

/// `attached`, or `pending` while it is half way out; no row if it is no partition.
fn attached(table: &Name, partition: &Name) -> String {
    format!(
        "SELECT CASE WHEN pg_catalog.to_jsonb(i) OPERATOR(pg_catalog.->>) 'inhdetachpending' OPERATOR(pg_catalog.=) 'true' \
         THEN 'pending' ELSE 'attached' END FROM pg_catalog.pg_inherits i \
         WHERE i.inhparent OPERATOR(pg_catalog.=) {} AND i.inhrelid OPERATOR(pg_catalog.=) {}",
        relation(table),
        relation(partition)
    )
}

/// `<oid or 0> <oids that are INVALID>`
fn listed(named: Option<String>, invalid: &[Row]) -> String {
    let oids: Vec<&str> = invalid.iter().flatten().filter_map(Option::as_deref).collect();
    format!("{} {}", named.as_deref().unwrap_or("0"), oids.join(","))
}

fn first(rows: &[Row]) -> String {
    rows.first().and_then(|row| row.first()).cloned().flatten().unwrap_or_default()
}

fn behind_using(definition: &str) -> &str {
    definition.split_once(" USING ").map_or(definition, |(_, behind)| behind)
}

/// For what does the same again, or is told by its answer alone.
fn by_answer(answer: Answer, instead: &str) -> Seen {
    match answer {
        Answer::Done => Seen::Done,
        Answer::Refused | Answer::Lost => Seen::NotDone(instead.to_owned()),
    }
}

/// `before` and `now` are empty where it is not there.
fn wanted_seen(wanted: bool, before: &str, now: &str, answer: Answer, what: &str) -> Seen {
    let (before, now) = (!before.is_empty(), !now.is_empty());
    match (now == wanted, before == wanted) {
        (true, false) => Seen::Done,
        (true, true) => by_answer(answer, what),
        (false, _) if now => Seen::NotDone(format!("{what} is still there")),
        (false, _) => Seen::NotDone(format!("{what} is not there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_as_wanted_before_is_told_by_the_answer_alone() {
        let seen = |wanted, before, now, answer| {
            wanted_seen(wanted, before, now, answer, "database d") == Seen::Done
        };
        assert!(seen(true, "", "1", Answer::Lost) && seen(true, "", "1", Answer::Refused));
        assert!(seen(false, "1", "", Answer::Lost));
        assert!(!seen(true, "1", "1", Answer::Refused) && !seen(true, "", "", Answer::Lost));
        assert!(seen(false, "", "", Answer::Done) && !seen(false, "1", "1", Answer::Lost));
    }

    #[test]
    fn definitions_are_compared_without_names() {
        let one = "CREATE UNIQUE INDEX i ON public.t USING btree (a) WHERE (b > 0)";
        let two =
            "CREATE UNIQUE INDEX whimbrel_like_i ON pg_temp_3.whimbrel_like USING btree (a) WHERE (b > 0)";
        assert_eq!(behind_using(one), behind_using(two));
    }
}
