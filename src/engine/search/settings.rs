//! How one search cluster is reached and treated.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::engine::{self, Tls};

/// Everything the engine needs to know about one target.
#[derive(Clone)]
pub struct Settings {
    /// `<namespace>/<name>` of the target; names our requests and every message.
    pub target: String,
    /// `https://host:9200`, with a path where a proxy wants one.
    pub url: String,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Asked at every connect and after every 401; `None` where the server asks for no login.
    pub credentials: Option<CredentialsSource>,
    /// Names and patterns of the indices that belong to the target; empty: all that do not begin with a dot.
    pub indices: Vec<String>,
    /// How a restored index gets the name of the one that it replaces.
    pub names: Names,
    /// The snapshot repository, where a restore is tried.
    pub repository: Option<String>,
    /// The declared histories.
    pub histories: Vec<History>,
    /// The cluster's uuid; anything else is refused.
    pub identity_expect: Option<String>,
    /// For address lookup, TLS and the first byte together. Default 5 s.
    pub connect_timeout: Duration,
    /// How long one request of a script may take. Default 30 s. Work that takes longer is awaited as a task.
    pub request_timeout: Duration,
    /// How long our lease on the target holds without a heartbeat. Default 20 s.
    pub lease: Duration,
    /// Messages carry causes that may quote documents.
    pub diagnostics_full: bool,
}

impl Settings {
    /// See [`Settings::connect_timeout`].
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`Settings::request_timeout`].
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
    /// See [`Settings::lease`].
    pub const LEASE: Duration = Duration::from_secs(20);

    /// How messages name this target.
    pub(super) fn at(&self) -> String {
        format!("{} ({})", self.target, self.url)
    }

    /// The indices as a path names them.
    pub(super) fn indices(&self) -> String {
        if self.indices.is_empty() { "*,-.*".to_owned() } else { self.indices.join(",") }
    }

    /// Whether an index belongs to the target by its own name, and not by an alias that somebody gave it.
    pub(super) fn covers(&self, index: &str) -> bool {
        self.indices().split(',').fold(false, |covered, pattern| match pattern.strip_prefix('-') {
            Some(without) => covered && !is_like(without, index),
            None => covered || is_like(pattern, index),
        })
    }

    /// The index in which elasticsearch-evolution keeps a history of ours, if it does.
    pub(super) fn evolution(&self) -> Option<(&History, &str)> {
        self.histories.iter().find_map(|history| match &history.kept {
            Kept::Evolution { index } => Some((history, index.as_str())),
            Kept::Own => None,
        })
    }
}

/// Whether a name is like a pattern, in which `*` stands for anything.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(before) else { return false };
    let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    ends.into_iter().any(|at| is_like(rest, &name[at..]))
}

/// How services name the indices that they use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// By alias: all restored indices are swapped in by one call.
    Alias,
    /// By the index's own name: it is deleted, and its restored copy is cloned to it.
    Concrete,
}

/// One declared history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its name within the target.
    pub name: String,
    /// Where its rows are.
    pub kept: Kept,
}

/// Where the rows of a history are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In Whimbrel's own index.
    Own,
    /// In the index of elasticsearch-evolution, as that library writes it.
    Evolution {
        /// Its name; the library's default is `es_evolution`.
        index: String,
    },
}

/// Where a login comes from: asked again whenever the server refuses the last one, since passwords rotate in the middle of
/// a run.
pub type CredentialsSource = engine::CredentialsSource<Login>;

/// Who we are. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user of the cluster.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: String,
    },
    /// An API key, as the server encodes it.
    ApiKey(String),
}

impl Login {
    /// The header's value; `None` where it can't be one.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Password { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            Self::ApiKey(key) => format!("ApiKey {}", key.trim()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Self::ApiKey(_) => f.write_str("ApiKey"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        for (pattern, name, like) in [
            ("a*", "a1", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*-v1", "documents-v1", true),
            ("d*s-*1", "documents-v1", true),
            ("d*s-*1", "documents-v2", false),
            ("a", "a1", false),
            ("*", "ä", true),
        ] {
            assert_eq!(is_like(pattern, name), like, "{pattern} {name}");
        }
    }

    #[test]
    fn a_login_is_a_header_and_never_printed() {
        let login = Login::Password { user: "elastic".to_owned(), password: "it's: a \"secret\"".to_owned() };
        assert_eq!(login.header().unwrap(), "Basic ZWxhc3RpYzppdCdzOiBhICJzZWNyZXQi");
        assert_eq!(
            format!("{login:?} {:?}", login.header()),
            "Password { user: \"elastic\", .. } Some(Sensitive)"
        );
        assert_eq!(format!("{:?}", Login::ApiKey("k".to_owned())), "ApiKey");
        assert_eq!(Login::ApiKey("two\nlines".to_owned()).header(), None);
    }
}
