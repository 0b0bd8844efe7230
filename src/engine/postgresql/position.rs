//! From what the server says of an error to its place in the user's own file.

use super::guard::{Message, OPENING};
use super::wire::{Reply, ServerError};
use crate::script::split::{Lines, Split, split};

/// Where in the file an error is, and what to say instead of the server's words where those quote our own text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) statement: Option<usize>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    pub(super) message: Option<String>,
}

/// The place of `error` in `text`, which stands in `message`.
///
/// Errors of reading and analysing carry a position. The others belong to the statement that was running: the one
/// after those that completed. Beyond the last one it is our own COMMIT, where deferred constraints are checked.
pub(super) fn place(message: &Message, text: &str, reply: &Reply, error: &ServerError) -> Place {
    let lines = Lines::new(text);
    let split = match split(text) {
        Ok(split) => Some(split),
        // Whatever was left open swallowed our own text, and the server's words quote that.
        Err(unclosed) if error.code == "42601" => {
            let said = Some(unclosed.what.to_string());
            return Place { message: said, ..at(&lines, text, unclosed.offset, None) };
        }
        Err(_) => None,
    };
    match error.position {
        Some(position) => match position.checked_sub(message.opening_chars + 1) {
            Some(offset) => positioned(&lines, text, offset, split.as_ref()),
            None => Place::default(),
        },
        None => running(&lines, text, reply, error, split.as_ref()),
    }
}

/// `offset` is in characters of the text, from 0.
fn positioned(lines: &Lines, text: &str, offset: usize, split: Option<&Split>) -> Place {
    if let Some((byte, _)) = text.char_indices().nth(offset) {
        return at(lines, text, byte, split);
    }
    let last = split.and_then(|split| split.statements.last());
    Place {
        message: Some("the last statement is not complete".to_owned()),
        ..last.map_or_else(Place::default, |last| at(lines, text, last.range.start, split))
    }
}

fn running(lines: &Lines, text: &str, reply: &Reply, error: &ServerError, split: Option<&Split>) -> Place {
    let Some((split, done)) = split.zip(reply.completed.checked_sub(OPENING)) else {
        return Place::default();
    };
    match split.statements.get(done) {
        Some(statement) => at(lines, text, statement.range.start, Some(split)),
        None => {
            let constraint = error.constraint.as_ref().map(|name| format!(", constraint {name}"));
            let constraint = constraint.unwrap_or_default();
            let said = format!("at the end of the transaction{constraint}: {}", error.text(false));
            Place { message: Some(said), ..Place::default() }
        }
    }
}

fn at(lines: &Lines, text: &str, byte: usize, split: Option<&Split>) -> Place {
    let (line, column) = lines.at(text, byte);
    Place {
        statement: split.and_then(|split| split.statement_at(byte)).map(|statement| statement.number),
        line: u32::try_from(line).ok(),
        column: u32::try_from(column).ok(),
        ..Place::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postgresql::guard;

    const TEXT: &str = "-- ü\nSELECT 1;\n\n  SELECT x FROM y;\nSELECT";

    fn placed(text: &str, completed: usize, error: &ServerError) -> Place {
        let message = guard::guarded("SELECT 'ü'", None, text, guard::CLOSE);
        let reply = Reply { completed, ..Reply::default() };
        // Positions in these tests are of the text; the server's are of the whole message.
        let position = error.position.map(|position| position + message.opening_chars);
        place(&message, text, &reply, &ServerError { position, ..error.clone() })
    }

    fn error(code: &str, position: Option<usize>) -> ServerError {
        ServerError { code: code.to_owned(), message: "m".to_owned(), position, ..ServerError::default() }
    }

    fn triple(place: &Place) -> (Option<usize>, Option<u32>, Option<u32>) {
        (place.statement, place.line, place.column)
    }

    #[test]
    fn a_position_is_counted_in_characters_of_the_users_file() {
        let x = TEXT.chars().position(|c| c == 'x').unwrap() + 1;
        let place = placed(TEXT, 0, &error("42703", Some(x)));
        assert_eq!(triple(&place), (Some(2), Some(4), Some(10)));
        assert_eq!(place.message, None);
    }

    #[test]
    fn without_a_position_it_is_the_statement_that_was_running() {
        let place = placed(TEXT, OPENING + 1, &error("22012", None));
        assert_eq!(triple(&place), (Some(2), Some(4), Some(3)));
    }

    #[test]
    fn beyond_the_text_the_last_statement_is_not_complete() {
        let place = placed(TEXT, 0, &error("42601", Some(TEXT.chars().count() + 3)));
        assert_eq!(triple(&place), (Some(3), Some(5), Some(1)));
        assert_eq!(place.message.as_deref(), Some("the last statement is not complete"));
    }

    #[test]
    fn an_open_quote_is_named_where_it_was_opened_and_our_own_text_is_not_quoted() {
        let text = "SELECT 1;\nINSERT INTO t VALUES ('abc;\n";
        let mut cut = error("42601", Some(33));
        cut.message = "unterminated quoted string at or near \"'abc;\n;SET SESSION\"".to_owned();
        let place = placed(text, 0, &cut);
        assert_eq!(triple(&place), (None, Some(2), Some(23)));
        assert_eq!(place.message.as_deref(), Some("a string (') is never closed"));
    }

    #[test]
    fn what_fails_after_the_last_statement_names_the_constraint() {
        let mut late = error("23503", None);
        late.constraint = Some("orders_user_fkey".to_owned());
        let place = placed("SELECT 1;", OPENING + 5, &late);
        assert_eq!(triple(&place), (None, None, None));
        assert_eq!(
            place.message.as_deref(),
            Some("at the end of the transaction, constraint orders_user_fkey: m")
        );
    }

    #[test]
    fn an_error_in_the_opening_has_no_place_in_the_file() {
        let message = guard::guarded("SELECT 1", None, TEXT, guard::CLOSE);
        assert_eq!(place(&message, TEXT, &Reply::default(), &error("42501", Some(5))), Place::default());
    }
}
