//! The demo's platform (`examples/demo`) in a lane, under the lane's names: workloads in two namespaces and a PostgreSQL.

use super::database::Database;
use super::{CHECKOUT, Lane};
use crate::kubectl;
use rand::distr::{Alphanumeric, SampleString as _};
use serde_json::{Value, json};
use std::fs;
use std::ops::Deref;
use std::path::Path;

/// A platform that runs.
pub(crate) struct Platform {
    /// Where it is.
    lane: Lane,
    /// Its database server.
    pub(crate) database: Database,
}

/// A platform is a lane with more in it: whoever has one asks it for what lanes have.
impl Deref for Platform {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}

impl Platform {
    /// Makes everything that it needs, in a lane of its own.
    pub(crate) fn set_up(name: &str) -> Self {
        let lane = Lane::set_up(name, &["", "-be"]);
        let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
        let mut platform = Self { lane, database: Database { address: String::new(), password } };
        platform.bring_up();
        platform
    }

    fn bring_up(&mut self) {
        let backend = format!("{}-be", self.name);
        let password = &self.database.password;
        let url = format!("postgres://admin:{password}@postgres.{}.svc/shop?sslmode=disable", self.name);
        let secret = |namespace: &str, secret: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": namespace}, "stringData": data});
        let items = [
            secret(&self.name, "pg-admin", json!({"username": "admin", "password": password})),
            secret(&self.name, "database", json!({"url": url})),
            secret(&backend, "database", json!({"url": url})),
        ];
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        self.apply(&self.demo("platform.yaml"));
        self.kubectl(&["rollout", "status", "statefulset/postgres", "--timeout=180s"]);
        self.database.address = self.get("service/postgres", "{.spec.clusterIP}");
        self.database.sql(
            "shop",
            &[
                "CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL)",
                "INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n",
            ],
        );
        self.wait_for_deployments();
    }

    /// A file of the demo in this lane's names.
    pub(crate) fn demo(&self, file: &str) -> String {
        self.renamed(&Path::new(CHECKOUT).join("examples/demo").join(file))
    }

    /// A file in this lane's names. The operator is a process of this machine, which has no DNS of the cluster: targets
    /// name the server's address.
    pub(crate) fn renamed(&self, path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.in_names(&text.replace("host: postgres.aether.svc", &format!("host: {}", self.database.address)))
    }

    /// The deployments of the platform, with their namespaces.
    pub(crate) fn deployments(&self) -> [(String, String); 3] {
        let name = &self.name;
        [
            (name.clone(), "audimodal".to_owned()),
            (name.clone(), name.clone()),
            (format!("{name}-be"), format!("{name}-backend")),
        ]
    }

    /// Waits until every deployment of the platform is as its spec says.
    pub(crate) fn wait_for_deployments(&self) {
        for (namespace, name) in self.deployments() {
            let deployment = format!("deployment/{name}");
            kubectl::run(&["--namespace", &namespace, "rollout", "status", &deployment, "--timeout=180s"]);
        }
    }
}
