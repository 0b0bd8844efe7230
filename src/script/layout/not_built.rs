//! Layouts that are known by name only, so that a message can say "not built yet" and not "unknown".

use super::Layout;

pub(super) fn of_file(file: &str) -> Option<Layout> {
    let ends = |ends: &[&str]| ends.iter().any(|end| file.ends_with(end));
    if ends(&[".redis", ".redis.yaml"]) {
        Some(Layout::Redis)
    } else if ends(&[".s3.yaml", ".kafka.yaml"]) {
        Some(Layout::Ops)
    } else if ends(&[".sql"]) && numbered(file) {
        Some(if ends(&[".up.sql", ".down.sql"]) { Layout::NumberUpDown } else { Layout::Goose })
    } else {
        None
    }
}

/// `1_...`
fn numbered(file: &str) -> bool {
    file.split_once('_')
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
