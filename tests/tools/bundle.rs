//! Scripts as the source of a user would give them.

use std::collections::BTreeMap;

use whimbrel::script::{Dialect, Layout, Script, read_bundle};

/// The scripts of these files, in order.
pub(crate) fn scripts(files: &[(&str, &str)], layout: Option<Layout>, dialect: Dialect) -> Vec<Script> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, layout, dialect).expect("a good bundle").scripts
}
