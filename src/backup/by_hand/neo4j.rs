//! Neo4j: the server is stopped, the dump is loaded beside its store, and the two change places by rename.

use super::{ByHand, pod::Pod, shell::quote};
use crate::{
    api::target::{Neo4j, Server},
    backup::offline::{DumpSource, SERVER, folder_of, settings},
    job::mount,
};
use std::path::Path;

/// Where settings and logs of `neo4j-admin` are in the pod.
const FOLDER: &str = "/tmp/neo4j";

/// What becomes of the store that is there, and the commands. The pod runs as the user whose files are on the server's volume: `backup.pod` says who that is.
pub(super) fn commands(input: &ByHand<'_>, neo4j: &Neo4j) -> Option<(String, Vec<String>)> {
    let server = input.spec.server.as_ref()?;
    let source = DumpSource {
        neo4j,
        volume_claim: server.volume_claim.as_deref()?,
        data_path: server.data_path.as_deref(),
    };
    let database = folder_of(&neo4j.database).ok()?;
    let pod = Pod {
        input,
        image: input.spec.backup.image.as_deref()?,
        kept: input.kept()?,
        mounts: vec![(source.volume(), mount("server", SERVER, false))],
    };
    let mut commands = stop(input, server);
    commands.extend(pod.commands(&script(input, &source, &database, &pod)));
    commands.push(scale(input, server, input.replicas));
    let what = format!(
        "The server is stopped. The store of {database} goes to {} on its volume, and is kept; the volume needs room for a second one.",
        aside(&ours(&source, input.run)).replacen(SERVER, "", 1)
    );
    Some((what, commands))
}

fn script(input: &ByHand<'_>, source: &DumpSource<'_>, database: &str, pod: &Pod<'_>) -> Vec<String> {
    let data = source.data();
    let ours = ours(source, input.run);
    let (copy, aside) = (format!("{ours}/copy"), aside(&ours));
    let settings = settings(Path::new(FOLDER), Path::new(&copy), database, None);
    let lines: Vec<String> = settings.lines().map(quote).collect();
    let (fetch, dump) = pod.data();
    let mut script: Vec<String> = fetch.into_iter().collect();
    script.extend([
        format!("cd {}", quote(&data)),
        format!("mkdir -p {FOLDER}/conf {FOLDER}/logs {FOLDER}/run {FOLDER}/plugins {FOLDER}/import"),
        format!("printf '%s\\n' {} >{FOLDER}/conf/neo4j.conf", lines.join(" ")),
        // What an earlier try has loaded half is of no use.
        format!("mkdir -p {ours}", ours = quote(&ours)),
        format!("rm -rf {}", quote(&copy)),
        format!("NEO4J_CONF={FOLDER}/conf neo4j-admin database load {database} --from-path={}", quote(&dump)),
        // Not -p: whoever has come this far before looks at what is there first.
        format!("mkdir {aside} {aside}/databases {aside}/transactions", aside = quote(&aside)),
    ]);
    for kind in ["databases", "transactions"] {
        script.push(format!("if [ -e {kind}/{database} ]",));
        script.push(format!("then mv {kind}/{database} {}", quote(&format!("{aside}/{kind}/"))));
        script.push("fi".to_owned());
        script.push(format!("mv {} {kind}/", quote(&format!("{copy}/{kind}/{database}"))));
    }
    script.push(format!("rm -rf {}", quote(&copy)));
    script
}

fn ours(source: &DumpSource<'_>, run: u64) -> String {
    format!("{}/wb-by-hand-r{run}", source.data())
}

fn aside(ours: &str) -> String {
    format!("{ours}/aside")
}

/// No pod of the server may be left: two servers on one store destroy it.
fn stop(input: &ByHand<'_>, server: &Server) -> Vec<String> {
    let (namespace, workload) = place(input, server);
    let labels = "{{range $name, $value := .spec.selector.matchLabels}}{{$name}}={{$value}},{{end}}";
    vec![
        scale(input, server, 0),
        format!(
            "kubectl -n {namespace} wait pod --for=delete --timeout=10m -l \"$(kubectl -n {namespace} get {workload} -o go-template={} | sed 's/,$//')\"",
            quote(labels)
        ),
    ]
}

fn scale(input: &ByHand<'_>, server: &Server, replicas: i32) -> String {
    let (namespace, workload) = place(input, server);
    format!("kubectl -n {namespace} scale {workload} --replicas={replicas}")
}

fn place<'a>(input: &'a ByHand<'_>, server: &'a Server) -> (&'a str, String) {
    let kind = server.kind.as_str().to_lowercase();
    (server.namespace.as_deref().unwrap_or(input.namespace), format!("{kind}/{}", server.name))
}

#[cfg(test)]
#[path = "neo4j_tests.rs"]
mod tests;
