//! A bucket of a test's own, on a real MinIO with TLS whose data are this machine's: `testbed/minio up`, and its `env`.

use object_store::{
    Certificate, ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutPayload,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path as Key,
};
use sha2::{Digest as _, Sha256};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// The bucket, and how the tests themselves reach it.
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// What `testbed/minio env` says.
pub(crate) fn minio(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: testbed/minio up; eval \"$(testbed/minio env)\""))
}

impl Bucket {
    /// Makes one for `whose`.
    pub(crate) fn new(whose: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Of this run of the tests: what an earlier one left in its own is no concern of it.
        let name = format!("wb-{}-{}", &hex::encode(Sha256::digest(whose))[..16], std::process::id());
        let bucket = Self { name, endpoint: minio("WHIMBREL_TEST_S3"), runtime };
        bucket.make();
        bucket
    }

    /// The client has no word for it; MinIO makes a bucket of every folder in its data.
    fn make(&self) {
        let folder = Path::new(&minio("WHIMBREL_TEST_S3_DATA")).join(&self.name);
        fs::create_dir(folder).expect("the server's data are this machine's");
    }

    /// Writes the credentials into a folder, which is made, as a Job finds them; every user may read them.
    pub(crate) fn put_credentials(folder: &Path) {
        let open = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the folder is ours");
        };
        fs::create_dir(folder).expect("the folder is ours");
        for (file, variable) in
            [("accessKey", "WHIMBREL_TEST_S3_ACCESS_KEY"), ("secretKey", "WHIMBREL_TEST_S3_SECRET_KEY")]
        {
            fs::write(folder.join(file), minio(variable)).expect("the folder is ours");
        }
        fs::copy(minio("WHIMBREL_TEST_S3_CA"), folder.join("ca.crt")).expect("the folder is ours");
        open(folder, 0o755);
        for file in ["accessKey", "secretKey", "ca.crt"] {
            open(&folder.join(file), 0o644);
        }
    }

    /// The flags of a worker, below the prefix `some/where`.
    pub(crate) fn flags(&self, credentials: &Path) -> Vec<String> {
        vec![
            format!("--bucket={}", self.name),
            "--prefix=some/where".to_owned(),
            format!("--endpoint={}", self.endpoint),
            "--path-style".to_owned(),
            format!("--bucket-credentials={}", credentials.display()),
        ]
    }

    /// The tests' own client.
    pub(crate) fn store(&self) -> AmazonS3 {
        let ca = fs::read(minio("WHIMBREL_TEST_S3_CA")).expect("the testbed made it");
        let ca = Certificate::from_pem(&ca).expect("the testbed made it");
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_bucket_name(&self.name)
            .with_region("us-east-1")
            .with_checksum_algorithm(Checksum::SHA256)
            .with_access_key_id(minio("WHIMBREL_TEST_S3_ACCESS_KEY"))
            .with_secret_access_key(minio("WHIMBREL_TEST_S3_SECRET_KEY"))
            .with_client_options(ClientOptions::new().with_root_certificate(ca).with_allow_http(true))
            .build()
            .expect("the testbed made it so")
    }

    /// Uploads of an object that were begun and not ended: MinIO keeps them in a folder that has the hash of its name.
    pub(crate) fn uploads(&self, key: &str) -> usize {
        let hash = hex::encode(Sha256::digest(format!("{}/{key}", self.name)));
        let root = Path::new(&minio("WHIMBREL_TEST_S3_DATA")).join(".minio.sys/multipart").join(hash);
        fs::read_dir(root)
            .map_or(0, |it| it.flatten().filter(|it| it.path().join("xl.meta").exists()).count())
    }

    /// Every key in it.
    pub(crate) fn keys(&self) -> Vec<String> {
        use futures::TryStreamExt as _;
        let all: Vec<_> =
            self.runtime.block_on(self.store().list(None).try_collect()).expect("the server answers");
        let mut keys: Vec<String> =
            all.into_iter().map(|it: object_store::ObjectMeta| it.location.to_string()).collect();
        keys.sort();
        keys
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let store = self.store();
        self.runtime
            .block_on(async { store.get(&Key::from(key)).await?.bytes().await })
            .expect("it is there")
            .to_vec()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let payload = PutPayload::from(bytes.to_vec());
        self.runtime.block_on(self.store().put(&Key::from(key), payload)).expect("the server takes it");
    }
}
