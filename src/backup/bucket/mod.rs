//! A bucket of an S3 service that backups are kept in: objects read, listed, made once, deleted.
//!
//! Every request has a SHA-256 of its own body (`x-amz-checksum-sha256`), which the service compares; a request is tried
//! again by the client, and only that one: of a large object a single part.

mod said;
mod upload;

pub(super) use upload::Upload;

use super::BackupError;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    Certificate, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path as Key,
};
use said::failed;
use std::{fmt, fs, path::Path, sync::Arc, time::Duration};

/// How long one request may go without a byte of an answer. A part of a slow line has this long for its upload too.
const SILENT_FOR: Duration = Duration::from_secs(120);
/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often one request is tried again, and for how long: a service that restarts is back by then, and services of the
/// platform are down meanwhile.
const RETRIES: usize = 5;
const RETRY_FOR: Duration = Duration::from_secs(90);

/// Where a bucket is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BucketArgs {
    /// Name of the bucket
    #[arg(long)]
    pub bucket: Option<String>,
    /// Prefix of all keys
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Region
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// URL of the service; the provider's own for the region by default
    #[arg(long)]
    pub endpoint: Option<String>,
    /// Bucket in the path instead of the host name
    #[arg(long)]
    pub path_style: bool,
    /// Folder with `accessKey` and `secretKey`, perhaps `ca.crt`; without the two the pod's own identity is used
    #[arg(long)]
    pub bucket_credentials: Option<std::path::PathBuf>,
}

/// An open bucket.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    /// Its name, and at which service: what a person needs who is told of it.
    shown: String,
    prefix: String,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Relative to the storage's prefix.
    pub(super) path: String,
    /// In bytes.
    pub(super) size: u64,
    /// When it was made, by the service's clock.
    pub(super) at: jiff::Timestamp,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}, prefix {}", self.shown, self.prefix)
    }
}

impl Bucket {
    /// Opens it; nothing is asked yet.
    ///
    /// # Errors
    /// Credentials that can't be read, an endpoint that is no URL.
    pub fn open(args: &BucketArgs, name: &str) -> Result<Self, BackupError> {
        // One provider in the whole program. An error says that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shown = match &args.endpoint {
            Some(endpoint) => format!("{name} at {endpoint}"),
            None => name.to_owned(),
        };
        let read = |key: &str| {
            let path = args.bucket_credentials.as_ref()?.join(key);
            fs::read_to_string(path).ok()
        };
        let plain = args.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let mut options = ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(SILENT_FOR)
            .with_connect_timeout(CONNECT_WITHIN)
            .with_http1_only()
            .with_allow_http(plain);
        if let Some(ca) = read("ca.crt") {
            let certificates = Certificate::from_pem_bundle(ca.as_bytes())
                .map_err(|error| BackupError::Credentials(format!("ca.crt of the bucket: {error}")))?;
            for certificate in certificates {
                options = options.with_root_certificate(certificate);
            }
        }
        let identity = match (read("accessKey"), read("secretKey")) {
            (Some(key), Some(secret)) => {
                AmazonS3Builder::new().with_access_key_id(key.trim()).with_secret_access_key(secret.trim())
            }
            (None, None) => AmazonS3Builder::from_env(),
            _ => {
                let sentence = "the Secret of the bucket needs both accessKey and secretKey";
                return Err(BackupError::Credentials(sentence.into()));
            }
        };
        let mut builder = identity
            .with_bucket_name(name)
            .with_region(&args.region)
            .with_virtual_hosted_style_request(!args.path_style)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: RETRY_FOR,
                ..RetryConfig::default()
            })
            .with_client_options(options);
        if let Some(endpoint) = &args.endpoint {
            // The client takes an endpoint as it is: in virtual style the bucket is a part of the host.
            let endpoint = match (args.path_style, endpoint.split_once("://")) {
                (false, Some((scheme, host))) => format!("{scheme}://{name}.{host}"),
                _ => endpoint.clone(),
            };
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(failed(&shown, "it can't be opened"))?;
        let prefix = args.prefix.trim_matches('/').to_owned();
        Ok(Self { store: Arc::new(store), shown, prefix })
    }

    fn key(&self, path: &str) -> Result<Key, BackupError> {
        let whole = if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Key::parse(&whole).map_err(|error| failed(&self.shown, &whole)(error.into()))
    }

    fn failed(&self, what: &str) -> impl Fn(object_store::Error) -> BackupError + use<> {
        failed(&self.shown, what)
    }

    /// The bytes of a small object; none if there is none. More than `limit` bytes are an error.
    pub(super) async fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, BackupError> {
        let key = self.key(path)?;
        let found = match self.store.get_opts(&key, GetOptions::default()).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { source, .. }) if !said::is_no_bucket(&*source) => {
                return Ok(None);
            }
            Err(error) => return Err(self.failed(path)(error)),
        };
        if found.meta.size > limit {
            let (bucket, what) = (self.shown.clone(), path.to_owned());
            let said = format!("it has {} bytes, more than {limit}", found.meta.size);
            return Err(BackupError::Bucket { bucket, what, said, again: false });
        }
        Ok(Some(found.bytes().await.map_err(self.failed(path))?.to_vec()))
    }

    /// The bytes of a large object, as they come.
    pub(super) async fn read(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, Result<bytes::Bytes, BackupError>>, BackupError> {
        let found = self.store.get(&self.key(path)?).await.map_err(self.failed(path))?;
        Ok(found.into_stream().map_err(self.failed(path)).boxed())
    }

    /// Makes an object that is not there. False: it is there.
    pub(super) async fn make(&self, path: &str, bytes: Vec<u8>) -> Result<bool, BackupError> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.key(path)?, PutPayload::from(bytes), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    /// Makes an object, or replaces the one that is there.
    pub(super) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        let done = self.store.put(&self.key(path)?, PutPayload::from(bytes)).await;
        done.map(drop).map_err(self.failed(path))
    }

    /// All objects below a folder, sorted; below the whole prefix if it is empty.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Object>, BackupError> {
        let key =
            if folder.is_empty() { Key::parse(&self.prefix).unwrap_or_default() } else { self.key(folder)? };
        let all: Vec<_> = self
            .store
            .list(Some(&key))
            .try_collect()
            .await
            .map_err(self.failed("its objects can't be listed"))?;
        let strip = |key: &Key| {
            let key = key.to_string();
            let below = key.strip_prefix(&self.prefix).unwrap_or(&key);
            below.trim_start_matches('/').to_owned()
        };
        let object = |meta: object_store::ObjectMeta| Object {
            path: strip(&meta.location),
            size: meta.size,
            at: jiff::Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or_default(),
        };
        let mut all: Vec<Object> = all.into_iter().map(object).collect();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(all)
    }

    /// Deletes an object; one that is not there is as good.
    pub(super) async fn delete(&self, path: &str) -> Result<(), BackupError> {
        match self.store.delete(&self.key(path)?).await {
            Err(object_store::Error::NotFound { source, .. }) if !said::is_no_bucket(&*source) => Ok(()),
            done => done.map_err(self.failed(path)),
        }
    }
}

/// A path below the storage, as keys have it.
pub(super) fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
