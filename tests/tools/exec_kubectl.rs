//! A `kubectl` for scripts that a person is shown: what they run in a pod runs here.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// `exec POD -- COMMAND…` runs the command; everything else is only noted.
const KUBECTL: &str = r#"#!/bin/sh
echo "$3" >>"$(dirname "$0")/verbs"
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -eq 0 ] || { shift; exec "$@"; }
"#;

/// Puts it into a folder, where it also keeps the verbs that it is called with, in the file `verbs`.
pub(crate) fn put_into(folder: &Path) {
    let program = folder.join("kubectl");
    fs::write(&program, KUBECTL).expect("the folder is the test's own");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}
