//! Which cluster this is, and whether it can be worked with.

use serde_json::Value;

use super::answer::Answer;
use super::client::Client;
use crate::engine::EngineError;
use crate::engine::lineage::expect_identity;

/// The cluster as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// `OpenSearch 2.19.6`
    pub(super) version: String,
    /// The cluster's uuid.
    pub(super) identity: String,
}

impl Client {
    /// Who answers, if it is the cluster that is expected.
    pub(super) async fn server(&self) -> Result<Server, EngineError> {
        let at = self.settings.at();
        let answer = self.expect(self.read("/").await)?;
        let server =
            introduced(&answer).map_err(|reason| EngineError::Unsupported { at: at.clone(), reason })?;
        let expected = self.settings.identity_expect.as_deref();
        expect_identity(at, expected, &server.identity, |it| it == server.identity)?;
        Ok(server)
    }

    /// A cluster whose primary shards are not all there loses writes or refuses them: nothing begins on it.
    pub(super) async fn healthy(&self) -> Result<Vec<String>, EngineError> {
        // Of a cluster that others use too, theirs may be in trouble. One of ours that is not there is no trouble, but the
        // server would wait for it: all are asked for, and ours are looked at.
        let there = self.seen(&self.settings.indices()).await?;
        let path = "/_cluster/health?level=indices&expand_wildcards=all&filter_path=indices.*.status";
        let answer = self.expect(self.read(path).await)?;
        let with = |wanted: &str| -> Vec<String> {
            let indices = answer.at("/indices").and_then(Value::as_object);
            let of = |(name, index): (&String, &Value)| {
                (index["status"] == wanted && there.contains_key(name)).then(|| name.clone())
            };
            indices.into_iter().flatten().filter_map(of).collect()
        };
        let worst = ["red", "yellow"].into_iter().find(|status| !with(status).is_empty());
        match worst.unwrap_or_default() {
            "red" => Err(EngineError::Unsupported {
                at: self.settings.at(),
                reason: format!(
                    "the cluster is red: primary shards of {} are not assigned. Bring the nodes that hold them back, or see GET _cluster/allocation/explain",
                    few(&with("red"))
                ),
            }),
            "yellow" => Ok(vec![format!(
                "the cluster is yellow: copies of shards of {} are not assigned, so one lost node may lose data",
                few(&with("yellow"))
            )]),
            _ => Ok(Vec::new()),
        }
    }
}

fn introduced(answer: &Answer) -> Result<Server, String> {
    let number = answer.text_at("/version/number");
    let product = match answer.text_at("/version/distribution") {
        "opensearch" => "OpenSearch",
        _ => "Elasticsearch",
    };
    let major: u32 = number.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    let known = match product {
        "OpenSearch" => (1..=3).contains(&major),
        _ => (7..=9).contains(&major),
    };
    if !known {
        return Err(match number {
            "" => "what answers there is no search server: GET / names no version".to_owned(),
            _ => format!("{product} {number} is none of Elasticsearch 7 to 9 and OpenSearch 1 to 3"),
        });
    }
    match answer.text_at("/cluster_uuid") {
        "" | "_na_" => {
            Err("the cluster has not formed yet: it has no uuid. See that its nodes find each other"
                .to_owned())
        }
        uuid => Ok(Server { version: format!("{product} {number}"), identity: uuid.to_owned() }),
    }
}

/// The first names, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Result<Server, String> {
        introduced(&Answer::of(200, body.as_bytes()))
    }

    #[test]
    fn products_and_versions() {
        let body = r#"{"cluster_uuid":"u","version":{"number":"2.19.6","distribution":"opensearch"}}"#;
        assert_eq!(said(body).unwrap().version, "OpenSearch 2.19.6");
        let body = r#"{"cluster_uuid":"u","version":{"number":"7.17.29","build_flavor":"default"}}"#;
        assert_eq!(said(body).unwrap().version, "Elasticsearch 7.17.29");
        let body = r#"{"cluster_uuid":"u","version":{"number":"6.8.23"}}"#;
        assert_eq!(
            said(body).unwrap_err(),
            "Elasticsearch 6.8.23 is none of Elasticsearch 7 to 9 and OpenSearch 1 to 3"
        );
        assert_eq!(said("{}").unwrap_err(), "what answers there is no search server: GET / names no version");
        let body = r#"{"cluster_uuid":"_na_","version":{"number":"8.1.0"}}"#;
        assert!(said(body).unwrap_err().starts_with("the cluster has not formed yet"));
    }

    #[test]
    fn the_first_names() {
        let names: Vec<String> = (0..7).map(|n| format!("i{n}")).collect();
        assert_eq!(few(&names), "i0, i1, i2, i3, i4 and 2 more");
        assert_eq!(few(&names[..1]), "i0");
    }
}
