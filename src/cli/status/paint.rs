//! Lines as text: signs, colours, and cut to the terminal.

use super::tree::{Line, Mark};
use anstyle::{AnsiColor, Style};

/// How lines may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Signs beyond ASCII.
    pub(super) utf8: bool,
    /// Colours.
    pub(super) color: bool,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Sentences longer than the terminal is wide are wrapped up to this depth; everything below is cut.
const WRAPPED: usize = 1;

/// The lines as they are printed. With a size each line fits the terminal, and all of them do: what redraws in place
/// must know how many lines it drew.
pub(super) fn text(lines: &[Line], look: Look, size: Option<Size>) -> String {
    let mut rows: Vec<String> = lines.iter().flat_map(|line| rows(line, look, size)).collect();
    if let Some(size) = size {
        let room = size.rows.saturating_sub(1).max(1);
        if rows.len() > room {
            let more = rows.len() - (room - 1);
            rows.truncate(room - 1);
            rows.push(format!("… {more} more lines"));
        }
    }
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn rows(line: &Line, look: Look, size: Option<Size>) -> Vec<String> {
    let indent = "  ".repeat(line.depth);
    let sign = sign(line.mark, look.utf8);
    let lead = if sign.is_empty() { indent.clone() } else { format!("{indent}{sign} ") };
    let Some(size) = size else { return vec![format!("{lead}{}", painted(&line.text, line.mark, look))] };
    let room = size.columns.saturating_sub(lead.chars().count()).max(10);
    let parts = if line.depth <= WRAPPED && line.mark == Mark::Plain {
        wrapped(&line.text, room)
    } else {
        vec![cut(&line.text, room)]
    };
    parts.into_iter().map(|part| format!("{lead}{}", painted(&part, line.mark, look))).collect()
}

fn sign(mark: Mark, utf8: bool) -> &'static str {
    match (mark, utf8) {
        (Mark::Plain, _) => "",
        (Mark::Done, true) => "✔",
        (Mark::Done, false) => "+",
        (Mark::Running, true) => "⟳",
        (Mark::Running, false) => ">",
        (Mark::Waiting, true) => "◷",
        (Mark::Waiting, false) => "?",
        (Mark::Failed, true) => "✖",
        (Mark::Failed, false) => "x",
        (Mark::Undone, true) => "↩",
        (Mark::Undone, false) => "<",
        (Mark::Pending, true) => "·",
        (Mark::Pending, false) => ".",
    }
}

fn painted(text: &str, mark: Mark, look: Look) -> String {
    let color = match mark {
        Mark::Done => AnsiColor::Green,
        Mark::Running => AnsiColor::Cyan,
        Mark::Waiting | Mark::Undone => AnsiColor::Yellow,
        Mark::Failed => AnsiColor::Red,
        Mark::Plain | Mark::Pending => return text.to_owned(),
    };
    if !look.color {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Breaks a sentence between words; a word longer than a line is cut, since a command that is broken can't be copied
/// anyhow, and the whole sentence is printed at the end.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= most => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(cut(word, most)),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { utf8: true, color: false };

    fn line(depth: usize, mark: Mark, text: &str) -> Line {
        Line { depth, mark, text: text.into() }
    }

    #[test]
    fn the_sentence_is_wrapped_and_everything_else_is_cut() {
        let lines = [
            line(1, Mark::Plain, "waits for the release of run 2"),
            line(2, Mark::Done, "quiesce deployment.aether.web"),
        ];
        let size = Some(Size { columns: 20, rows: 10 });
        assert_eq!(text(&lines, PLAIN, size), "  waits for the\n  release of run 2\n    ✔ quiesce deplo…\n");
    }

    #[test]
    fn what_is_drawn_fits_the_terminal() {
        let lines: Vec<Line> = (0..20).map(|n| line(0, Mark::Done, &n.to_string())).collect();
        let drawn = text(&lines, PLAIN, Some(Size { columns: 80, rows: 5 }));
        assert_eq!(drawn, "✔ 0\n✔ 1\n✔ 2\n… 17 more lines\n");
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let lines = [line(0, Mark::Failed, "Held")];
        assert_eq!(text(&lines, Look { utf8: false, color: true }, None), "x \u{1b}[31mHeld\u{1b}[0m\n");
        assert_eq!(text(&lines, Look { utf8: false, color: false }, None), "x Held\n");
    }
}
