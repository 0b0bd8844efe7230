//! From a source's files to a bundle, or everything that is wrong with them at once.

use std::collections::{BTreeMap, BTreeSet};

use super::checksum::{checksum, digest};
use super::directives::Role;
use super::layout::Name;
use super::{
    Bundle, Dialect, Directives, Kind, Layout, Place, Script, ScriptError, Undo, Values, Version, cypher,
    http, refuse,
};

/// The most bytes that one script may have: 4 MiB. A ConfigMap holds 1 MiB; more than this in one transaction is
/// data, and data is a job's work.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// Reads the files of one source.
///
/// `layout` forces a layout; without it the names decide. Every file must be a script: a file that was skipped in
/// silence would be one that a person believes to be applied.
///
/// # Errors
/// All that is wrong with the files, in the order of their names.
pub fn read_bundle(
    files: BTreeMap<String, Vec<u8>>,
    layout: Option<Layout>,
    dialect: Dialect,
) -> Result<Bundle, Vec<ScriptError>> {
    if files.is_empty() {
        return Err(vec![ScriptError::EmptyBundle]);
    }
    let layout = match layout {
        Some(layout) => layout,
        None => Layout::recognise(files.keys().map(String::as_str), dialect)?,
    };
    if let Some(error) = layout.in_another_language(dialect) {
        return Err(vec![error]);
    }
    let mut reader = Reader::new(dialect);
    for (file, bytes) in files {
        if let Err(error) = reader.take(layout, file, bytes) {
            let fatal = matches!(error, ScriptError::LayoutNotBuilt { .. });
            reader.errors.push(error);
            if fatal {
                break;
            }
        }
    }
    reader.finish(layout)
}

struct Reader {
    dialect: Dialect,
    versioned: BTreeMap<Version, Script>,
    undos: BTreeMap<Version, Undo>,
    repeatable: BTreeMap<String, Script>,
    /// Versions that have a file, be it a broken one: its undo is no orphan.
    named: BTreeSet<Version>,
    errors: Vec<ScriptError>,
}

impl Reader {
    fn new(dialect: Dialect) -> Self {
        let (versioned, undos) = (BTreeMap::new(), BTreeMap::new());
        Reader {
            dialect,
            versioned,
            undos,
            repeatable: BTreeMap::new(),
            named: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    fn take(&mut self, layout: Layout, file: String, bytes: Vec<u8>) -> Result<(), ScriptError> {
        let name = layout.read(&file)?;
        if let Name::Script { version, .. } = &name {
            self.named.insert(version.clone());
        }
        let body = text(&file, bytes)?;
        match name {
            Name::Script { version, description } => {
                let script = self.script(file, body, description, Some(version.clone()));
                if let Some(other) = self.versioned.get(&version) {
                    let (first, second) = (other.file.clone(), script.file);
                    return Err(ScriptError::DuplicateVersion { version, first, second });
                }
                self.versioned.insert(version, script);
            }
            Name::Undo { version } => {
                if let Some(other) = self.undos.get(&version) {
                    let (first, second) = (other.file.clone(), file);
                    return Err(ScriptError::DuplicateVersion { version, first, second });
                }
                let (checksum, directives) = (checksum(&body), self.examine(&file, &body, Role::Undo));
                self.undos.insert(version, Undo { file, body, checksum, directives });
            }
            Name::Repeatable { description } => {
                let script = self.script(file, body, description.clone(), None);
                if let Some(other) = self.repeatable.get(&description) {
                    let (first, second) = (other.file.clone(), script.file);
                    return Err(ScriptError::DuplicateRepeatable { description, first, second });
                }
                self.repeatable.insert(description, script);
            }
        }
        Ok(())
    }

    fn script(
        &mut self,
        file: String,
        body: String,
        description: String,
        version: Option<Version>,
    ) -> Script {
        let (key, kind, role) = match &version {
            Some(version) => (version.to_string(), Kind::Versioned, Role::Script),
            None => (format!("R:{description}"), Kind::Repeatable, Role::Repeatable),
        };
        let directives = self.examine(&file, &body, role);
        let (checksum, dialect) = (checksum(&body), self.dialect);
        Script {
            key,
            kind,
            version,
            description,
            file,
            body,
            checksum,
            undo: None,
            directives,
            dialect,
            values: Values::default(),
        }
    }

    fn examine(&mut self, file: &str, body: &str, role: Role) -> Directives {
        match self.dialect {
            Dialect::Postgresql => refuse::examine(file, body, role, &mut self.errors),
            Dialect::Cypher => cypher::examine(file, body, role, &mut self.errors),
            Dialect::Http => http::examine(file, body, role, &mut self.errors),
        }
    }

    fn finish(mut self, layout: Layout) -> Result<Bundle, Vec<ScriptError>> {
        for (version, undo) in self.undos {
            match self.versioned.get_mut(&version) {
                Some(script) => script.undo = Some(undo),
                None if self.named.contains(&version) => {}
                None => self.errors.push(ScriptError::UndoWithoutScript { file: undo.file, version }),
            }
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let scripts: Vec<Script> =
            self.versioned.into_values().chain(self.repeatable.into_values()).collect();
        let undo = |undo: &'_ Undo| (undo.file.clone(), undo.checksum.clone());
        let all = scripts.iter().map(|s| (s.file.clone(), s.checksum.clone()));
        let all: Vec<_> = all.chain(scripts.iter().filter_map(|s| s.undo.as_ref().map(undo))).collect();
        let digest = digest(all.iter().map(|(file, checksum)| (file.as_str(), checksum.as_str())));
        Ok(Bundle { layout, scripts, digest })
    }
}

/// The text of a file, without a byte order mark.
fn text(file: &str, bytes: Vec<u8>) -> Result<String, ScriptError> {
    let file = file.to_owned();
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ScriptError::TooLarge { file, bytes: bytes.len() });
    }
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(ScriptError::NotUtf8 { file, byte: error.utf8_error().valid_up_to() }),
    };
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.trim().is_empty() {
        return Err(ScriptError::EmptyFile { file });
    }
    match text.find('\0') {
        Some(byte) => Err(ScriptError::ZeroByte { at: Place::at(&file, &text, byte) }),
        None => Ok(text),
    }
}
