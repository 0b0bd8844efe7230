//! What a path names: indices, an endpoint, what stands behind it.

/// A path cut at its slashes, without its query. Indices stand before the first part that begins with `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    parts: Vec<&'a str>,
    query: &'a str,
}

impl<'a> Path<'a> {
    /// Of a request's path and query.
    pub fn of(path: &'a str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self { parts: path.split('/').filter(|part| !part.is_empty()).collect(), query }
    }

    /// The names before the endpoint, as `a,b*`; `None` where the request is about the whole cluster.
    pub fn indices(&self) -> Option<&'a str> {
        self.parts.first().copied().filter(|part| !part.starts_with('_') || *part == "_all")
    }

    /// The endpoint, as `_bulk`; empty where the path is an index alone.
    pub fn endpoint(&self) -> &'a str {
        let skip = usize::from(self.indices().is_some());
        self.parts.get(skip).copied().unwrap_or_default()
    }

    /// The part `n` behind the endpoint, from 0.
    pub fn behind(&self, n: usize) -> Option<&'a str> {
        self.parts.get(usize::from(self.indices().is_some()) + 1 + n).copied()
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// Whether a PUT here takes the place of what is there: it is not refused because something is, however often it comes.
    pub fn replaces(&self) -> bool {
        let only_if = ["op_type", "create", "version", "version_type", "if_seq_no", "if_primary_term"];
        if only_if.iter().any(|name| self.parameter(name).is_some()) {
            return false;
        }
        match (self.indices(), self.endpoint()) {
            (Some(_), "_doc" | "_alias" | "_aliases")
            | (None, "_template" | "_index_template" | "_component_template" | "_scripts" | "_ingest") => {
                true
            }
            // A repository; a snapshot of a name that is taken is refused.
            (None, "_snapshot") => self.behind(1).is_none(),
            _ => false,
        }
    }

    /// Where a GET finds what a PUT here makes and a DELETE here takes away; `None` where that can't be told.
    pub fn thing(&self) -> Option<String> {
        let indices = self.indices();
        match (indices, self.endpoint(), self.behind(0), self.behind(1)) {
            (Some(index), "", None, _) => Some(format!("/{index}")),
            (Some(index), "_doc" | "_create", Some(id), None) => Some(format!("/{index}/_doc/{id}")),
            (Some(_), "_clone" | "_split" | "_shrink", Some(target), None) => Some(format!("/{target}")),
            (Some(index), "_alias" | "_aliases", Some(alias), None) => {
                Some(format!("/{index}/_alias/{alias}"))
            }
            (
                None,
                endpoint @ ("_template"
                | "_index_template"
                | "_component_template"
                | "_scripts"
                | "_snapshot"
                | "_data_stream"),
                Some(name),
                None,
            ) => Some(format!("/{endpoint}/{name}")),
            (None, endpoint @ "_snapshot", Some(repository), Some(snapshot)) if self.behind(2).is_none() => {
                Some(format!("/{endpoint}/{repository}/{snapshot}"))
            }
            (None, endpoint @ "_ingest", Some(kind @ "pipeline"), Some(name)) if self.behind(2).is_none() => {
                Some(format!("/{endpoint}/{kind}/{name}"))
            }
            _ => None,
        }
    }
}

/// Whether a pattern of an index name (`*` for anything) covers `name`.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_endpoint_and_the_rest() {
        let path = Path::of("/users/_doc/1?refresh=true&routing");
        assert_eq!((path.indices(), path.endpoint(), path.behind(0)), (Some("users"), "_doc", Some("1")));
        assert_eq!((path.parameter("refresh"), path.parameter("routing")), (Some("true"), Some("")));
        assert_eq!(path.parameter("fresh"), None);
        let path = Path::of("/_ingest/pipeline/p");
        assert_eq!((path.indices(), path.endpoint(), path.behind(1)), (None, "_ingest", Some("p")));
        assert_eq!(Path::of("/_all/_mapping").indices(), Some("_all"));
        assert_eq!((Path::of("/users").endpoint(), Path::of("/").indices()), ("", None));
    }

    #[test]
    fn what_is_made_is_found_again() {
        for (path, thing) in [
            ("/users", "/users"),
            ("/users/_create/1?refresh", "/users/_doc/1"),
            ("/users/_clone/users-2", "/users-2"),
            ("/users/_alias/u", "/users/_alias/u"),
            ("/_index_template/t", "/_index_template/t"),
            ("/_ingest/pipeline/p", "/_ingest/pipeline/p"),
            ("/_snapshot/r/s", "/_snapshot/r/s"),
        ] {
            assert_eq!(Path::of(path).thing().as_deref(), Some(thing), "{path}");
        }
        for path in ["/users/_mapping", "/_aliases", "/users/_doc", "/_snapshot/r/s/_restore", "/"] {
            assert_eq!(Path::of(path).thing(), None, "{path}");
        }
    }

    #[test]
    fn what_is_there_is_in_the_way_or_replaced() {
        for path in [
            "/users/_doc/1?refresh=true",
            "/users/_alias/u",
            "/_scripts/s",
            "/_ingest/pipeline/p",
            "/_snapshot/r",
        ] {
            assert!(Path::of(path).replaces(), "{path}");
        }
        for path in [
            "/users",
            "/users/_create/1",
            "/users/_doc/1?op_type=create",
            "/users/_doc/1?version=3&version_type=external",
            "/users/_clone/users-2",
            "/_index_template/t?create=true",
            "/_snapshot/r/s",
            "/_data_stream/d",
        ] {
            assert!(!Path::of(path).replaces(), "{path}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", "a"), ("a*", "a"), ("a*c", "abc"), ("*b*", "abc"), ("a", "a"), ("es_*", "es_evolution")]
        {
            assert!(covers(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*c", "ab"), ("ab*b", "ab"), ("b*", "ab"), ("*a*b*", "ba")] {
            assert!(!covers(pattern, name), "{pattern} {name}");
        }
    }
}
