//! The swap: the original closed and empty, both renames in one transaction, open again.
//!
//! From the moment the original is closed until the swap, its fence row is locked by us and then out of everybody's
//! reach: an older driver that stands anywhere in here can't change what a newer one has taken.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio::time::timeout;

use super::door::Door;
use super::label::{Label, Stage, aside, beside};
use super::stamp::stamp;
use super::state::{Beside, Names, State, judge};
use crate::engine::fence::admit;
use crate::engine::name::Purpose;
use crate::engine::postgresql::connect::{Connection, Lineage, connect};
use crate::engine::postgresql::schema::{self, SEEN, Schema};
use crate::engine::postgresql::settings::Settings;
use crate::engine::postgresql::{ambiguity, fence, mark};
use crate::engine::{EngineError, Fence, PutBack, Stamp};

/// Somebody who was let in before the door closed may show up only when the rename is tried.
const TRIES: u32 = 5;

/// Swaps the run's copy in, from wherever an earlier attempt has ended.
pub(in crate::engine::postgresql) async fn put_back(
    settings: &Settings,
    lineage: &Lineage,
    fence: &Fence,
    expected: &Stamp,
) -> Result<PutBack, EngineError> {
    let mut door = Door::of_driver(settings, lineage, fence).await?;
    let done = door.put_back(lineage, expected).await;
    door.leave().await;
    done
}

impl Door<'_> {
    async fn put_back(&mut self, lineage: &Lineage, expected: &Stamp) -> Result<PutBack, EngineError> {
        let database = self.settings.database.clone();
        let names = Names {
            beside: beside(&database, self.fence.run),
            aside: aside(&database, self.fence.run),
            database,
        };
        let seen = self.look(&[&names.database, &names.beside, &names.aside]).await?;
        match judge(&self.settings.at(), &names, self.fence, &seen)? {
            State::Done { oid, original } => {
                lineage.restored(&self.identity(oid));
                self.refuse_overtaken(lineage).await?;
                Ok(self.done(oid, original, names.aside))
            }
            State::Beside(copy) => {
                // Until it is swapped in the old identity is right too; whoever looks meanwhile must not be startled.
                lineage.about_to_be(&self.identity(copy.oid));
                self.swap_in(lineage, &names, &copy, expected).await?;
                lineage.restored(&self.identity(copy.oid));
                Ok(self.done(copy.oid, copy.original, names.aside))
            }
        }
    }

    async fn swap_in(
        &mut self,
        lineage: &Lineage,
        names: &Names,
        copy: &Beside,
        expected: &Stamp,
    ) -> Result<(), EngineError> {
        // Closed by an earlier attempt, it was looked at then, and nobody was in since.
        let holder = if copy.closed { None } else { Some(self.hold(lineage, expected).await?) };
        let mut closed = copy.closed;
        let swapped = self.swap(names, copy, expected, holder, &mut closed).await;
        match swapped {
            // Whether it happened is read by the next attempt, which also opens the database if it did not.
            Err(lost @ EngineError::Lost { .. }) => Err(lost),
            Err(error) if closed => Err(self.open_again(names, copy, error).await),
            done => done,
        }
    }

    /// A session in the original that holds its fence row, so that nobody raises the token before the door is closed. A
    /// database without our schema has no fence: whatever dropped it is what we restore from.
    async fn hold(&mut self, lineage: &Lineage, expected: &Stamp) -> Result<Connection, EngineError> {
        let mut inside = connect(self.settings, lineage, Purpose::Write(self.fence)).await?;
        // One of an older attempt may still hold the row, its driver gone.
        ambiguity::look_and_settle(&mut inside, self.settings, self.fence).await?;
        if let Some(mark) = &expected.mark
            && mark::read(&mut inside, self.settings).await?.as_ref() != Ok(mark)
        {
            let reason = "somebody wrote to it while the copy was made, and that would be lost. See who still writes; \
                          then restore by hand, or give it up";
            return Err(self.not_restorable(reason.to_owned()));
        }
        let sets = inside.read(self.settings, &format!("SELECT {SEEN}")).await?;
        let yes = |column: usize| {
            let row = sets.first().and_then(|set| set.rows.first());
            row.and_then(|row| row.get(column)).is_some_and(|value| value.as_deref() == Some("t"))
        };
        if schema::judge(&self.settings.at(), yes(0), yes(1))? == Schema::Present {
            fence::hold(&mut inside, self.settings, self.fence).await?;
        }
        Ok(inside)
    }

    async fn swap(
        &mut self,
        names: &Names,
        copy: &Beside,
        expected: &Stamp,
        holder: Option<Connection>,
        closed: &mut bool,
    ) -> Result<(), EngineError> {
        self.refuse_prepared(&names.database).await?;
        let (database, beside) = (escape_identifier(&names.database), escape_identifier(&names.beside));
        self.effect("open the copy", &format!("ALTER DATABASE {beside} ALLOW_CONNECTIONS true")).await?;
        stamp(self.settings, self.fence, &names.beside, expected).await?;
        let label = Label { whimbrel: Stage::Swapping, token: Some(self.fence.token), ..copy.label.clone() };
        let close = format!(
            "ALTER DATABASE {database} ALLOW_CONNECTIONS false; ALTER DATABASE {beside} ALLOW_CONNECTIONS false; \
             COMMENT ON DATABASE {beside} IS {}",
            escape_literal(&label.text())
        );
        self.change("close the database", &close).await?;
        *closed = true;
        let inside = holder.as_ref().map(|holder| holder.wire.pid());
        self.empty(&names.database, inside).await?;
        self.empty(&names.beside, None).await?;
        if let Some(holder) = holder {
            let _ = timeout(self.settings.connect_timeout, holder.wire.terminate()).await;
        }
        for left in (0..TRIES).rev() {
            self.empty(&names.database, None).await?;
            self.refuse_prepared(&names.database).await?;
            match self.change("swap the databases", &self.renames(names, copy)).await {
                Err(EngineError::Server { code, .. }) if code == "55006" && left > 0 => {}
                Err(EngineError::Server { code, .. }) if code == "22012" => {
                    return Err(self.not_restorable(
                        "somebody has renamed its databases in the middle of it".to_owned(),
                    ));
                }
                done => return done,
            }
        }
        unreachable!("the last try returns")
    }

    /// The first statement fails (22012) unless the names still are those of the databases that were judged.
    fn renames(&self, names: &Names, copy: &Beside) -> String {
        let (database, beside) = (escape_identifier(&names.database), escape_identifier(&names.beside));
        let aside = escape_identifier(&names.aside);
        let label = Label { whimbrel: Stage::Aside, replaced_by: Some(copy.oid), ..copy.label.clone() };
        let comment = copy.label.comment.as_deref().map_or_else(|| "NULL".to_owned(), escape_literal);
        format!(
            "SELECT 1 / (count(*) / 2) FROM pg_catalog.pg_database WHERE (datname, oid) IN (({}, {}), ({}, {})); \
             ALTER DATABASE {database} RENAME TO {aside}; ALTER DATABASE {beside} RENAME TO {database}; \
             COMMENT ON DATABASE {aside} IS {}; COMMENT ON DATABASE {database} IS {comment}; \
             ALTER DATABASE {database} ALLOW_CONNECTIONS true",
            escape_literal(&names.database),
            copy.original,
            escape_literal(&names.beside),
            copy.oid,
            escape_literal(&label.text()),
        )
    }

    /// The way back of a swap that did not happen. Says why it did not.
    async fn open_again(&mut self, names: &Names, copy: &Beside, error: EngineError) -> EngineError {
        let (database, beside) = (escape_identifier(&names.database), escape_identifier(&names.beside));
        let label = Label { whimbrel: Stage::Restored, token: None, ..copy.label.clone() };
        let open = format!(
            "ALTER DATABASE {database} ALLOW_CONNECTIONS true; COMMENT ON DATABASE {beside} IS {}",
            escape_literal(&label.text())
        );
        match self.change("open the database again", &open).await {
            Ok(()) => error,
            Err(lost @ EngineError::Lost { .. }) => lost,
            Err(again) => self.not_restorable(format!(
                "{error}; and it is still closed to connections: {again}. Open it: \
                 ALTER DATABASE {database} ALLOW_CONNECTIONS true;"
            )),
        }
    }

    /// A newer epoch may have swapped it in.
    async fn refuse_overtaken(&mut self, lineage: &Lineage) -> Result<(), EngineError> {
        let mut inside = connect(self.settings, lineage, Purpose::Watch(self.fence)).await?;
        let row = fence::peek(&mut inside, self.settings).await?;
        admit(&self.settings.at(), row.claimed, &row.seen, self.fence)
    }

    fn identity(&self, oid: u32) -> String {
        format!("{}/{oid}", self.connection.server.system())
    }

    fn done(&self, oid: u32, original: u32, aside: String) -> PutBack {
        PutBack { identity: self.identity(oid), replaced: self.identity(original), aside }
    }
}
