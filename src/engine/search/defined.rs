//! What is defined for the whole cluster: templates and ingest pipelines.
//!
//! A snapshot of indices does not hold them. So what a script is about to define anew is written down as it is, before the
//! request is sent: once in a run for each name, and whoever puts the run's snapshot back puts these back as well. Those that
//! no script of ours names are somebody else's, and are never touched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::client::Client;
use super::session::{SearchSession, as_failure};
use super::store::{INDEX, Version, Wrote};
use crate::engine::{EngineError, ScriptFailure};
use crate::script::http::{Method, Path, Request};

/// The kinds, and where each is found.
pub(super) const DEFINED: [(&str, &str); 4] = [
    ("templates", "/_index_template"),
    ("components", "/_component_template"),
    ("legacytemplates", "/_template"),
    ("pipelines", "/_ingest/pipeline"),
];

/// The kind of a [`Definition`] among our documents.
const KIND: &str = "defined";

/// Something that a script has defined anew, as it was before the first script of its run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    kind: String,
    run_uid: String,
    /// One of [`DEFINED`].
    pub(super) of: String,
    pub(super) name: String,
    /// A text, since what is in it is no field of ours; none: there was none of this name.
    #[serde(with = "text")]
    pub(super) before: Option<Value>,
}

/// JSON as a text in a document of ours. What can't be read is an error of the document: it never passes for nothing, which
/// would have the thing deleted.
mod text {
    use super::Value;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(before: &Option<Value>, to: S) -> Result<S::Ok, S::Error> {
        before.as_ref().map(Value::to_string).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| serde_json::from_str(&text).map_err(D::Error::custom)).transpose()
    }
}

/// A definition that was written down since a copy of our index was taken.
pub(super) struct Changed {
    pub(super) version: Version,
    pub(super) definition: Definition,
    /// What was written down of the same thing before that.
    pub(super) earlier: Option<Definition>,
}

impl Definition {
    /// One for each thing: what a run wrote down is over once a later one has taken its own snapshot.
    pub(super) fn id(&self) -> String {
        format!("{KIND}:{}", &hex::encode(Sha256::digest(self.path()))[..16])
    }

    /// Where it is put and deleted.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.of, self.name)
    }
}

/// Where the names are that a request defines anew or takes away, and the names as it has them.
fn defines(request: &Request) -> Option<(&'static str, String)> {
    if !matches!(request.method, Method::Put | Method::Post | Method::Delete) {
        return None;
    }
    // What has a part behind the name, as `_simulate`, is no thing.
    let thing = Path::of(&request.path).thing()?;
    DEFINED.iter().find_map(|(_, of)| Some((*of, thing.strip_prefix(of)?.strip_prefix('/')?.to_owned())))
}

/// A list of the server's by name, whichever of its two forms it has.
pub(super) fn by_name(body: &Value) -> Map<String, Value> {
    let Value::Object(all) = body else { return Map::new() };
    let Some((_, Value::Array(list))) = all.iter().next() else { return all.clone() };
    let entry = |found: &Value| {
        let name = found["name"].as_str()?.to_owned();
        let what = found.as_object()?.iter().find(|(key, _)| *key != "name")?.1.clone();
        Some((name, what))
    };
    list.iter().filter_map(entry).collect()
}

impl Client {
    /// All of a kind by name. A server that knows nothing of the kind, or has none of it, says 404.
    pub(super) async fn defined(&self, path: &str) -> Result<Map<String, Value>, EngineError> {
        let answer = self.read(path).await.map_err(|missed| self.error(missed))?;
        match answer.status {
            404 => Ok(Map::new()),
            _ if answer.is_success() => Ok(by_name(&answer.body)),
            _ => Err(self.said(&answer)),
        }
    }

    /// What scripts have defined anew since the copy of our index was taken, or ever if there is no copy.
    pub(super) async fn defined_since(&self, copy: Option<&str>) -> Result<Vec<Changed>, EngineError> {
        let query = || json!({"term": {"kind": KIND}});
        let mut known = BTreeMap::new();
        if let Some(copy) = copy {
            let all: Vec<(Version, String, Definition)> = self.find(copy, query()).await?;
            known.extend(all.into_iter().map(|(_, id, definition)| (id, definition)));
        }
        let now: Vec<(Version, String, Definition)> = self.find(INDEX, query()).await?;
        let changed = now.into_iter().map(|(version, id, definition)| Changed {
            version,
            definition,
            earlier: known.remove(&id),
        });
        Ok(changed.filter(|it| it.earlier.as_ref() != Some(&it.definition)).collect())
    }
}

impl SearchSession {
    /// Writes down what a request is about to define anew. What an earlier script of this run has written down stays.
    pub(super) async fn remember(&self, request: &Request) -> Result<(), ScriptFailure> {
        let Some((of, names)) = defines(request) else { return Ok(()) };
        let found = self.client.defined(&format!("{of}/{names}")).await.map_err(as_failure)?;
        let mut all: Vec<(String, Option<Value>)> =
            found.into_iter().map(|(name, what)| (name, Some(what))).collect();
        if all.is_empty() && !names.contains(['*', ',']) {
            all.push((names, None));
        }
        for (name, before) in all {
            let definition = Definition {
                kind: KIND.to_owned(),
                run_uid: self.fence.run_uid.clone(),
                of: of.to_owned(),
                name,
                before,
            };
            self.write_down(&definition).await?;
        }
        Ok(())
    }

    async fn write_down(&self, definition: &Definition) -> Result<(), ScriptFailure> {
        let id = definition.id();
        let over = match self.client.get::<Definition>(INDEX, &id).await.map_err(as_failure)? {
            Some((_, known)) if known.run_uid == definition.run_uid => return Ok(()),
            Some((version, _)) => Some(version),
            None => None,
        };
        let what = "note what is defined anew";
        match self.client.put(what, INDEX, &id, over, definition).await.map_err(as_failure)? {
            Wrote::Done(_) => Ok(()),
            // By a try whose answer was lost, or by who has the target now: the next one reads it.
            Wrote::Stale => {
                let reason = format!("somebody else wrote down what {} was", definition.path());
                Err(ScriptFailure::Lost { reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::http::requests;

    fn of(text: &str) -> Option<(&'static str, String)> {
        defines(&requests(text).unwrap()[0])
    }

    #[test]
    fn what_a_request_defines() {
        assert_eq!(of("PUT /_index_template/logs\n\n{}"), Some(("/_index_template", "logs".to_owned())));
        assert_eq!(
            of("DELETE /_ingest/pipeline/a*?timeout=1s"),
            Some(("/_ingest/pipeline", "a*".to_owned()))
        );
        assert_eq!(of("PUT /_component_template/c\n\n{}"), Some(("/_component_template", "c".to_owned())));
        assert_eq!(of("POST /_template/t\n\n{}"), Some(("/_template", "t".to_owned())));
        assert_eq!(of("GET /_template/t"), None);
        assert_eq!(of("POST /_ingest/pipeline/p/_simulate\n\n{}"), None);
        assert_eq!(of("PUT /logs/_doc/1\n\n{}"), None);
    }

    #[test]
    fn both_forms_of_a_list_are_by_name() {
        let listed = json!({"index_templates": [{"name": "a", "index_template": {"priority": 1}}]});
        assert_eq!(Value::Object(by_name(&listed)), json!({"a": {"priority": 1}}));
        let mapped = json!({"p": {"processors": []}});
        assert_eq!(Value::Object(by_name(&mapped)), mapped);
        assert_eq!(Value::Object(by_name(&json!({"index_templates": []}))), json!({}));
        assert_eq!(Value::Object(by_name(&Value::Null)), json!({}));
    }

    #[test]
    fn a_thing_has_one_place() {
        let definition = |run_uid: &str, name: &str| Definition {
            kind: KIND.to_owned(),
            run_uid: run_uid.to_owned(),
            of: "/_template".to_owned(),
            name: name.to_owned(),
            before: Some(json!({"order": 1})),
        };
        assert_eq!(definition("u", "a").id(), definition("v", "a").id());
        assert_ne!(definition("u", "a").id(), definition("u", "b").id());
        assert!(!definition("u", "a/b c").id().contains(['/', ' ']), "it stands in a path");
        let mut document = json!(definition("u", "a"));
        assert_eq!(document["before"], "{\"order\":1}");
        let read = |document: &Value| serde_json::from_value::<Definition>(document.clone());
        assert_eq!(read(&document).unwrap(), definition("u", "a"));
        document["before"] = json!("{");
        assert!(read(&document).is_err(), "it never passes for nothing");
        document["before"] = Value::Null;
        assert_eq!(read(&document).unwrap().before, None);
    }
}
