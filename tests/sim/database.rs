//! A database with what matters of a real one: a session that outlives its client, a lock that lives on the session,
//! a fence row that is locked to commit, effects that can be counted.

use super::stored::{Answer, Database, Entry, ServerSession};
use super::swap::open;
use super::world::{State, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use whimbrel::engine::{
    BlockedBy, Canceller, Claim, Engine, EngineError, Fence, ForeignSession, Look, Partial, Proof, PutBack,
    Quiet, RestoreTrial, Rows, ScriptError, ScriptFailure, Session, Stamp,
};
use whimbrel::script::{HistoryRow, How, Script};

/// The client's side.
pub struct SimEngine {
    pub world: Arc<World>,
    pub target: String,
    pub driver: u64,
}

/// A session that holds the lock.
pub struct SimSession {
    world: Arc<World>,
    target: String,
    driver: u64,
    id: u64,
    token: u64,
    histories: BTreeMap<String, Vec<HistoryRow>>,
    partial: Vec<Partial>,
    journal: BTreeMap<String, Entry>,
}

impl Drop for SimSession {
    /// The client is gone; the server only notices when nothing runs any more.
    fn drop(&mut self) {
        let mut state = self.world.state();
        let db = state.database(&self.target);
        if let Some(session) = db.sessions.get_mut(&self.id) {
            session.client = false;
        }
    }
}

pub fn lost() -> EngineError {
    EngineError::Lost { at: "sim".into(), reason: "cut".into() }
}

impl Engine for SimEngine {
    type Session = SimSession;

    async fn look(&self) -> Result<Look, EngineError> {
        let looked = self.world.call(self.driver, "look at the database", || {
            let mut state = self.world.state();
            let db = state.database(&self.target);
            open(db)?;
            Ok(Look {
                version: "1".into(),
                identity: "sim/1".into(),
                lineage: "sim/1".into(),
                histories: BTreeMap::from([("default".to_owned(), db.history.clone())]),
                foreign_tables: Vec::new(),
                empty: false,
                sessions: Vec::new(),
                quiet_provable: Ok(()),
                warnings: Vec::new(),
                claim: None,
                bytes: 1,
            })
        });
        looked.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn enter(&self, fence: &Fence) -> Result<SimSession, EngineError> {
        let entered = self.world.call(self.driver, "enter", || self.try_enter(fence)).await;
        match entered {
            Ok(session) => session,
            Err(_) => Err(lost()),
        }
    }

    async fn quiet(&self, fence: &Fence) -> Result<Quiet, EngineError> {
        self.world
            .call(self.driver, "quiet", || {
                let mut state = self.world.state();
                reachable(&state)?;
                let writers =
                    if state.bugs.terminating_is_gone { Vec::new() } else { state.connected_pods() };
                let db = state.database(&self.target);
                if db.closed.as_ref() == Some(&fence.run_uid) {
                    return Ok(Quiet { foreign: Vec::new(), obstacles: Vec::new(), mark: None });
                }
                open(db)?;
                let foreign = writers.into_iter().map(foreign).collect();
                let mark = Some(db.mark());
                Ok(Quiet { foreign, obstacles: Vec::new(), mark })
            })
            .await
            .unwrap_or_else(|_| Err(lost()))
    }

    async fn proof(&self) -> Result<Proof, EngineError> {
        self.world
            .call(self.driver, "proof", || {
                let mut state = self.world.state();
                reachable(&state)?;
                let db = state.database(&self.target);
                open(db)?;
                let digest = whimbrel::program::history_digest(&db.history);
                let effects = db.effects.iter().filter(|(_, n)| **n != 0).collect::<Vec<_>>();
                let structure = format!("{effects:?} {:?}", db.statements);
                Ok(Proof { histories: BTreeMap::from([("default".to_owned(), digest)]), structure })
            })
            .await
            .unwrap_or_else(|_| Err(lost()))
    }

    async fn query(&self, _: &str, _: Duration) -> Result<Rows, EngineError> {
        self.world
            .call(self.driver, "query", || {
                let mut state = self.world.state();
                reachable(&state)?;
                open(state.database(&self.target))?;
                drop(state);
                let answer = if self.world.check_holds() { "0" } else { "7" };
                Ok(Rows {
                    columns: vec!["count".into()],
                    rows: vec![vec![Some(answer.into())]],
                    truncated: false,
                })
            })
            .await
            .unwrap_or_else(|_| Err(lost()))
    }

    async fn try_restore(&self, _: &Fence) -> Result<RestoreTrial, EngineError> {
        let obstacles = self.world.behaviour(&self.target).no_restore.into_iter().collect();
        let trial = RestoreTrial { obstacles, warnings: Vec::new() };
        self.world.call(self.driver, "try_restore", || trial).await.map_err(|_| lost())
    }

    async fn put_back(&self, fence: &Fence, stamp: &Stamp) -> Result<PutBack, EngineError> {
        self.swap_in(fence, stamp).await
    }
}

fn reachable(state: &State) -> Result<(), EngineError> {
    let refused = || EngineError::Unreachable { at: "sim".into(), reason: "connection refused".into() };
    if state.answers() { Ok(()) } else { Err(refused()) }
}

fn foreign(name: String) -> ForeignSession {
    ForeignSession {
        pid: 1,
        user: Some("app".into()),
        application: name,
        address: None,
        state: None,
        backend_type: None,
        since: None,
    }
}

impl SimEngine {
    fn try_enter(&self, fence: &Fence) -> Result<SimSession, EngineError> {
        let mut state = self.world.state();
        reachable(&state)?;
        let naive = state.bugs.naive_fence;
        let db = state.database(&self.target);
        open(db)?;
        if let Some(holder) = db.lock
            && !naive
        {
            let busy = db.sessions.get(&holder).is_some_and(|session| session.client || session.running);
            if busy {
                let by = BlockedBy { what: "another session".into(), since: None, sql: None, pid: None };
                return Err(EngineError::Busy { at: "sim".into(), by });
            }
            // An idle session of a client that is gone: terminated, and seen gone.
            db.sessions.remove(&holder);
            db.lock = None;
        }
        if db.token > fence.token && !naive {
            return Err(EngineError::Overtaken { at: "sim".into(), token: db.token });
        }
        if let Some(claim) = &db.claim
            && *claim != fence.run_uid
        {
            return Err(EngineError::Claimed { at: "sim".into(), holder: claim.clone() });
        }
        db.token = db.token.max(fence.token);
        db.claim = Some(fence.run_uid.clone());
        db.next_session += 1;
        let id = db.next_session;
        db.lock = Some(id);
        db.sessions.insert(id, ServerSession { client: true, running: false });
        let histories = BTreeMap::from([("default".to_owned(), db.history.clone())]);
        let unknown = db.partial.iter().map(|key| partial(key, &Entry::default()));
        let begun = db.journal.iter().map(|(key, entry)| partial(key, entry));
        let partial = unknown.chain(begun).collect();
        Ok(SimSession {
            world: self.world.clone(),
            target: self.target.clone(),
            driver: self.driver,
            id,
            token: fence.token,
            histories,
            partial,
            journal: db.journal.clone(),
        })
    }
}

fn partial(key: &str, entry: &Entry) -> Partial {
    Partial {
        history: "default".into(),
        key: key.to_owned(),
        run_uid: "r-uid".into(),
        statement: entry.done,
        since: None,
        checksum: entry.checksum.clone(),
        undoing: false,
    }
}

/// What a statement does when it commits.
enum Effect {
    Apply(HistoryRow),
    Undo(String, bool),
    /// A script without a transaction begins, with its checksum.
    Begin(String, String),
    /// One statement of it, with the cursor.
    Inside(String, usize),
    /// The next statement will be sent outside of a transaction.
    Mark(String),
    /// That statement: nothing guards it but the lock.
    Bare(String, usize),
    /// Where the cursor stands after it.
    Close(String, usize),
}

impl SimSession {
    /// Sends one message and waits for its answer. The server works in a task of its own: it goes on when the client
    /// dies, which is what makes a lost connection dangerous.
    async fn send(
        &mut self,
        what: &'static str,
        effect: Effect,
        answer: Answer,
    ) -> Result<(), ScriptFailure> {
        let (world, target, id, token) = (self.world.clone(), self.target.clone(), self.id, self.token);
        let sent = self
            .world
            .call(self.driver, what, || {
                let time = self.world.statement_time();
                if let Some(session) = self.world.state().database(&self.target).sessions.get_mut(&self.id) {
                    session.running = true;
                }
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    commit(&world, &target, id, token, effect, answer)
                })
            })
            .await;
        match sent {
            Ok(server) => server.await.unwrap_or_else(|_| Err(lost_script())),
            Err(_) => Err(lost_script()),
        }
    }
}

fn lost_script() -> ScriptFailure {
    ScriptFailure::Lost { reason: "cut".into() }
}

/// The end of the message at the server: fence, effect and history row, all or nothing.
fn commit(
    world: &World,
    target: &str,
    id: u64,
    token: u64,
    effect: Effect,
    answer: Answer,
) -> Result<(), ScriptFailure> {
    let mut state = world.state();
    let pods = state.connected_pods();
    let backed_up = state.proven(target) && !world.scenario.backup_fails;
    let naive = state.bugs.naive_fence;
    let forgets = state.bugs.row_forgotten;
    let contended = state.contended;
    let db = state.database(target);
    let Some(session) = db.sessions.get_mut(&id) else { return Err(lost_script()) };
    session.running = false;
    let client = session.client;
    if !client {
        db.sessions.remove(&id);
        if db.lock == Some(id) {
            db.lock = None;
        }
    }
    if answer == Answer::Fails {
        let error = ScriptError {
            code: "42601".into(),
            message: "syntax error".into(),
            file: "V2.sql".into(),
            statement: Some(1),
            line: Some(1),
            column: Some(1),
            hint: None,
        };
        return Err(ScriptFailure::Failed(Box::new(error)));
    }
    if db.token != token && !naive && !matches!(effect, Effect::Bare(..)) {
        return Err(ScriptFailure::Overtaken { token: db.token });
    }
    let mut wrong = Vec::new();
    if answer == Answer::Unknown {
        let key = match effect {
            Effect::Apply(row) => row.key,
            Effect::Undo(key, _) => key,
            _ => unreachable!("only whole scripts are answered so"),
        };
        let again = db.partial.contains(&key);
        db.partial.push(key.clone());
        if again {
            state.violation(format!("{key} was tried again although nobody knows its outcome"));
        }
        return Err(ScriptFailure::Unknown { evidence: "no answer, and nothing to ask".into() });
    }
    match effect {
        Effect::Apply(row) => {
            *db.effects.entry(row.key.clone()).or_default() += 1;
            if db.effects[&row.key] > 1 {
                wrong.push(format!("{} is applied {} times", row.key, db.effects[&row.key]));
            }
            // What a person scales up between the last look and the script can't be prevented, only noticed.
            if !pods.is_empty() && !contended {
                wrong.push(format!("{} was applied under {}", row.key, pods.join(", ")));
            }
            if !backed_up {
                wrong.push(format!("{} was applied without a proven backup", row.key));
            }
            db.journal.remove(&row.key);
            if !forgets {
                db.history.push(row);
            }
        }
        Effect::Begin(key, checksum) => {
            if db.journal.insert(key.clone(), Entry { checksum, ..Entry::default() }).is_some() {
                wrong.push(format!("{key} was begun twice"));
            }
        }
        Effect::Inside(key, n) => {
            wrong.extend(happened(db, &key, n));
            let entry = db.journal.entry(key.clone()).or_default();
            if entry.outside || entry.done + 1 != n {
                wrong.push(format!("statement {n} of {key} ran, and the journal has {entry:?}"));
            }
            entry.done = n;
        }
        Effect::Mark(key) => db.journal.entry(key).or_default().outside = true,
        Effect::Bare(key, n) => {
            wrong.extend(happened(db, &key, n));
            if !db.journal.get(&key).is_some_and(|entry| entry.outside) {
                wrong.push(format!("statement {n} of {key} was sent, and the journal does not say so"));
            }
        }
        Effect::Close(key, done) => {
            let entry = db.journal.entry(key).or_default();
            (entry.done, entry.outside) = (done, false);
        }
        Effect::Undo(key, destroys) => {
            db.statements.retain(|(of, _), _| *of != key);
            // A part of a script is no effect yet.
            if db.journal.remove(&key).is_none() {
                *db.effects.entry(key.clone()).or_default() -= 1;
            }
            if db.effects.get(&key).is_some_and(|n| *n < 0) {
                wrong.push(format!("{key} is undone more often than applied"));
            }
            if destroys {
                db.lost_writes += db.users_writes;
            }
            db.history.retain(|row| row.key != key);
        }
    }
    for violation in wrong {
        state.violation(violation);
    }
    Ok(())
}

/// A statement happens; what is wrong about that.
fn happened(db: &mut Database, key: &str, n: usize) -> Option<String> {
    let times = db.statements.entry((key.to_owned(), n)).or_default();
    *times += 1;
    (*times > 1).then(|| format!("statement {n} of {key} happened {times} times"))
}

impl SimSession {
    /// A script without a transaction, from its cursor on.
    async fn apply_in_steps(&mut self, script: &Script, answer: Answer) -> Result<(), ScriptFailure> {
        let key = script.key.clone();
        if !self.journal.contains_key(&key) {
            let begin = Effect::Begin(key.clone(), script.checksum.clone());
            self.send("begin", begin, Answer::Done).await?;
            self.journal.insert(key.clone(), Entry { checksum: script.checksum.clone(), ..Entry::default() });
        }
        let steps: Vec<_> = script.steps().collect();
        for (n, step) in (1..).zip(&steps) {
            if n <= self.journal[&key].done {
                continue;
            }
            // What fails is the last statement: the others stay.
            let fails =
                if answer == Answer::Fails && n == steps.len() { Answer::Fails } else { Answer::Done };
            match step.how {
                How::Outside(_) => self.outside(&key, n, answer == Answer::Unknown).await?,
                _ => self.send("step", Effect::Inside(key.clone(), n), fails).await?,
            }
            self.journal.entry(key.clone()).or_default().done = n;
        }
        Ok(())
    }

    async fn outside(&mut self, key: &str, n: usize, no_probe: bool) -> Result<(), ScriptFailure> {
        if self.journal[key].outside {
            let there = self.world.call(self.driver, "probe", || {
                let mut state = self.world.state();
                let blind = state.bugs.blind_probe;
                !blind && state.database(&self.target).statements.contains_key(&(key.to_owned(), n))
            });
            let there = there.await.map_err(|_| lost_script())?;
            if no_probe {
                return Err(ScriptFailure::Unknown { evidence: format!("statement {n} was sent") });
            }
            let done = if there { n } else { n - 1 };
            self.send("close", Effect::Close(key.to_owned(), done), Answer::Done).await?;
            if there {
                return Ok(());
            }
        }
        self.send("mark", Effect::Mark(key.to_owned()), Answer::Done).await?;
        self.send("bare", Effect::Bare(key.to_owned(), n), Answer::Done).await?;
        self.send("close", Effect::Close(key.to_owned(), n), Answer::Done).await
    }
}

impl Session for SimSession {
    fn histories(&self) -> &BTreeMap<String, Vec<HistoryRow>> {
        &self.histories
    }

    fn lineage(&self) -> &str {
        "sim/1"
    }

    fn partial(&self) -> &[Partial] {
        &self.partial
    }

    async fn apply(&mut self, _: &str, script: &Script) -> Result<HistoryRow, ScriptFailure> {
        let rank = self.histories["default"].len() as u64 + 1;
        let row = HistoryRow::of(script, rank);
        let mut answer = self.world.behaviour(&self.target).to_apply(&script.key);
        if script.directives.no_transaction {
            self.apply_in_steps(script, answer).await?;
            answer = Answer::Done;
        }
        self.send("apply", Effect::Apply(row.clone()), answer).await?;
        self.histories.get_mut("default").expect("the one history").push(row.clone());
        Ok(row)
    }

    async fn undo(&mut self, _: &str, script: &Script) -> Result<(), ScriptFailure> {
        let answer = self.world.behaviour(&self.target).to_undo(&script.key);
        self.send("undo", Effect::Undo(script.key.clone(), script.undo_loses_data()), answer).await?;
        self.histories.get_mut("default").expect("the one history").retain(|row| row.key != script.key);
        Ok(())
    }

    fn canceller(&self) -> Canceller {
        Canceller::new(|| Box::pin(async {}))
    }

    async fn leave(self, claim: Claim) -> Result<(), EngineError> {
        let left = self
            .world
            .call(self.driver, "leave", || {
                let mut state = self.world.state();
                let db = state.database(&self.target);
                db.sessions.remove(&self.id);
                if db.lock == Some(self.id) {
                    db.lock = None;
                }
                if claim == Claim::GiveUp && db.token == self.token {
                    db.claim = None;
                }
            })
            .await;
        left.map_err(|_| lost())
    }
}
