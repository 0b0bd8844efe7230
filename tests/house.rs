//! The rules of the house, read from its source: what a room may know, and what no file may hold.
//!
//! A rule that only stands in ARCHITECTURE.md is broken within a month; these are asserted on every line of `src/`.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// What a group of rooms may not name, and why.
struct Rule {
    /// Folders and files under `src/`.
    rooms: &'static [&'static str],
    /// Names that may not stand in their code; a name with `::` at its end covers all below it.
    without: &'static [&'static str],
    /// The end of the sentence "this room …".
    because: &'static str,
}

/// The order is that of "Architecture invariants" in ARCHITECTURE.md.
const RULES: &[Rule] = &[
    Rule {
        rooms: &["api", "script", "program", "check", "words"],
        without: &[
            "tokio",
            "kube::Client",
            "kube::client",
            "kube::Api",
            "kube::api",
            "kube::runtime",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "SystemTime",
            "Instant",
            "Timestamp::now",
            "Zoned::now",
            "rand::",
        ],
        because: "is pure: time, randomness and observations are arguments, so that the same input always gives the same program",
    },
    Rule {
        rooms: &["script", "program", "check", "engine", "run", "serve", "words"],
        without: &["kube::"],
        because: "does not speak to Kubernetes: only workload, job, backup, controller, cluster and cli do",
    },
    Rule {
        rooms: &["workload", "job", "backup", "script"],
        without: &["kube::Client", "Client::try_default", "Client::new"],
        because: "takes an Acting, never a Client: what is done for a plan is done as the plan's account",
    },
    Rule {
        rooms: &[
            "api",
            "check",
            "cli",
            "cluster",
            "controller",
            "job",
            "program",
            "run",
            "script",
            "serve",
            "words",
            "workload",
        ],
        without: &["postgres_protocol"],
        because: "does not speak to databases: only engine does",
    },
    Rule {
        rooms: &["engine/postgresql"],
        without: &["engine::neo4j", "engine::search"],
        because: NO_OTHER_ENGINE,
    },
    Rule {
        rooms: &["engine/neo4j"],
        without: &["engine::postgresql", "engine::search"],
        because: NO_OTHER_ENGINE,
    },
    Rule {
        rooms: &["engine/search"],
        without: &["engine::postgresql", "engine::neo4j"],
        because: NO_OTHER_ENGINE,
    },
    Rule {
        rooms: &["run", "program"],
        without: &[
            "tokio::time",
            "tokio::spawn",
            "tokio::task::spawn",
            "Instant",
            "SystemTime",
            "Timestamp::now",
            "rand::",
            "HashMap",
            "HashSet",
        ],
        because: "must run in a simulated world: one seed, one order of events. Sleep through Clock, keep things in a BTreeMap",
    },
];

const NO_OTHER_ENGINE: &str = "knows no other engine: what two of them share is in src/engine itself, and no room is left when another is";

/// What no line may hold, comments included: what is not built is refused by name, not left half done.
const UNFINISHED: &[&str] = &["TODO", "FIXME", "XXX", "todo!", "unimplemented!", "allow(dead_code)"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "base"];

/// One idea fits in a file of this many lines, its unit tests included; beyond, it is two ideas.
const LONGEST_FILE: usize = 600;

#[test]
fn each_room_knows_only_what_it_may() {
    let mut broken = String::new();
    // A file of tests reads its fixtures from files; it is compiled for tests only.
    for source in sources().into_iter().filter(|source| !source.shown.ends_with("tests.rs")) {
        for rule in RULES.iter().filter(|rule| rule.rooms.iter().any(|room| source.is_in(room))) {
            for (number, line) in source.product_lines() {
                for name in rule.without.iter().filter(|name| names(line, name)) {
                    let _ = writeln!(
                        broken,
                        "{}:{number}: `{name}` stands here, but {} {}",
                        source.shown,
                        source.room(),
                        rule.because
                    );
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn files_are_short_finished_and_say_what_they_are() {
    let mut broken = String::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            let _ = writeln!(
                broken,
                "{}: {lines} lines, more than {LONGEST_FILE}: split it by idea",
                source.shown
            );
        }
        if !source.text.starts_with("//! ") {
            let _ = writeln!(broken, "{}: the first line must say what the file is (`//! …`)", source.shown);
        }
        for (index, line) in source.text.lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| whole_word(line, word)) {
                let _ = writeln!(
                    broken,
                    "{}:{}: `{word}`: finish it, or let the operator refuse it by name",
                    source.shown,
                    index + 1
                );
            }
        }
        let name =
            source.path.iter().filter_map(|part| part.to_str()).map(|part| part.trim_end_matches(".rs"));
        for empty in name.filter(|part| EMPTY_NAMES.contains(part)) {
            let _ = writeln!(
                broken,
                "{}: `{empty}` is no name: say what is inside, in the words of the house",
                source.shown
            );
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut documented = false;
    for line in map.lines() {
        if let Some(room) = line.strip_prefix("pub mod ") {
            assert!(documented, "src/lib.rs: say in one line what room {room} is");
        } else {
            assert!(
                !line.starts_with("mod "),
                "src/lib.rs: `{line}`: a room is `pub mod`, with its one line"
            );
        }
        documented = line.starts_with("/// ");
    }
}

#[test]
fn every_dependency_is_used_and_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let product: String = sources().iter().map(|source| source.text.as_str()).collect();
    let tests: String = rust_files(&root().join("tests"))
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .chain([product.clone()])
        .collect();
    let mut broken = String::new();
    let (mut section, mut reasoned) = ("", false);
    for line in manifest.lines() {
        if let Some(title) = line.strip_prefix('[') {
            section = title.trim_end_matches(']');
            reasoned = false;
        }
        reasoned |= line.starts_with("# ");
        let code = match section {
            "dependencies" => &product,
            "dev-dependencies" => &tests,
            _ => continue,
        };
        let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with(['#', '['])) else {
            continue;
        };
        let path = format!("{}::", name.replace('-', "_"));
        if !code.lines().any(|line| whole_word(line, &path)) {
            let _ = writeln!(broken, "Cargo.toml: nothing says `{path}`: {name} is not used");
        }
        if !reasoned {
            let _ =
                writeln!(broken, "Cargo.toml: no comment in [{section}] above {name} says why it is here");
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn a_name_is_found_as_a_whole_word_only() {
    assert!(names("    tokio::spawn(x)", "tokio"));
    assert!(names("use kube::{Api, Client};", "kube::Client"), "inside braces too");
    assert!(names("use kube::{Client};", "kube::"));
    assert!(!names("use kube_shape::Client;", "kube::"));
    assert!(!names("let instantly = 1;", "Instant"));
    assert!(!names("rand::rngs", "strand::"));
    assert!(!names("operand::x", "rand::"));
}

/// Whether the line's code holds `name`; `a::B` is found in `use a::{X, B}` too.
fn names(line: &str, name: &str) -> bool {
    if whole_word(line, name) {
        return true;
    }
    match name.rsplit_once("::") {
        Some((path, item)) if !item.is_empty() => {
            let opening = format!("{path}::{{");
            line.split_once(&opening)
                .is_some_and(|(before, items)| !ends_in_word(before) && whole_word(items, item))
        }
        _ => false,
    }
}

fn whole_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        let open_end = word.ends_with("::") || word.ends_with('!') || word.ends_with(')');
        !ends_in_word(&line[..at]) && (open_end || !after.starts_with(is_word))
    })
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(is_word)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// One source file.
struct Source {
    /// Below `src/`.
    path: PathBuf,
    /// As messages name it.
    shown: String,
    text: String,
}

impl Source {
    fn is_in(&self, room: &str) -> bool {
        self.path.starts_with(room) || self.path == Path::new(&format!("{room}.rs"))
    }

    /// The room as messages name it.
    fn room(&self) -> String {
        let first = self.path.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
        format!("`{}`", first.trim_end_matches(".rs"))
    }

    /// The numbered lines of the product: no comments, nothing from the first unit test on, no test files.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.path.iter().any(|part| part == "tests" || part == "tests.rs");
        let end = if is_test { 0 } else { self.first_test() };
        self.text
            .lines()
            .enumerate()
            .take(end)
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    fn first_test(&self) -> usize {
        let mut lines = self.text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let opens = |it: &str| it.starts_with("mod ") && it.ends_with('{');
            if line == "#[cfg(test)]" && lines.peek().is_some_and(|(_, next)| opens(next)) {
                return index;
            }
        }
        usize::MAX
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let found: Vec<Source> = rust_files(&src)
        .into_iter()
        .map(|path| {
            let below = path.strip_prefix(&src).expect("found under it").to_path_buf();
            let shown = format!("src/{}", below.display());
            Source { shown, text: fs::read_to_string(&path).expect("sources are UTF-8"), path: below }
        })
        .collect();
    assert!(found.len() > 10, "no sources found under {}", src.display());
    found
}

/// All Rust files below a folder, sorted.
fn rust_files(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![top.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
