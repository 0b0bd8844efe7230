//! A number that nobody feeds is a lie on a dashboard: every way to feed one is used by the product.

use std::fs;
use std::path::Path;

/// The product's code outside the numbers' own file, without unit tests.
fn product(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && name != "tests" {
            product(&path, all);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "metrics.rs" {
            let text = fs::read_to_string(&path).unwrap();
            all.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

#[test]
fn every_number_is_fed() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let numbers = fs::read_to_string(src.join("serve/metrics.rs")).unwrap();
    let feeders: Vec<&str> = numbers
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ").or(line.trim().strip_prefix("pub(super) ")))
        .filter_map(|line| line.strip_prefix("fn ")?.split_once("(&self"))
        .map(|(name, _)| name.split('<').next().unwrap_or(name))
        .collect();
    assert!(feeders.len() > 10, "{feeders:?}");
    let mut all = String::new();
    product(&src, &mut all);
    for feeder in feeders {
        assert!(all.contains(&format!(".{feeder}(")), "nothing in src calls Metrics::{feeder}");
    }
}
