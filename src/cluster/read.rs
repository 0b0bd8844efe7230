//! Live reads: what gates something destructive is asked of the API server, never of a cache.

use super::{Account, Acting, Forbidden};
use kube::{Api, Resource, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A namespaced kind that the API server serves and this program has a type for.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug
{
}

/// How many objects one page of a list holds: 500 pods are about 5 MB.
const PAGE: u32 = 500;

/// A thing could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not exist.
    #[error("{kind} {namespace}/{name} does not exist")]
    NotFound {
        /// Its kind.
        kind: String,
        /// Where it was looked for.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A right is missing.
    #[error(transparent)]
    Forbidden(Forbidden),
    /// The API server could not answer.
    #[error("the API server did not answer: {0}")]
    Unavailable(Box<kube::Error>),
}

impl ReadError {
    fn of(error: kube::Error, account: &Account) -> Self {
        if let kube::Error::Api(status) = &error
            && let Some(forbidden) = Forbidden::of(status, account)
        {
            return Self::Forbidden(forbidden);
        }
        Self::Unavailable(Box::new(error))
    }
}

/// Reads one object.
///
/// # Errors
/// [`ReadError::NotFound`] naming the object, a missing right, or no answer.
pub async fn get<K: Kind>(acting: &Acting, namespace: &str, name: &str) -> Result<K, ReadError> {
    get_if_there(acting, namespace, name).await?.ok_or_else(|| ReadError::NotFound {
        kind: K::kind(&()).into_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// Reads one object; none if it does not exist.
///
/// # Errors
/// A missing right, or no answer.
pub async fn get_if_there<K: Kind>(
    acting: &Acting,
    namespace: &str,
    name: &str,
) -> Result<Option<K>, ReadError> {
    acting.api::<K>(namespace).get_opt(name).await.map_err(|error| ReadError::of(error, acting.account()))
}

/// Reads all objects of a kind in a namespace (empty for all) that carry the labels of `selector` (empty for all), page
/// by page.
///
/// # Errors
/// A missing right, or no answer.
pub async fn list_all<K: Kind>(
    acting: &Acting,
    namespace: &str,
    selector: &str,
) -> Result<Vec<K>, ReadError> {
    let api: Api<K> = match namespace {
        "" => Api::all(acting.client().clone()),
        namespace => acting.api(namespace),
    };
    let mut page = ListParams::default().labels(selector).limit(PAGE);
    let mut all = Vec::new();
    loop {
        let list = api.list(&page).await.map_err(|error| ReadError::of(error, acting.account()))?;
        all.extend(list.items);
        match list.metadata.continue_ {
            Some(token) if !token.is_empty() => page = page.continue_token(&token),
            _ => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_always(404, status(404, "NotFound", "configmaps \"flags\" not found"));
        let error = get::<ConfigMap>(server.own(), "aether", "flags").await.unwrap_err();
        assert_eq!(error.to_string(), "ConfigMap aether/flags does not exist");
        assert!(get_if_there::<ConfigMap>(server.own(), "aether", "flags").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        let item = |name: &str| json!({"metadata": {"name": name}});
        fake.answer_next(200, json!({"metadata": {"continue": "more"}, "items": [item("a")]}));
        fake.answer_next(200, json!({"metadata": {}, "items": [item("b")]}));
        let all = list_all::<ConfigMap>(server.own(), "aether", "app=web").await.unwrap();
        assert_eq!(all.iter().map(|it| it.metadata.name.as_deref().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        let root = "GET /api/v1/namespaces/aether/configmaps?&labelSelector=app%3Dweb&limit=500";
        assert_eq!(fake.requests(), [root.to_owned(), format!("{root}&continue=more")]);
    }
}
