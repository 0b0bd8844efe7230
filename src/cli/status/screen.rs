//! Where a watch is shown: a terminal is redrawn in place, a log gets one line per change.
//!
//! Nothing of the terminal is switched (no other screen, no hidden cursor), so that Ctrl-C leaves it as it was.

use super::paint::{self, Look, Size};
use super::source::Seen;
use super::tree::tree;
use crate::api::MigrationPlan;
use std::io::Write as _;

/// The place where one plan is shown.
pub(super) struct Screen {
    look: Look,
    json: bool,
    terminal: bool,
    /// Lines that are drawn and will be drawn over.
    drawn: usize,
    /// What a log was told last.
    told: String,
    last: Option<Seen>,
}

impl Screen {
    pub(super) fn new(look: Look, json: bool, terminal: bool) -> Self {
        Self { look, json, terminal, drawn: 0, told: String::new(), last: None }
    }

    /// Shows what was seen, if it differs from what is shown.
    pub(super) fn show(&mut self, seen: &Seen) {
        let text = match (self.json, self.terminal) {
            (true, _) => self.changed(seen.json()),
            (false, true) => self.redrawn(seen, size()),
            (false, false) => self.changed(transition(&seen.plan)),
        };
        self.last = Some(seen.clone());
        emit(&text);
    }

    /// What is left on the screen at the end is the whole tree, nothing cut.
    pub(super) fn leave(&mut self) {
        if let Some(seen) = self.last.clone().filter(|_| self.terminal && !self.json) {
            emit(&self.redrawn(&seen, None));
        }
    }

    /// The plan as it was shown last.
    pub(super) fn last(&self) -> Option<&MigrationPlan> {
        self.last.as_ref().map(|seen| &seen.plan)
    }

    fn changed(&mut self, text: String) -> String {
        if self.told == text {
            return String::new();
        }
        self.told = text;
        self.told.clone()
    }

    /// Up over what is drawn, clear to the end of the screen, draw.
    fn redrawn(&mut self, seen: &Seen, size: Option<Size>) -> String {
        let text = paint::text(&tree(&seen.plan, seen.run.as_ref(), &seen.events), self.look, size);
        let up = if self.drawn > 0 { format!("\x1b[{}A\x1b[0J", self.drawn) } else { String::new() };
        self.drawn = text.lines().count();
        format!("{up}{text}")
    }
}

/// One line of a log: where the plan stands and why.
fn transition(plan: &MigrationPlan) -> String {
    let unseen = crate::api::MigrationPlanStatus::default();
    let status = plan.status.as_ref().unwrap_or(&unseen);
    let name = plan.metadata.name.as_deref().unwrap_or_default();
    let message = if status.message.is_empty() { "not looked at yet" } else { &status.message };
    format!("{name}  {}  {}  {message}\n", status.phase, status.progress)
}

/// Writes at once. A reader that has gone away (`| head`) is no reason to panic: the exit code still counts.
fn emit(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written {
        tracing::debug!(%error, "standard output is closed");
    }
}

/// The terminal's size; 80 x 24 where it does not say.
fn size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0);
    Some(size.map_or(Size { columns: 80, rows: 24 }, |size| Size {
        columns: size.ws_col.into(),
        rows: size.ws_row.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{migrating, succeeded};
    use super::*;

    const PLAIN: Look = Look { utf8: true, color: false };

    fn seen((plan, run): (MigrationPlan, crate::api::MigrationRun)) -> Seen {
        Seen { plan, run: Some(run), events: Vec::new() }
    }

    #[test]
    fn a_log_gets_one_line_per_change() {
        let mut screen = Screen::new(PLAIN, false, false);
        let first = screen.changed(transition(&migrating().0));
        assert_eq!(
            first,
            "platform  Migrating  0/2  entities: since 02:14:05Z waits for lock held by pid 412 (app=billing)\n"
        );
        assert_eq!(screen.changed(transition(&migrating().0)), "");
        assert_ne!(screen.changed(transition(&succeeded().0)), "");
    }

    #[test]
    fn a_terminal_is_drawn_over_exactly_as_far_as_it_was_drawn() {
        let mut screen = Screen::new(PLAIN, false, true);
        let size = Some(Size { columns: 60, rows: 8 });
        let first = screen.redrawn(&seen(migrating()), size);
        assert_eq!(first.lines().count(), 7);
        let second = screen.redrawn(&seen(succeeded()), None);
        assert!(second.starts_with("\x1b[7A\x1b[0J✔ aether/platform"), "{second:?}");
    }
}
