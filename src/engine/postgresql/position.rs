//! From what the server says of an error to its place in the user's own file.

use super::guard::Message;
use super::wire::{Reply, ServerError};
use crate::script::split::{self, Item, Statement, scan};

/// Where in the file an error is, and what to say instead of the server's words where those quote our own text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) statement: Option<usize>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    pub(super) message: Option<String>,
}

/// The place of `error` in the file that `message` is made of.
///
/// Errors of reading and analysing carry a position. The others belong to the statement that was running: the one
/// after those that completed; errors in the rows of a COPY say in which. Beyond the last one it is our own COMMIT, where
/// deferred constraints are checked.
pub(super) fn place(message: &Message<'_>, reply: &Reply, error: &ServerError) -> Place {
    let text = message.script.text();
    if error.code == "42601"
        && let Some(unclosed) = scan(text).find_map(Result::err)
    {
        // Whatever was left open swallowed our own text, and the server's words quote that.
        return Place { message: Some(unclosed.what.to_string()), ..at(text, unclosed.offset, None) };
    }
    match error.position {
        Some(position) => match position.checked_sub(message.opening_chars + 1) {
            Some(offset) => positioned(message, offset),
            None => Place::default(),
        },
        None => running(message, reply, error),
    }
}

/// `offset` is in characters of what was sent of the text, from 0.
fn positioned(message: &Message<'_>, offset: usize) -> Place {
    let text = message.script.text();
    if let Some(byte) = message.script.byte_of(offset) {
        let number = statements(text).take_while(|statement| statement.range.start <= byte).last();
        return at(text, byte, number.map(|statement| statement.number));
    }
    Place {
        message: Some("the last statement is not complete".to_owned()),
        ..statements(text).last().map_or_else(Place::default, |last| begin(&last))
    }
}

fn running(message: &Message<'_>, reply: &Reply, error: &ServerError) -> Place {
    let Some(done) = reply.completed.checked_sub(message.before) else { return Place::default() };
    let number = message.script.number(done);
    let sent = message.script.statements().is_none_or(|sent| done < sent);
    let running = statements(message.script.text()).find(|statement| sent && statement.number == number);
    let Some(running) = running else {
        let constraint = error.constraint.as_ref().map(|name| format!(", constraint {name}"));
        let constraint = constraint.unwrap_or_default();
        let said = format!("at the end of the transaction{constraint}: {}", error.text(false));
        return Place { message: Some(said), ..Place::default() };
    };
    match running.copy.as_ref().zip(row(error)) {
        Some((copy, row)) => {
            let line = u32::try_from(copy.line + row - 1).ok();
            Place { line, column: Some(1), ..begin(&running) }
        }
        None => begin(&running),
    }
}

/// The line of its data in which a COPY failed, from 1: `COPY t, line 3, column a: "x"`, in the server's language.
fn row(error: &ServerError) -> Option<usize> {
    let copy = error.context.as_ref()?.lines().find(|line| line.starts_with("COPY "))?;
    let numbers = copy.split(", ").skip(1).filter_map(|part| {
        let number: String = part.split_once(' ')?.1.chars().take_while(char::is_ascii_digit).collect();
        number.parse::<usize>().ok().filter(|number| *number > 0)
    });
    { numbers }.next()
}

fn statements(text: &str) -> impl Iterator<Item = Statement> {
    scan(text).filter_map(|item| match item {
        Ok(Item::Statement(statement)) => Some(statement),
        _ => None,
    })
}

fn begin(statement: &Statement) -> Place {
    Place {
        statement: Some(statement.number),
        line: u32::try_from(statement.line).ok(),
        column: u32::try_from(statement.column).ok(),
        message: None,
    }
}

fn at(text: &str, byte: usize, statement: Option<usize>) -> Place {
    let (line, column) = split::place(text, byte);
    Place { statement, line: u32::try_from(line).ok(), column: u32::try_from(column).ok(), message: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postgresql::guard::{self, OPENING};
    use crate::script::Executable;

    const TEXT: &str = "-- ü\nSELECT 1;\n\n  SELECT x FROM y;\nSELECT";

    fn placed(text: &str, completed: usize, error: &ServerError) -> Place {
        let message = guard::guarded("SELECT 'ü'", None, Executable::of(text), guard::CLOSE);
        let reply = Reply { completed, ..Reply::default() };
        // Positions in these tests are of the text; the server's are of the whole message.
        let position = error.position.map(|position| position + message.opening_chars);
        place(&message, &reply, &ServerError { position, ..error.clone() })
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
        let message = guard::guarded("SELECT 1", None, Executable::of(TEXT), guard::CLOSE);
        assert_eq!(place(&message, &Reply::default(), &error("42501", Some(5))), Place::default());
    }

    #[test]
    fn an_error_in_a_row_is_in_the_line_of_the_file() {
        let text = "SELECT 1;\n\\restrict k\nCOPY t FROM stdin; -- rows\n1\nx\n\\.\nSELECT y;";
        for (context, line) in [
            ("COPY t, line 2, column a: \"x, line 9\"", 5),
            ("SQL function \"f\"\nCOPY t, Zeile 1: »1«", 4),
            ("COPY t, ligne 2 : « x »", 5),
            ("nothing of the kind", 3),
        ] {
            let bad = ServerError { context: Some(context.to_owned()), ..error("22P02", None) };
            let place = placed(text, OPENING + 1, &bad);
            assert_eq!(
                (place.statement, place.line, place.column),
                (Some(2), Some(line), Some(1)),
                "{context}"
            );
        }
        let y = text.replace("\\restrict k", "").replace("1\nx\n\\.", "").find('y').unwrap() + 1;
        assert_eq!(triple(&placed(text, 0, &error("42703", Some(y)))), (Some(3), Some(7), Some(8)));
    }
}
