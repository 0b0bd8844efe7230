//! The frozen parts of a run: bytes kept in immutable, compressed Secrets, and checked at every load.
//!
//! A part's Secret is named by its content. Whoever freezes the same bytes again after a crash finds the same names;
//! whoever wants to slip other bytes in has to change the digest in the run's immutable spec.

use super::{Acting, FIELD_MANAGER, NotOurs, ReadError, SwapError, WriteError, get_if_there};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::api::PostParams;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

/// Data of one Secret: the API server allows 1 MiB, of which names and annotations take their share.
const CHUNK: usize = 1_000_000;

/// All parts of a run together, compressed. What needs more belongs in an image registry.
pub const LIMIT: usize = 16 * 1024 * 1024;

/// The key of the bytes in each Secret.
const KEY: &str = "part";

/// One Secret of a frozen record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub secret: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// Where the parts of one run are kept.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The run's namespace.
    pub namespace: String,
    /// Start of every Secret's name, such as the run's own name.
    pub prefix: String,
    /// The run, as owner: the parts go when it goes.
    pub owner: OwnerReference,
    /// Labels for the sweeper and for people.
    pub labels: BTreeMap<String, String>,
}

/// The frozen parts can't be written or can't be trusted.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// More than [`LIMIT`].
    #[error(
        "the run's record needs {bytes} bytes compressed, {LIMIT} are allowed: keep large scripts in an image instead"
    )]
    TooLarge {
        /// Compressed size.
        bytes: usize,
    },
    /// A Secret is gone. Whoever still has the bytes in memory writes it again.
    #[error("Secret {namespace}/{secret}, a part of the run's frozen record, is missing")]
    Missing {
        /// Its namespace.
        namespace: String,
        /// Its name.
        secret: String,
    },
    /// A Secret holds other bytes than were frozen.
    #[error(
        "Secret {namespace}/{secret} is not what was frozen: its digest is {found}, {wanted} was expected"
    )]
    Changed {
        /// Its namespace.
        namespace: String,
        /// Its name.
        secret: String,
        /// Digest of what is there.
        found: String,
        /// Digest of what was frozen.
        wanted: String,
    },
    /// The bytes are those that were frozen, but no build of this version wrote them.
    #[error("the run's frozen record can't be unpacked: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A Secret could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A Secret could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<SwapError> for PartError {
    fn from(error: SwapError) -> Self {
        match error {
            SwapError::Read(error) => Self::Read(error),
            SwapError::Write(error) => Self::Write(error),
        }
    }
}

/// Writes the bytes as parts and returns them in order. Idempotent: parts that are there already are compared.
///
/// # Errors
/// Too large; a Secret of that name with other bytes; a refusal; no answer.
pub async fn write_parts(acting: &Acting, shelf: &Shelf, bytes: &[u8]) -> Result<Vec<Part>, PartError> {
    let packed = pack(bytes)?;
    fits(packed.len())?;
    let mut parts = Vec::new();
    for (number, chunk) in packed.chunks(CHUNK).enumerate() {
        let sha256 = digest(chunk);
        let part = Part { secret: format!("{}-{number}-{}", shelf.prefix, &sha256[..10]), sha256 };
        write_part(acting, shelf, &part, chunk).await?;
        parts.push(part);
    }
    Ok(parts)
}

/// Reads the parts back, each against its digest.
///
/// # Errors
/// A part is missing or changed; a missing right; no answer.
pub async fn read_parts(acting: &Acting, namespace: &str, parts: &[Part]) -> Result<Vec<u8>, PartError> {
    let mut packed = Vec::new();
    for part in parts {
        let secret = get_if_there::<Secret>(acting, namespace, &part.secret).await?;
        packed.extend_from_slice(&checked(namespace, part, secret)?);
    }
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn write_part(acting: &Acting, shelf: &Shelf, part: &Part, chunk: &[u8]) -> Result<(), PartError> {
    let api = acting.api::<Secret>(&shelf.namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let mut lost = false;
    loop {
        let answer = api.create(&parameters, &secret(shelf, part, chunk)).await;
        match answer.map_err(|error| WriteError::of(error, acting.account())) {
            Ok(_) => return Ok(()),
            // The name is that of the content: what is there counts if it is what we would have written.
            Err(WriteError::NotOurs(NotOurs::Exists { .. })) => {
                let found = get_if_there::<Secret>(acting, &shelf.namespace, &part.secret).await?;
                return checked(&shelf.namespace, part, found).map(drop);
            }
            Err(WriteError::Lost(_)) if !lost => lost = true,
            Err(error) => return Err(error.into()),
        }
    }
}

fn secret(shelf: &Shelf, part: &Part, chunk: &[u8]) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(part.secret.clone()),
            namespace: Some(shelf.namespace.clone()),
            labels: Some(shelf.labels.clone()),
            owner_references: Some(vec![shelf.owner.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("whimbrel.dev/frozen".to_owned()),
        immutable: Some(true),
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(chunk.to_vec()))])),
        ..Secret::default()
    }
}

fn checked(namespace: &str, part: &Part, secret: Option<Secret>) -> Result<Vec<u8>, PartError> {
    let place = || (namespace.to_owned(), part.secret.clone());
    let Some(secret) = secret else {
        let (namespace, secret) = place();
        return Err(PartError::Missing { namespace, secret });
    };
    let bytes = secret.data.and_then(|mut data| data.remove(KEY)).unwrap_or_default().0;
    let found = digest(&bytes);
    if found != part.sha256 {
        let (namespace, secret) = place();
        return Err(PartError::Changed { namespace, secret, found, wanted: part.sha256.clone() });
    }
    Ok(bytes)
}

fn fits(bytes: usize) -> Result<(), PartError> {
    if bytes > LIMIT { Err(PartError::TooLarge { bytes }) } else { Ok(()) }
}

fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes)?;
    packer.finish()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use rand::{RngCore, SeedableRng, rngs::StdRng};
    use serde_json::{Value, json};

    fn shelf() -> Shelf {
        Shelf {
            namespace: "aether".into(),
            prefix: "aether-platform-7".into(),
            owner: OwnerReference {
                kind: "MigrationRun".into(),
                uid: "u".into(),
                ..OwnerReference::default()
            },
            labels: BTreeMap::new(),
        }
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        StdRng::seed_from_u64(7).fill_bytes(&mut bytes);
        bytes
    }

    /// Freezes and returns the parts and the Secrets as they were sent.
    async fn frozen(bytes: &[u8]) -> (Vec<Part>, Vec<Value>) {
        let fake = FakeApiServer::new();
        fake.answer_always(201, json!({}));
        let parts = write_parts(fake.api_server().own(), &shelf(), bytes).await.unwrap();
        (parts, fake.bodies())
    }

    #[tokio::test]
    async fn what_is_frozen_comes_back_whatever_its_size() {
        for length in [0, 10, CHUNK * 5 / 2] {
            let bytes = noise(length);
            let (parts, secrets) = frozen(&bytes).await;
            assert_eq!(parts.len(), if length > CHUNK { 3 } else { 1 });
            assert!(
                secrets
                    .iter()
                    .all(|it| it["immutable"] == true && it["metadata"]["ownerReferences"][0]["uid"] == "u")
            );
            let fake = FakeApiServer::new();
            for secret in secrets {
                fake.answer_next(200, secret);
            }
            assert_eq!(read_parts(fake.api_server().own(), "aether", &parts).await.unwrap(), bytes);
        }
    }

    #[tokio::test]
    async fn freezing_again_finds_the_same_parts() {
        let (parts, secrets) = frozen(b"scripts").await;
        let fake = FakeApiServer::new();
        fake.answer_next(409, status(409, "AlreadyExists", "secrets \"x\" already exists"));
        fake.answer_next(200, secrets[0].clone());
        assert_eq!(write_parts(fake.api_server().own(), &shelf(), b"scripts").await.unwrap(), parts);
    }

    #[tokio::test]
    async fn other_bytes_under_the_same_name_are_no_part_of_ours() {
        let (parts, mut secrets) = frozen(b"scripts").await;
        secrets[0]["data"][KEY] = json!("ZHJvcCB0YWJsZQ==");
        let fake = FakeApiServer::new();
        fake.answer_always(200, secrets[0].clone());
        let error = read_parts(fake.api_server().own(), "aether", &parts).await.unwrap_err();
        let text = format!(
            "Secret aether/{} is not what was frozen: its digest is {}, {} was expected",
            parts[0].secret,
            digest(b"drop table"),
            parts[0].sha256
        );
        assert_eq!(error.to_string(), text);
        fake.answer_next(409, status(409, "AlreadyExists", "secrets \"x\" already exists"));
        let error = write_parts(fake.api_server().own(), &shelf(), b"scripts").await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }

    #[tokio::test]
    async fn a_missing_part_is_named_and_a_record_too_large_refused() {
        let part = Part { secret: "aether-platform-7-0-abc".into(), sha256: "00".into() };
        let fake = FakeApiServer::new();
        let error = read_parts(fake.api_server().own(), "aether", &[part]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Secret aether/aether-platform-7-0-abc, a part of the run's frozen record, is missing"
        );
        assert!(fits(LIMIT).is_ok());
        assert_eq!(
            fits(LIMIT + 1).unwrap_err().to_string(),
            "the run's record needs 16777217 bytes compressed, 16777216 are allowed: keep large scripts in an image instead"
        );
    }
}
