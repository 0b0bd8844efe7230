//! The demo's platform as a scene: its databases, workloads and flags.

use crate::act::{ACTS, Act, Base};
use crate::cluster::{apply, is_rolled_out, objects};
use crate::kubectl;
use crate::lane::{Lane, Platform};
use crate::scene::Scene;
use crate::walk::DONE_WITHIN;
use serde_json::Value;
use std::collections::BTreeMap;

/// The platform, and how it looks at the bases that it was brought to.
pub(crate) struct Demo {
    platform: Platform,
    bases: BTreeMap<Base, BTreeMap<String, String>>,
}

impl Demo {
    /// A platform whose database is kept as the base of act 1.
    pub(crate) fn set_up(name: &str) -> Self {
        let mut demo = Self { platform: Platform::set_up(name), bases: BTreeMap::new() };
        demo.keep(Base::New);
        // Act 3 has two halves and one file of scripts; here either half may be the first.
        for act in ACTS.iter().filter(|act| act.on == crate::scene::On::Platform) {
            apply(&demo.platform.demo(act.file), |kind| kind == "ConfigMap");
        }
        demo
    }

    fn platform_file(&self, base: Base) -> String {
        let file = self.platform.demo("platform.yaml");
        match base {
            Base::New => file,
            Base::Upgraded => file
                .replace("demo-app:1.0", "demo-app:2.0")
                .replace(r#"new_spaces: "false""#, r#"new_spaces: "true", release: "2026.11.0""#),
        }
    }

    /// The databases that were put aside for a copy of them, and copies that were not needed.
    fn asides(&self) -> String {
        let query = r"SELECT datname FROM pg_database WHERE datname LIKE 'wb\_%' ORDER BY 1";
        self.platform.database.sql("postgres", &[query])
    }

    /// The workloads and the flags, and what of ours is on them.
    fn workloads(&self) -> BTreeMap<String, String> {
        let lane = self.lane();
        let mut facts = BTreeMap::new();
        for (namespace, name) in self.platform.deployments() {
            let found = objects("Deployment", &namespace).get(&name);
            // Whether it is ready was waited for; on a busy machine that comes and goes.
            let spec = &found["spec"];
            let containers = spec["template"]["spec"]["containers"].as_array().expect("it has containers");
            let images: Vec<&Value> = containers.iter().map(|it| &it["image"]).collect();
            let shown = format!("{} {images:?} {:?}", spec["replicas"], ours(&found));
            facts.insert(name.replace(&lane.name, "aether"), shown);
        }
        let cron = objects("CronJob", &lane.name).get("nightly-sync");
        facts.insert("cronjob".to_owned(), format!("{} {:?}", cron["spec"]["suspend"], ours(&cron)));
        let flags = objects("ConfigMap", &lane.name).get("feature-flags");
        facts.insert("flags".to_owned(), flags["data"].to_string());
        facts
    }

    fn wait_for_deployments(&self) -> Result<(), String> {
        for (namespace, name) in self.platform.deployments() {
            let rolled_out = objects("Deployment", &namespace).until(&name, DONE_WITHIN, is_rolled_out);
            rolled_out.map_err(|last| format!("{name} is not rolled out: {}", last["status"]))?;
        }
        Ok(())
    }
}

impl Scene for Demo {
    fn lane(&self) -> &Lane {
        &self.platform
    }

    fn target(&self) -> (&'static str, String) {
        ("shop", self.platform.demo("target.yaml"))
    }

    fn file(&self, act: &Act) -> String {
        self.platform.demo(act.file)
    }

    /// Makes a copy of the database that nobody can enter.
    fn keep(&mut self, base: Base) {
        let made = format!("CREATE DATABASE {} TEMPLATE shop ALLOW_CONNECTIONS false", copy_of(base));
        self.platform.database.sql(
            "postgres",
            &[
                "ALTER DATABASE shop ALLOW_CONNECTIONS false",
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop'",
                &made,
                "ALTER DATABASE shop ALLOW_CONNECTIONS true",
            ],
        );
    }

    fn reset(&mut self, base: Base) -> Result<(), String> {
        let again = format!("CREATE DATABASE shop TEMPLATE {}", copy_of(base));
        let aside = self.asides();
        let drops = aside.lines().map(|name| format!("DROP DATABASE \"{name}\""));
        let all: Vec<String> = drops.chain(["DROP DATABASE shop WITH (FORCE)".to_owned(), again]).collect();
        self.platform.database.sql("postgres", &all.iter().map(String::as_str).collect::<Vec<_>>());
        // What came back by itself is left alone: applying it again and waiting for it would only cost time.
        if self.bases.get(&base).is_some_and(|base| *base == self.workloads()) {
            return Ok(());
        }
        let file = self.platform_file(base);
        let flags =
            file.split("---").find(|part| part.contains("name: feature-flags")).expect("the demo's flags");
        kubectl::run_with(&["replace", "--filename=-"], flags);
        self.platform.apply(&file);
        self.wait_for_deployments()?;
        self.bases.insert(base, self.workloads());
        Ok(())
    }

    fn facts(&self) -> Result<BTreeMap<String, String>, String> {
        let database = &self.platform.database;
        // The way back waits for nobody's pods: who rolled back has given replicas and images back, and that is all.
        self.wait_for_deployments()?;
        let asked = [HISTORY, r"\echo --", JOURNAL, r"\echo --", FENCE];
        let records = database.sql("shop", &asked);
        let mut facts = self.workloads();
        facts.insert("dump".to_owned(), database.dump());
        facts.insert("aside".to_owned(), self.asides());
        for (topic, text) in ["history", "journal", "fence"].into_iter().zip(records.split("--\n")) {
            facts.insert(topic.to_owned(), text.to_owned());
        }
        Ok(facts)
    }

    fn scrub(&self) {
        let name = &self.lane().name;
        for namespace in [name.clone(), format!("{name}-be")] {
            for what in ["deployments", "cronjobs"] {
                let here = ["--namespace", &namespace];
                let notes = ["annotate", what, "--all", "whimbrel.dev/claimed-by-", "whimbrel.dev/original-"];
                kubectl::attempt(&[&here[..], &notes].concat(), "");
                kubectl::attempt(
                    &[&here[..], &["label", what, "--all", "whimbrel.dev/claimed-"]].concat(),
                    "",
                );
            }
        }
        self.platform.kubectl(&["patch", "cronjob/nightly-sync", r#"--patch={"spec":{"suspend":false}}"#]);
    }
}

fn copy_of(base: Base) -> &'static str {
    match base {
        Base::New => "base_new",
        Base::Upgraded => "base_upgraded",
    }
}

const HISTORY: &str =
    "SELECT history, rank, key, kind, version, description, file, checksum, undone_at IS NOT NULL
    FROM whimbrel.history ORDER BY history, rank";
const JOURNAL: &str =
    "SELECT history, rank, key, state, statement, checksum FROM whimbrel.journal ORDER BY id";
const FENCE: &str = "SELECT claimed, entry IS NULL FROM whimbrel.fence";

/// The labels, annotations and field managers of ours that an object has.
fn ours(object: &Value) -> Vec<String> {
    let metadata = &object["metadata"];
    let marks = [&metadata["labels"], &metadata["annotations"]].into_iter().filter_map(Value::as_object);
    let marks = marks.flat_map(|all| all.keys().cloned()).filter(|key| key.starts_with("whimbrel.dev/"));
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let managers = managers.filter_map(|entry| entry["manager"].as_str());
    marks.chain(managers.filter(|name| name.starts_with("whimbrel")).map(str::to_owned)).collect()
}
