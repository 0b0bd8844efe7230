//! How a target is brought back: by its undo scripts, by its backup, or by a person. Decided for every target before
//! anything is undone.

use super::{DATA_LOSS, OnFailure, Program};
use crate::api::plan::SchemaPolicy;
use crate::api::run::WayBack;
use crate::script::{HistoryRow, Script};
use std::collections::BTreeMap;

/// What is known of a target when its way back is decided; read under its lock and fence, quiet.
#[derive(Clone, Debug, Default)]
pub struct Weighed<'a> {
    /// The run's scripts that are in its histories, oldest first.
    pub applied: Vec<&'a Script>,
    /// Keys of scripts that ran in part, or of which nobody knows whether they ran.
    pub partial: Vec<String>,
    /// How a history differs from what the run has applied, if it does.
    pub drift: Option<String>,
    /// Somebody wrote since the first workload was given back, or may have while it should have been quiet; which, in one
    /// clause. None: nobody did.
    pub written: Option<String>,
    /// Why the run's backup can't be put back by itself; none: it can.
    pub no_restore: Option<String>,
}

impl<'a> Weighed<'a> {
    /// Takes in which scripts of the run are in the histories of a target.
    pub fn applied_of(
        &mut self,
        program: &'a Program,
        target: &str,
        histories: &BTreeMap<String, Vec<HistoryRow>>,
    ) {
        for (step, pending) in program.bundles.iter().filter(|(_, pending)| pending.target == target) {
            let rows = histories.get(&pending.history).map(Vec::as_slice).unwrap_or_default();
            match program.applied(step, rows) {
                Ok(done) => self.applied.extend(&pending.scripts[..done]),
                Err(drift) => self.drift = Some(drift.to_string()),
            }
        }
    }
}

/// Why a backup that is taken while services run is no way back by itself.
pub const ONLINE: &str =
    "it is taken while services run (backup.when: Online), without what is written after it";

/// Why only a person can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The code of the failure; [`DATA_LOSS`] is the one that `override.data-loss` answers.
    pub code: &'static str,
    /// What stands in the way, in one sentence.
    pub message: String,
}

/// Decides for one target; none: the run has left nothing in it.
///
/// # Errors
/// No way loses nothing, or the policy forbids the one that would. With `accepts_loss` a person has said that what was
/// written may be lost.
pub fn way_back(
    target: &str,
    policy: OnFailure,
    weighed: &Weighed<'_>,
    accepts_loss: bool,
) -> Result<Option<WayBack>, Stuck> {
    if weighed.applied.is_empty() && weighed.partial.is_empty() && weighed.drift.is_none() {
        return Ok(None);
    }
    let undo = || undo(target, weighed, accepts_loss).map(|()| WayBack::Undo);
    let restore = || restore(target, weighed, accepts_loss).map(|()| WayBack::Restore);
    let way = match policy.schema {
        SchemaPolicy::Hold => {
            Err(Stuck::new("SchemaHeld", "scripts are applied, and onFailure.schema is Hold".into()))
        }
        SchemaPolicy::Undo => undo(),
        SchemaPolicy::Restore => restore(),
        SchemaPolicy::Auto => {
            undo().or_else(|no_undo| restore().map_err(|no_restore| both(no_undo, no_restore)))
        }
    };
    way.map(Some)
}

impl Stuck {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }
}

/// Undo scripts bring back what they say, newest first, as long as the run's own rows are the newest.
fn undo(target: &str, weighed: &Weighed<'_>, accepts_loss: bool) -> Result<(), Stuck> {
    if let Some(drift) = &weighed.drift {
        return Err(Stuck::new("HistoryDrift", drift.clone()));
    }
    if !weighed.partial.is_empty() {
        let message = format!("{} ran only in part on {target}", weighed.partial.join(", "));
        return Err(Stuck::new("PartialScript", message));
    }
    let files = |of: &dyn Fn(&Script) -> bool| {
        let of = weighed.applied.iter().filter(|script| of(script)).map(|script| script.file.as_str());
        of.collect::<Vec<_>>().join(", ")
    };
    let without = files(&|script| !can_be_undone(script));
    if !without.is_empty() {
        let message = format!("{without} can't be undone: no undo script brings back what is gone");
        return Err(Stuck::new("NoUndo", message));
    }
    let destructive = files(&Script::undo_loses_data);
    match &weighed.written {
        Some(why) if !destructive.is_empty() && !accepts_loss => {
            let message = format!("{why}, and the undo of {destructive} would drop what was written");
            Err(Stuck::new(DATA_LOSS, message))
        }
        _ => Ok(()),
    }
}

/// A backup brings everything back, and takes away everything that came after it: whoever wrote it.
fn restore(target: &str, weighed: &Weighed<'_>, accepts_loss: bool) -> Result<(), Stuck> {
    if let Some(why) = &weighed.no_restore {
        let message = format!("the backup of {target} can't be put back by itself: {why}");
        return Err(Stuck::new("RestoreManual", message));
    }
    if accepts_loss {
        return Ok(());
    }
    if let Some(drift) = &weighed.drift {
        return Err(Stuck::new(
            DATA_LOSS,
            format!("a restore of {target} would drop what others applied: {drift}"),
        ));
    }
    match &weighed.written {
        Some(why) => {
            let message = format!("{why}, and a restore of {target} would drop what was written");
            Err(Stuck::new(DATA_LOSS, message))
        }
        None => Ok(()),
    }
}

/// Why neither way is open. What a person may answer stands before what only a repair can mend.
fn both(no_undo: Stuck, no_restore: Stuck) -> Stuck {
    match (no_undo.code, no_restore.code) {
        (DATA_LOSS, _) => no_undo,
        (_, DATA_LOSS) => Stuck::new(DATA_LOSS, format!("{}; {}", no_undo.message, no_restore.message)),
        _ => Stuck::new(no_undo.code, format!("{}, and {}", no_undo.message, no_restore.message)),
    }
}

/// A script that drops or deletes is not undone by one that makes an empty column again, unless its author says so.
pub fn can_be_undone(script: &Script) -> bool {
    script.undo.as_ref().is_some_and(|undo| undo.directives.undo_keeps_data || !script.is_irreversible())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Bundle, Dialect, read_bundle};

    fn scripts() -> Bundle {
        let files = [
            ("V1__keeps.sql", "create index i on t (x);\n"),
            ("U1__keeps.sql", "drop index i;\n"),
            ("V2__drops.sql", "create table t2 (i int);\n"),
            ("U2__drops.sql", "drop table t2;\n"),
            ("V3__none.sql", "create table t3 (i int);\n"),
        ];
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        read_bundle(files, None, Dialect::Postgresql).unwrap()
    }

    /// One row: what is applied, what is known, and under each policy the way or the code.
    fn decided(weighed: &Weighed<'_>, accepts_loss: bool) -> String {
        let all = [SchemaPolicy::Auto, SchemaPolicy::Undo, SchemaPolicy::Restore, SchemaPolicy::Hold];
        let all = all.map(|schema| {
            let policy = OnFailure { schema, ..OnFailure::default() };
            match way_back("db", policy, weighed, accepts_loss) {
                Ok(way) => way.map_or("nothing", |way| way.as_str()).to_owned(),
                Err(stuck) => stuck.code.to_owned(),
            }
        });
        all.join(" ")
    }

    #[test]
    fn the_table_of_ways() {
        let all = scripts();
        let [keeps, drops, none] = [&all.scripts[0], &all.scripts[1], &all.scripts[2]];
        let of = |applied: &[_]| Weighed { applied: applied.to_vec(), ..Weighed::default() };
        let written = |weighed| Weighed { written: Some("somebody wrote".into()), ..weighed };
        let manual = |weighed| Weighed { no_restore: Some("no CREATEDB".into()), ..weighed };
        let rows = [
            (of(&[]), "nothing nothing nothing nothing", "nothing nothing nothing nothing"),
            (of(&[keeps]), "Undo Undo Restore SchemaHeld", "Undo Undo Restore SchemaHeld"),
            (written(of(&[keeps])), "Undo Undo DataLoss SchemaHeld", "Undo Undo Restore SchemaHeld"),
            (of(&[keeps, drops]), "Undo Undo Restore SchemaHeld", "Undo Undo Restore SchemaHeld"),
            (written(of(&[drops])), "DataLoss DataLoss DataLoss SchemaHeld", "Undo Undo Restore SchemaHeld"),
            (of(&[none]), "Restore NoUndo Restore SchemaHeld", "Restore NoUndo Restore SchemaHeld"),
            (
                written(of(&[none])),
                "DataLoss NoUndo DataLoss SchemaHeld",
                "Restore NoUndo Restore SchemaHeld",
            ),
            (
                manual(of(&[none])),
                "NoUndo NoUndo RestoreManual SchemaHeld",
                "NoUndo NoUndo RestoreManual SchemaHeld",
            ),
            (
                manual(written(of(&[drops]))),
                "DataLoss DataLoss RestoreManual SchemaHeld",
                "Undo Undo RestoreManual SchemaHeld",
            ),
            (
                Weighed { partial: vec!["4".into()], ..Weighed::default() },
                "Restore PartialScript Restore SchemaHeld",
                "Restore PartialScript Restore SchemaHeld",
            ),
            (
                Weighed { drift: Some("V9 is there".into()), ..of(&[keeps]) },
                "DataLoss HistoryDrift DataLoss SchemaHeld",
                "Restore HistoryDrift Restore SchemaHeld",
            ),
        ];
        for (weighed, expected, with_loss) in rows {
            assert_eq!(decided(&weighed, false), expected, "{weighed:?}");
            assert_eq!(decided(&weighed, true), with_loss, "{weighed:?}, loss accepted");
        }
    }

    #[test]
    fn both_reasons_are_said() {
        let all = scripts();
        let weighed = Weighed {
            applied: vec![&all.scripts[2]],
            no_restore: Some("the role may not create databases".into()),
            ..Weighed::default()
        };
        let stuck = way_back("db", OnFailure::default(), &weighed, false).unwrap_err();
        assert_eq!(
            stuck.message,
            "V3__none.sql can't be undone: no undo script brings back what is gone, and the backup of db can't be put back by itself: the role may not create databases"
        );
    }
}
