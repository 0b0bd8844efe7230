//! A MinIO in the cluster, with TLS by an authority of its own, and the bucket that is in it.
//!
//! The test makes authority and certificate: the server's address is known only when its Service is there, and by that the
//! test, which has no DNS of the cluster, looks into the bucket.

use crate::lane::Lane;
use base64::Engine as _;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{Certificate, ClientOptions, ObjectStore as _, ObjectStoreExt as _};
use rand::distr::{Alphanumeric, SampleString as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

/// Its workload, Service and Secrets are called so.
const NAME: &str = "minio";
/// The one bucket in it.
pub(crate) const BUCKET: &str = "backups";
/// Who may do everything in it.
const ACCESS_KEY: &str = "lane";
/// The image's own user.
const USER: u32 = 65532;

/// A running server.
pub(crate) struct Minio {
    /// As pods of the cluster reach it.
    pub(crate) endpoint: String,
    pub(crate) secret_key: String,
    /// The authority's certificate.
    ca: String,
    store: AmazonS3,
    runtime: tokio::runtime::Runtime,
}

impl Minio {
    /// Makes it and waits until it is ready.
    pub(crate) fn set_up(lane: &Lane) -> Self {
        // One provider in the whole program. An error says that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metadata = json!({"name": NAME, "namespace": lane.name});
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 9000}]},
        });
        lane.apply(&service.to_string());
        let address = lane.get("service/minio", "{.spec.clusterIP}");
        let host = format!("{NAME}.{}.svc", lane.name);
        let (ca, certificate, key) = certificates(&[host.clone(), address.clone()]);
        let secret_key = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let files = json!({"public.crt": certificate, "private.key": key, "ca.crt": ca});
        let root = json!({"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": secret_key});
        let secret = |name: &str, data| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": lane.name}, "stringData": data});
        let items = json!([secret("minio-files", files), secret("minio-root", root), workload(lane)]);
        lane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        lane.kubectl(&["rollout", "status", "deployment/minio", "--timeout=180s"]);
        let authority = Certificate::from_pem(ca.as_bytes()).expect("it was just made");
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("https://{address}:9000"))
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(&secret_key)
            .with_client_options(ClientOptions::new().with_root_certificate(authority))
            .build()
            .expect("it is complete");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { endpoint: format!("https://{host}:9000"), secret_key, ca, store, runtime }
    }

    /// How a target calls a bucket of it.
    pub(crate) fn storage(&self, bucket: &str) -> Value {
        json!({
            "endpoint": self.endpoint, "pathStyle": true, "bucket": bucket, "prefix": "some/where",
            "credentials": {"secretRef": {"name": "bucket"}},
            "ca": {"configMapKeyRef": {"name": "bucket-ca", "key": "ca.crt"}},
        })
    }

    /// Makes the Secret and the ConfigMap that are named there.
    pub(crate) fn admit(&self, lane: &Lane, secret_key: &str) {
        let metadata = |name: &str| json!({"name": name, "namespace": lane.name});
        let items = json!([
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("bucket"),
             "stringData": {"accessKey": ACCESS_KEY, "secretKey": secret_key}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("bucket-ca"), "data": {"ca.crt": self.ca}},
        ]);
        lane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    }

    /// Takes it away, and all that is in it.
    pub(crate) fn remove(self, lane: &Lane) {
        lane.kubectl(&["delete", "deployment/minio", "service/minio", "--timeout=60s"]);
    }

    /// Every key in the bucket, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let all: Vec<_> =
            self.runtime.block_on(self.store.list(None).try_collect()).expect("the server answers");
        let mut keys: Vec<String> =
            all.into_iter().map(|it: object_store::ObjectMeta| it.location.to_string()).collect();
        keys.sort();
        keys
    }

    /// The bytes of an object.
    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let bytes = async { self.store.get(&Key::from(key)).await?.bytes().await };
        self.runtime.block_on(bytes).expect("it is there").to_vec()
    }
}

/// The server under nobody's user, with nothing but the volume to write to; what starts before it makes the bucket, which to
/// MinIO is a folder.
fn workload(lane: &Lane) -> Value {
    let restricted = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    let server = json!({
        "name": "minio", "image": "localhost/minio:2026",
        "args": ["server", "--certs-dir", "/certs", "--address", ":9000", "/data"],
        "env": [{"name": "MINIO_BROWSER", "value": "off"}, {"name": "MINIO_UPDATE", "value": "off"}],
        "envFrom": [{"secretRef": {"name": "minio-root"}}],
        "readinessProbe": {"httpGet": {"path": "/minio/health/ready", "port": 9000, "scheme": "HTTPS"}, "periodSeconds": 1, "timeoutSeconds": 10},
        "securityContext": restricted,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "files", "mountPath": "/certs"}],
    });
    let bucket = json!({
        "name": "bucket", "image": "localhost/postgresql:15", "command": ["mkdir", "-p", format!("/data/{BUCKET}")],
        "securityContext": restricted, "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    });
    let files = json!([
        {"key": "public.crt", "path": "public.crt"}, {"key": "private.key", "path": "private.key"},
        // The server makes this folder if it is not there, and can't.
        {"key": "ca.crt", "path": "CAs/ca.crt"},
    ]);
    let pod = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 2, "initContainers": [bucket], "containers": [server],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "files", "secret": {"secretName": "minio-files", "items": files}}],
    });
    let labels = json!({"app": NAME});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME, "namespace": lane.name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    })
}

/// An authority's certificate, one that it signed for these names, and the key of that one.
fn certificates(names: &[String]) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no name is no bad name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key()).expect("it can sign itself");
    let server = key();
    let params = CertificateParams::new(names).expect("names of a Service");
    let signed = params.signed_by(&server, &authority).expect("it can sign");
    (
        pem("CERTIFICATE", authority.der()),
        pem("CERTIFICATE", signed.der()),
        pem("PRIVATE KEY", server.serialized_der()),
    )
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
}
