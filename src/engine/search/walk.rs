//! A script request by request, with a cursor in the journal: before each the journal says, durably, that it is under way and
//! what was there before it; after it that it is done. Between the two the class of the request decides.

use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::answer::Answer;
use super::client::{Call, Missed};
use super::lost::Fate;
use super::record::{Entry, Sent, State};
use super::session::{FINISH, SearchSession, as_failure};
use super::task::{FIRST_LOOK, LAST_LOOK, Task};
use super::verdict::{CANCELED, Known, Refused, Verdict, judge};
use super::{aliases, task};
use crate::engine::name::run_part;
use crate::engine::{BlockedBy, ScriptError, ScriptFailure};
use crate::script::Script;
use crate::script::http::{Class, Method, Path, Request, requests};

const INTEND: &str = "say what is sent";

/// Which text is walked.
pub(super) struct Of<'a> {
    pub(super) history: &'a str,
    pub(super) script: &'a Script,
    /// The user's file in which the text is.
    pub(super) file: &'a str,
    /// All of them, filled.
    pub(super) requests: &'a [Request],
    pub(super) undo: bool,
}

impl SearchSession {
    /// Sends what is left of the text.
    pub(super) async fn walk(&mut self, of: &Of<'_>) -> Result<(), ScriptFailure> {
        let done = self.entry(of)?.done;
        for request in of.requests.iter().skip(done) {
            self.step(of, request).await?;
        }
        // What is written last belongs to the run that holds the target. Who has the other tool's lock no longer matters:
        // everything is done, and to say so is all that is left.
        self.held.check(&self.client).await
    }

    pub(super) fn entry(&self, of: &Of<'_>) -> Result<Entry, ScriptFailure> {
        let entry = self.record.entry(of.history, &of.script.key).cloned();
        entry.ok_or_else(|| ScriptFailure::drift(of.script, "its journal is gone"))
    }

    async fn step(&mut self, of: &Of<'_>, request: &Request) -> Result<(), ScriptFailure> {
        if let Err(failure) = self.is_held().await {
            return Err(match failure {
                ScriptFailure::Cancelled => self.stop(of).await?,
                other => other,
            });
        }
        let earlier = self.entry(of)?.sent.filter(|sent| sent.number == request.number);
        let sent = match earlier {
            None => self.first(of, request).await?,
            Some(earlier) => match self.again(of, request, &earlier).await? {
                Some(sent) => sent,
                None => return Ok(()),
            },
        };
        let answer = self.send(of, request, &sent).await?;
        let full = self.client.settings.diagnostics_full;
        let known = Known { before: sent.before, again: sent.tries > 1, full };
        match (request.class(), judge(request, &answer, known)) {
            (Class::Task { .. }, Verdict::Done) => match answer.text_at("/task") {
                "" => Err(failure(of, request, "NoTask", "the server started no task".to_owned(), None)),
                id => self.follow(of, request, &sent, id).await,
            },
            (_, verdict) => self.settle(of, request, verdict).await,
        }
    }

    /// Makes ready for a request that was never sent. What need not wait for another travels beside it: where nothing is to
    /// be known first, the intent does.
    async fn first(&mut self, of: &Of<'_>, request: &Request) -> Result<Sent, ScriptFailure> {
        if !of.undo {
            Box::pin(self.remember(request)).await?;
        }
        let asked = is_asked_before(request);
        let sent = self.sent(of, request, None, 1);
        let intent = if asked { None } else { self.intent(of, request, &sent)? };
        let (lock, before, [owed, intent]) = tokio::join!(
            self.holds_lock(),
            self.before(request, asked),
            self.put_both([(FINISH, self.record.owed.clone()), (INTEND, intent)]),
        );
        let (owed, intent) = (self.wrote(owed), self.wrote(intent));
        if let Err(failure) = lock.and(owed).and(intent) {
            self.take_back(of).await;
            return Err(failure);
        }
        if !asked {
            return Ok(sent);
        }
        let sent = Sent { before: before?, ..sent };
        self.intend(of, request, &sent).await?;
        Ok(sent)
    }

    /// What became of a request that was sent before; as it is to be sent again, unless that settles it.
    async fn again(
        &mut self,
        of: &Of<'_>,
        request: &Request,
        earlier: &Sent,
    ) -> Result<Option<Sent>, ScriptFailure> {
        self.holds_lock().await?;
        match self.client.fate(request, earlier).await? {
            Fate::Again => {
                let sent = self.sent(of, request, earlier.before, earlier.tries + 1);
                self.intend(of, request, &sent).await?;
                return Ok(Some(sent));
            }
            Fate::Done => self.done(of, request).await?,
            Fate::Running(Some(id)) => self.follow(of, request, earlier, &id).await?,
            Fate::Running(None) => {
                let what = format!("request {} ({request}) still runs at the server", request.number);
                return Err(blocked(what));
            }
            Fate::Unknown(evidence) => return Err(ScriptFailure::Unknown { evidence }),
            Fate::Ended(answer) => self.ended(of, request, earlier, &answer).await?,
        }
        Ok(None)
    }

    /// Whether what the request does is so before it is sent, where that is asked.
    async fn before(&self, request: &Request, asked: bool) -> Result<Option<bool>, ScriptFailure> {
        match request.class() {
            _ if !asked => Ok(None),
            Class::Aliases => Ok(Some(aliases::hold(&self.client, &request.body).await?)),
            _ => self.is_there(request).await,
        }
    }

    fn sent(&self, of: &Of<'_>, request: &Request, before: Option<bool>, tries: u32) -> Sent {
        let part = if of.undo { "undo/" } else { "" };
        let run = run_part(&self.fence.run_uid);
        Sent {
            number: request.number,
            opaque: format!("wb/{run}/{}/{part}{}/{}", self.fence.token, of.script.key, request.number),
            task: None,
            before,
            tries,
        }
    }

    /// What says durably that a request is about to be sent. One that changes nothing needs no intent.
    fn intent(&self, of: &Of<'_>, request: &Request, sent: &Sent) -> Result<Option<Entry>, ScriptFailure> {
        let entry = Entry { sent: Some(sent.clone()), ..self.entry(of)? };
        Ok((request.class() != Class::Free).then_some(entry))
    }

    async fn intend(&mut self, of: &Of<'_>, request: &Request, sent: &Sent) -> Result<(), ScriptFailure> {
        let put = self.put(INTEND, self.intent(of, request, sent)?).await;
        self.wrote(put)
    }

    /// Takes an intent back whose request surely was not sent: nothing is to be asked about it.
    async fn take_back(&mut self, of: &Of<'_>) {
        let intended =
            self.entry(of).ok().filter(|entry| entry.sent.as_ref().is_some_and(|sent| sent.tries == 1));
        let Some(entry) = intended else { return };
        if let Err(failure) = self.write("take back what was not sent", Entry { sent: None, ..entry }).await {
            tracing::debug!(%failure, "an intent was not taken back");
        }
    }

    /// Whether what a request makes or takes away is there; `None` where a GET can't tell.
    async fn is_there(&self, request: &Request) -> Result<Option<bool>, ScriptFailure> {
        let Some(thing) = Path::of(&request.path).thing() else { return Ok(None) };
        let answer = self.client.read(&thing).await?;
        Ok(match answer.status {
            404 => Some(false),
            _ if answer.is_success() => Some(true),
            _ => None,
        })
    }

    async fn send(&mut self, of: &Of<'_>, request: &Request, sent: &Sent) -> Result<Answer, ScriptFailure> {
        let path = match (request.awaits, request.path.contains('?')) {
            _ if request.path.contains("wait_for_completion=") && !request.awaits => request.path.clone(),
            (true, true) => format!("{}&wait_for_completion=false", request.path),
            (true, false) => format!("{}?wait_for_completion=false", request.path),
            (false, _) => request.path.clone(),
        };
        let body = if request.body.trim().is_empty() { None } else { Some(request.body.clone()) };
        let call = Call {
            method: method(request),
            path: &path,
            headers: &request.headers,
            body,
            opaque: Some(&sent.opaque),
            within: self.client.settings.request_timeout,
        };
        *self.now.lock().expect("nobody panics while holding it") = Some(sent.opaque.clone());
        self.held.under_way.store(true, Ordering::Relaxed);
        let what = if of.undo { "a request of an undo" } else { "a request of a script" };
        let answer = self.client.of_script(what, &call).await;
        *self.now.lock().expect("nobody panics while holding it") = None;
        match answer {
            Ok(answer) => {
                self.held.under_way.store(false, Ordering::Relaxed);
                Ok(answer)
            }
            Err(Missed::NotSent(error)) => {
                self.held.under_way.store(false, Ordering::Relaxed);
                self.take_back(of).await;
                Err(as_failure(error))
            }
            Err(Missed::Lost(reason)) => Err(ScriptFailure::Lost { reason }),
        }
    }

    /// Waits for a task, from its first answer or found again.
    async fn follow(
        &mut self,
        of: &Of<'_>,
        request: &Request,
        sent: &Sent,
        id: &str,
    ) -> Result<(), ScriptFailure> {
        if sent.task.as_deref() != Some(id) {
            let sent = Sent { task: Some(id.to_owned()), ..sent.clone() };
            let entry = Entry { sent: Some(sent), ..self.entry(of)? };
            self.write("note the task", entry).await?;
        }
        let ended = self.awaited(id).await?;
        let Some(answer) = ended else {
            // Its node is gone; the next try looks whether it may be started again.
            return Err(blocked(format!("the task of request {} ({request}) is lost", request.number)));
        };
        self.ended(of, request, sent, &answer).await
    }

    /// What the result of a task comes to, whether it was waited for or found after its answer was lost.
    async fn ended(
        &mut self,
        of: &Of<'_>,
        request: &Request,
        sent: &Sent,
        answer: &Answer,
    ) -> Result<(), ScriptFailure> {
        let known =
            Known { before: None, again: sent.tries > 1, full: self.client.settings.diagnostics_full };
        let verdict = match task::found(answer, known) {
            Verdict::Done => self.counted(request, answer).await?,
            other => other,
        };
        self.settle(of, request, verdict).await
    }

    /// The result of a task; `None` when it is lost. The lease is looked at before each look at the task.
    async fn awaited(&self, id: &str) -> Result<Option<Answer>, ScriptFailure> {
        let (mut asked, mut pause) = (false, FIRST_LOOK);
        loop {
            if self.cancelled.asked() && !std::mem::replace(&mut asked, true) {
                self.client.cancel(id).await;
            }
            self.held.check(&self.client).await?;
            match self.client.task(id).await {
                Ok(Task::Ended(answer)) => return Ok(Some(answer)),
                Ok(Task::Absent) => return Ok(None),
                Ok(Task::Running(_)) => {}
                // A look that fails says nothing of the task.
                Err(Missed::Lost(reason)) => {
                    tracing::debug!(reason, id, "a look at a task did not get through")
                }
                Err(Missed::NotSent(error)) => {
                    tracing::debug!(%error, id, "a look at a task did not get through")
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// A reindex is done when its documents can be found: after a refresh, every one that it read.
    async fn counted(&self, request: &Request, answer: &Answer) -> Result<Verdict, ScriptFailure> {
        if Path::of(&request.path).endpoint() != "_reindex" {
            return Ok(Verdict::Done);
        }
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
        let index = |pointer: &str| body.pointer(pointer).and_then(serde_json::Value::as_str);
        let (Some(from), Some(to)) = (index("/source/index"), index("/dest/index")) else {
            return Ok(Verdict::Done);
        };
        let client = &self.client;
        client.expect(client.read(&format!("/{from},{to}/_refresh")).await).map_err(as_failure)?;
        // A query, a script or a limit may leave some out: then only what was read must be accounted for.
        let all = ["/source/query", "/script", "/max_docs", "/size", "/source/slice"]
            .iter()
            .all(|part| body.pointer(part).is_none());
        let (read, written) = match all {
            true => (self.count(from).await?, self.count(to).await?),
            false => {
                let number = |name: &str| answer.number_at(name);
                let handled = ["/created", "/updated", "/deleted", "/noops", "/version_conflicts"];
                (number("/total"), handled.into_iter().map(number).sum())
            }
        };
        if read == written {
            return Ok(Verdict::Done);
        }
        Ok(Verdict::Refused(Refused {
            code: "CountsDiffer".to_owned(),
            message: format!("the reindex is done, but {from} has {read} documents and {to} {written}"),
            hint: Some("See that nobody writes to either, and that the new index was empty.".to_owned()),
            in_part: true,
        }))
    }

    async fn count(&self, index: &str) -> Result<u64, ScriptFailure> {
        let answer = self.client.read(&format!("/{index}/_count")).await;
        Ok(self.client.expect(answer).map_err(as_failure)?.number_at("/count"))
    }

    async fn settle(
        &mut self,
        of: &Of<'_>,
        request: &Request,
        verdict: Verdict,
    ) -> Result<(), ScriptFailure> {
        match verdict {
            Verdict::Done => self.done(of, request).await,
            // We ended it ourselves, because the driver was called away: whoever goes on sends it again, if that is safe.
            Verdict::Refused(refused)
                if refused.code == CANCELED
                    && self.cancelled.asked()
                    && matches!(request.class(), Class::Idempotent | Class::Task { again: true }) =>
            {
                Err(ScriptFailure::Lost {
                    reason: format!("request {} was ended on our own request", request.number),
                })
            }
            Verdict::Refused(refused) => self.refused(of, request, refused).await,
            Verdict::NotNow(why) => {
                Err(blocked(format!("request {} ({request}) was not taken: {why}", request.number)))
            }
            Verdict::Unclear(why) if request.class() == Class::Once => Err(ScriptFailure::Unknown {
                evidence: format!("request {} ({request}) may be done: {why}", request.number),
            }),
            Verdict::Unclear(why) => Err(blocked(format!("request {} ({request}): {why}", request.number))),
        }
    }

    /// Moves the cursor. Behind the last request the script's end does, where the request could be asked about, or sent
    /// again, if that is never written.
    async fn done(&mut self, of: &Of<'_>, request: &Request) -> Result<(), ScriptFailure> {
        let entry = Entry { done: request.number, sent: None, ..self.entry(of)? };
        let last = request.number == of.requests.len();
        if last && matches!(request.class(), Class::Free | Class::Idempotent | Class::Aliases) {
            self.record.ahead = Some(entry);
            return Ok(());
        }
        self.write("move the cursor", entry).await
    }

    /// A refused request leaves the cursor in front of it. Where nothing at all is done, the script is as if it had never
    /// begun.
    async fn refused(
        &mut self,
        of: &Of<'_>,
        request: &Request,
        refused: Refused,
    ) -> Result<(), ScriptFailure> {
        let entry = self.entry(of)?;
        let nothing =
            entry.done == 0 && !refused.in_part && entry.sent.as_ref().is_none_or(|sent| sent.tries == 1);
        if nothing || !refused.in_part {
            let state = match (nothing, of.undo) {
                (true, false) => State::Undone,
                _ => entry.state,
            };
            self.write("note a refusal", Entry { state, sent: None, ..entry }).await?;
        }
        let stays = match (of.undo, nothing) {
            (_, true) => None,
            _ if refused.in_part => Some("What it did before that stays.".to_owned()),
            _ => Some(format!("The requests before it are done ({}).", request.number - 1)),
        };
        let hint = [refused.hint, stays].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Err(failure(of, request, &refused.code, refused.message, (!hint.is_empty()).then_some(hint)))
    }

    /// Ends on request between two of the script's own.
    async fn stop(&mut self, of: &Of<'_>) -> Result<ScriptFailure, ScriptFailure> {
        let entry = self.entry(of)?;
        if entry.done > 0 || entry.sent.is_some() || of.undo {
            let reason = format!("it was cancelled after {} of its requests", entry.done);
            return Ok(ScriptFailure::Lost { reason });
        }
        // Of a script that was only about to begin nothing is written.
        if self.record.ahead.as_ref() == Some(&entry) {
            self.record.ahead = None;
        } else {
            self.write("note that nothing is done", Entry { state: State::Undone, ..entry }).await?;
        }
        Ok(ScriptFailure::Cancelled)
    }
}

/// Whether something of what a request does must be known before it is sent first, to judge its answer to a second sending.
fn is_asked_before(request: &Request) -> bool {
    let path = Path::of(&request.path);
    match request.class() {
        Class::Aliases => true,
        Class::Idempotent if request.method == Method::Delete => path.thing().is_some(),
        Class::Idempotent => path.thing().is_some() && !path.replaces(),
        _ => false,
    }
}

/// A request's method as it is sent.
pub(super) fn method(request: &Request) -> http::Method {
    http::Method::from_bytes(request.method.name().as_bytes()).unwrap_or_default()
}

/// A cluster that is busy or not whole: waiting helps, and whoever waits sees why.
pub(super) fn blocked(what: String) -> ScriptFailure {
    ScriptFailure::Blocked(BlockedBy::unnamed(what))
}

/// The requests of a text whose variables are filled in.
pub(super) fn filled(file: &str, text: &str) -> Result<Vec<Request>, ScriptFailure> {
    requests(text).map_err(|faults| {
        let (line, why) =
            faults.into_iter().map(|(line, fault)| (line, fault.to_string())).next().unwrap_or_default();
        ScriptFailure::of_file(
            file,
            "BadRequest",
            format!("with its variables filled in, line {line} can't be read: {why}"),
            None,
        )
    })
}

fn failure(
    of: &Of<'_>,
    request: &Request,
    code: &str,
    message: String,
    hint: Option<String>,
) -> ScriptFailure {
    ScriptFailure::from(ScriptError {
        code: code.to_owned(),
        message,
        file: of.file.to_owned(),
        statement: Some(request.number),
        line: u32::try_from(request.line).ok(),
        column: None,
        hint,
    })
}
