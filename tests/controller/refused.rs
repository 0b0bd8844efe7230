//! Bad input, file by file.

use crate::kubectl;
use crate::lane::{CHECKOUT, Platform};
use std::fs;
use std::path::{Path, PathBuf};

/// What the head of a file expects.
#[derive(Debug, PartialEq)]
enum Expected {
    /// The plan's reason and sentence.
    Plan { reason: String, sentence: String },
    /// The API server's own words, somewhere in its refusal.
    Refused(String),
}

impl Expected {
    /// A sentence that ends in … goes on with words of others: the kubelet's, the registry's.
    fn fits(&self, said: &Self) -> bool {
        match (self, said) {
            (Self::Refused(words), Self::Refused(said)) => said.contains(words),
            (Self::Plan { reason: a, sentence }, Self::Plan { reason: b, sentence: said }) => {
                a == b && sentence.strip_suffix('…').map_or(sentence == said, |begin| said.starts_with(begin))
            }
            _ => false,
        }
    }
}

#[test]
fn bad_input_gets_a_clear_sentence_and_changes_nothing() {
    let platform = crate::platform();
    let lane = &platform.0;
    let before = changeable(lane);
    let mut wrong = Vec::new();
    for file in files() {
        let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let text = lane.renamed(&file);
        let expected = expected(&text, &lane.database.address);
        let said = if let Expected::Plan { reason, .. } = &expected {
            said_by_plan(lane, &text, reason)
        } else {
            said_by_server(&text)
        };
        if !expected.fits(&said) {
            wrong.push(format!("{name}:\n  expected {expected:?}\n  it said {said:?}"));
        }
        let _ = lane.try_kubectl(&["delete", "mplan,hpa", "--all", "--timeout=60s"]);
        let _ = lane.try_kubectl(&["delete", "dbt/it", "configmap/it-sql", "--timeout=60s"]);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(changeable(lane), before, "something was changed");
}

/// Everything that a plan could have changed.
fn changeable(lane: &Platform) -> String {
    let path = "{range .items[*]}{.metadata.name} {.metadata.annotations} {.spec}{\"\\n\"}{end}";
    [lane.get("deployments,cronjobs", path), lane.database.dump()].join("\n")
}

fn said_by_plan(lane: &Platform, text: &str, reason: &str) -> Expected {
    lane.apply(text);
    let ready = r#"{.status.conditions[?(@.type=="Ready")].reason}"#;
    // Too late is told by what it says instead.
    let _ =
        lane.try_kubectl(&["wait", &format!("--for=jsonpath={ready}={reason}"), "mplan/it", "--timeout=60s"]);
    Expected::Plan {
        reason: lane.get("mplan/it", ready),
        sentence: lane.get("mplan/it", "{.status.message}"),
    }
}

fn said_by_server(text: &str) -> Expected {
    let output = kubectl::attempt(&["apply", "--filename=-"], text);
    Expected::Refused(if output.status.success() { String::new() } else { kubectl::said(&output) })
}

/// `# says: REASON: SENTENCE`, or `# the API server: WORDS`; a longer sentence goes on in the next comment lines.
fn expected(text: &str, address: &str) -> Expected {
    let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# ")).skip(1).collect();
    let head = head.join(" ").replace("ADDRESS", address);
    if let Some(words) = head.strip_prefix("the API server: ") {
        return Expected::Refused(words.to_owned());
    }
    let said = head.strip_prefix("says: ").and_then(|said| said.split_once(": "));
    let (reason, sentence) = said.unwrap_or_else(|| panic!("the head of the file says nothing: {head}"));
    Expected::Plan { reason: reason.to_owned(), sentence: sentence.to_owned() }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(CHECKOUT).join("tests/controller/refused");
    let files =
        fs::read_dir(&folder).expect("the cases are there").map(|entry| entry.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    assert!(files.len() > 20, "{} has the cases", folder.display());
    files
}
