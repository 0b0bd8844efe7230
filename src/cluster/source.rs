//! What a plan or target refers to: scripts, credentials, certificates, read as the account it names.
//!
//! Errors name objects and keys, never a value.

use super::{Acting, Forbidden, ReadError, get};
use crate::api::{
    ApiError,
    plan::{ScriptSource, VariableSource},
    reference::{FromKey, KeyRef},
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use std::{collections::BTreeMap, fmt};

/// File name to bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Something that a plan or target refers to can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The object or the right to read it is missing, or the API server does not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The object is there, a key of it is not.
    #[error("{kind} {namespace}/{name} has no key {key:?}; it has {there}")]
    NoKey {
        /// Secret or ConfigMap.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key that was looked for.
        key: String,
        /// The keys there are.
        there: String,
    },
    /// A value is there, but no text.
    #[error("{kind} {namespace}/{name}, key {key:?}: not UTF-8")]
    NoText {
        /// Secret or ConfigMap.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// Two ConfigMaps that are read as one hold the same file.
    #[error("file {file} is in ConfigMap {first} and in ConfigMap {second} of namespace {namespace}")]
    Twice {
        /// The file.
        file: String,
        /// The ConfigMap that was read first.
        first: String,
        /// The other one.
        second: String,
        /// Their namespace.
        namespace: String,
    },
    /// The reference itself is broken.
    #[error(transparent)]
    Reference(#[from] ApiError),
    /// A source that this version can't read.
    #[error("scripts from an OCI artifact are not built yet; use configMap, configMaps, inline or secret")]
    Oci,
}

impl SourceError {
    /// The missing right, if that is why.
    pub fn forbidden(&self) -> Option<&Forbidden> {
        match self {
            Self::Read(ReadError::Forbidden(forbidden)) => Some(forbidden),
            _ => None,
        }
    }
}

/// How to log in to a database.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How to log in to a service that knows tokens as well as users.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and its password.
    Password(Credentials),
    /// The key `token`.
    Token(String),
}

/// A client's certificate with its key, both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `tls.crt`: the certificate and what leads to its authority.
    pub certificate: Vec<u8>,
    /// `tls.key`.
    pub key: Vec<u8>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// Reads the files of a script source.
///
/// # Errors
/// A missing object or right; the same file in two ConfigMaps; no answer.
pub async fn scripts(acting: &Acting, namespace: &str, source: &ScriptSource) -> Result<Files, SourceError> {
    match source {
        ScriptSource::Inline(files) => {
            Ok(files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect())
        }
        ScriptSource::Secret(name) => Ok(secret(acting, namespace, name).await?.values),
        ScriptSource::ConfigMaps(names) => {
            let mut objects = Vec::new();
            for name in names {
                objects.push(config_map(acting, namespace, name).await?);
            }
            joined(objects)
        }
        ScriptSource::Oci(_) => Err(SourceError::Oci),
    }
}

/// Reads `username` and `password` of a Secret. They are used as they are: a line feed at the end of a password is
/// part of it.
///
/// # Errors
/// A missing Secret, key or right; no answer.
pub async fn credentials(acting: &Acting, namespace: &str, name: &str) -> Result<Credentials, SourceError> {
    let secret = secret(acting, namespace, name).await?;
    Ok(Credentials { username: secret.text("username")?, password: secret.text("password")? })
}

/// Reads `token` of a Secret, or without one `username` and `password`.
///
/// # Errors
/// A missing Secret, key or right; no answer.
pub async fn login(acting: &Acting, namespace: &str, name: &str) -> Result<Login, SourceError> {
    let secret = secret(acting, namespace, name).await?;
    if secret.values.contains_key("token") {
        return Ok(Login::Token(secret.text("token")?));
    }
    let (username, password) = (secret.text("username")?, secret.text("password")?);
    Ok(Login::Password(Credentials { username, password }))
}

/// Reads `tls.crt` and `tls.key` of a Secret.
///
/// # Errors
/// A missing Secret, key or right; no answer.
pub async fn client_certificate(
    acting: &Acting,
    namespace: &str,
    name: &str,
) -> Result<ClientCertificate, SourceError> {
    let secret = secret(acting, namespace, name).await?;
    Ok(ClientCertificate { certificate: secret.bytes("tls.crt")?, key: secret.bytes("tls.key")? })
}

/// Reads the value of a variable; the text of a key is used as it is, a line feed at its end is part of it.
///
/// # Errors
/// A missing object, key or right; bytes that are no text; no answer.
pub async fn variable(
    acting: &Acting,
    namespace: &str,
    from: &VariableSource,
) -> Result<String, SourceError> {
    match from {
        VariableSource::Value(text) => Ok(text.clone()),
        VariableSource::Secret(KeyRef { name, key }) => secret(acting, namespace, name).await?.text(key),
        VariableSource::ConfigMap(KeyRef { name, key }) => {
            config_map(acting, namespace, name).await?.text(key)
        }
    }
}

/// Reads one key of a ConfigMap or Secret, such as the certificates of an authority.
///
/// # Errors
/// A missing object, key or right; no answer.
pub async fn value(acting: &Acting, namespace: &str, from: &FromKey) -> Result<Vec<u8>, SourceError> {
    match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(KeyRef { name, key }), _) => config_map(acting, namespace, name).await?.bytes(key),
        (None, Some(KeyRef { name, key })) => secret(acting, namespace, name).await?.bytes(key),
        (None, None) => {
            Err(ApiError::NotOne { owner: "key reference".into(), union: "source", found: 0 }.into())
        }
    }
}

/// A Secret or ConfigMap, for the purpose of this file the same thing.
struct Holding {
    kind: &'static str,
    namespace: String,
    name: String,
    values: Files,
}

impl Holding {
    fn bytes(&self, key: &str) -> Result<Vec<u8>, SourceError> {
        self.values.get(key).cloned().ok_or_else(|| SourceError::NoKey {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            key: key.to_owned(),
            there: match self.values.is_empty() {
                true => "none".to_owned(),
                false => self.values.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            },
        })
    }

    fn text(&self, key: &str) -> Result<String, SourceError> {
        String::from_utf8(self.bytes(key)?).map_err(|_| SourceError::NoText {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            key: key.to_owned(),
        })
    }
}

async fn secret(acting: &Acting, namespace: &str, name: &str) -> Result<Holding, SourceError> {
    let secret: Secret = get(acting, namespace, name).await?;
    let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    Ok(Holding { kind: "Secret", namespace: namespace.to_owned(), name: name.to_owned(), values })
}

async fn config_map(acting: &Acting, namespace: &str, name: &str) -> Result<Holding, SourceError> {
    let map: ConfigMap = get(acting, namespace, name).await?;
    let texts = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let binaries = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    let values = texts.chain(binaries).collect();
    Ok(Holding { kind: "ConfigMap", namespace: namespace.to_owned(), name: name.to_owned(), values })
}

fn joined(objects: Vec<Holding>) -> Result<Files, SourceError> {
    let mut files = Files::new();
    let mut from: BTreeMap<String, String> = BTreeMap::new();
    for object in objects {
        for (file, bytes) in object.values {
            if let Some(first) = from.insert(file.clone(), object.name.clone()) {
                let (second, namespace) = (object.name, object.namespace);
                return Err(SourceError::Twice { file, first, second, namespace });
            }
            files.insert(file, bytes);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use serde_json::{Value, json};

    fn serving(objects: &[Value]) -> FakeApiServer {
        let fake = FakeApiServer::new();
        objects.iter().for_each(|object| fake.answer_next(200, object.clone()));
        fake
    }

    fn text(result: Result<impl fmt::Debug, SourceError>) -> String {
        result.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn several_config_maps_are_one_bundle() {
        let one = json!({"data": {"V1__a.sql": "select 1"}, "binaryData": {"V2__b.sql": "c2VsZWN0IDI="}});
        let source = ScriptSource::ConfigMaps(vec!["a".into(), "b".into()]);
        let fake = serving(&[one.clone(), json!({"data": {"V3__c.sql": "select 3"}})]);
        let files = scripts(fake.api_server().own(), "aether", &source).await.unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["V1__a.sql", "V2__b.sql", "V3__c.sql"]);
        assert_eq!(files["V2__b.sql"], b"select 2");

        let fake = serving(&[one.clone(), one]);
        assert_eq!(
            text(scripts(fake.api_server().own(), "aether", &source).await),
            "file V1__a.sql is in ConfigMap a and in ConfigMap b of namespace aether"
        );
    }

    #[tokio::test]
    async fn what_is_missing_is_named_and_no_value_is_shown() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_next(404, status(404, "NotFound", "secrets \"pg\" not found"));
        assert_eq!(text(credentials(server.own(), "aether", "pg").await), "Secret aether/pg does not exist");
        fake.answer_next(200, json!({"data": {"user": "YWRtaW4=", "password": "aHVudGVyMg=="}}));
        assert_eq!(
            text(credentials(server.own(), "aether", "pg").await),
            "Secret aether/pg has no key \"username\"; it has password, user"
        );
        fake.answer_next(200, json!({}));
        assert_eq!(
            text(client_certificate(server.own(), "aether", "pg").await),
            "Secret aether/pg has no key \"tls.crt\"; it has none"
        );
        fake.answer_next(200, json!({"data": {"username": "YWRtaW4=", "password": "//8="}}));
        assert_eq!(
            text(credentials(server.own(), "aether", "pg").await),
            "Secret aether/pg, key \"password\": not UTF-8"
        );
    }

    #[tokio::test]
    async fn credentials_are_read_as_they_are_and_not_printed() {
        let fake = serving(&[json!({"data": {"username": "YWRtaW4=", "password": "aHVudGVyMgo="}})]);
        let found = credentials(fake.api_server().own(), "aether", "pg").await.unwrap();
        assert_eq!(found, Credentials { username: "admin".into(), password: "hunter2\n".into() });
        assert_eq!(format!("{found:?}"), "Credentials { username: \"admin\", .. }");
    }

    #[tokio::test]
    async fn a_token_comes_before_a_user() {
        let fake = serving(&[
            json!({"data": {"username": "YQ==", "password": "Yg==", "token": "a2V5"}}),
            json!({"data": {"username": "YQ==", "password": "Yg=="}}),
        ]);
        let server = fake.api_server();
        let found =
            [login(server.own(), "a", "s").await.unwrap(), login(server.own(), "a", "s").await.unwrap()];
        assert!(found[0] == Login::Token("key".into()));
        assert!(found[1] == Login::Password(Credentials { username: "a".into(), password: "b".into() }));
    }

    #[tokio::test]
    async fn an_authority_comes_from_either_kind() {
        let from = |yaml: &str| -> FromKey { serde_saphyr::from_str(yaml).unwrap() };
        let fake = serving(&[json!({"data": {"ca.crt": "PEM"}}), json!({"data": {"ca.crt": "UEVN"}})]);
        let server = fake.api_server();
        for yaml in ["configMapKeyRef: {name: ca, key: ca.crt}", "secretKeyRef: {name: ca, key: ca.crt}"] {
            assert_eq!(value(server.own(), "aether", &from(yaml)).await.unwrap(), b"PEM");
        }
        assert!(fake.requests()[0].contains("/configmaps/ca") && fake.requests()[1].contains("/secrets/ca"));
    }
}
