//! The write mark: how many transactions the database has committed, less those in which we only moved our own fence.
//!
//! Every commit counts, whatever it wrote, and a transaction that wrote nothing does not; the number is in the bookmark
//! that a transaction ends with, also one that only read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::connect::Connection;
use super::history::number;
use super::packstream::{Value, sequence};
use super::settings::Settings;
use crate::engine::EngineError;

const OWN: &str = "OPTIONAL MATCH (f:__WhimbrelFence {id: 1}) RETURN coalesce(f.own, 0)";
/// Two equal readings, one after the other: nothing went on between what was counted and what was told.
const TRIES: usize = 10;

/// Reads the mark. The inner error is why it can't be read, a sentence.
pub(super) async fn read(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Result<String, String>, EngineError> {
    let mut before = None;
    for _ in 0..TRIES {
        let set = connection.read(settings, OWN, Value::map([])).await?;
        let own = number(set.rows.first().and_then(|row| row.first()));
        let Some(committed) = set.bookmark.as_deref().and_then(committed) else {
            let why = "the write mark can't be read: the server's bookmark is none that this version knows";
            return Ok(Err(why.to_owned()));
        };
        let now = Some((committed, own));
        if before == now {
            return Ok(Ok(format!("tx:{}", committed.saturating_sub(own))));
        }
        before = now;
    }
    Ok(Err("the write mark can't be read: somebody writes all the time".to_owned()))
}

/// The number of the last transaction in a bookmark: `FB:` and, in base 64, pairs of a database's id and a number. We ask for
/// one database, and send no bookmark of another.
fn committed(bookmark: &str) -> Option<u64> {
    let bytes = STANDARD_NO_PAD.decode(bookmark.strip_prefix("FB:")?.trim_end_matches('=')).ok()?;
    match sequence(bytes.get(1..)?).as_slice() {
        [Value::Bytes(_), number, ..] if bytes[0] == 0x91 => number.as_u64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_of_a_real_server() {
        assert_eq!(committed("FB:kcwQupzYOA1LQFmIxjLubWRKOwOQ"), Some(3));
        assert_eq!(committed("FB:kcwQupzYOA1LQFmIxjLubWRKOwqQ"), Some(10));
        assert_eq!(committed("neo4j:bookmark:v1:tx12"), None);
        assert_eq!(committed("FB:"), None);
    }
}
