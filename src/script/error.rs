//! What can be wrong with a source: each error says where, what, and how to fix it.

use std::fmt;

use super::cypher::CypherFault;
use super::directives::KNOWN;
use super::http::HttpFault;
use super::refuse::Refusal;
use super::split::{Found, Opener, place};
use super::{Dialect, Layout, MAX_FILE_BYTES, Version};

/// A place in the user's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The user's file name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of the byte at `offset` of `text`, the body of `file`.
    pub(super) fn at(file: &str, text: &str, offset: usize) -> Self {
        let (line, column) = place(text, offset);
        Place { file: file.to_owned(), line, column }
    }

    /// The place of what was found in `file`.
    pub(super) fn of(file: &str, found: &Found) -> Self {
        Place { file: file.to_owned(), line: found.line, column: found.column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why a source is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The source has no file at all.
    #[error("the source has no scripts: put at least one in, or remove the step")]
    EmptyBundle,
    /// The layout exists by name only.
    #[error("{}the layout {layout} is not built yet: name the files as {}", file.as_ref().map(|f| format!("{f}: ")).unwrap_or_default(), Layout::shapes_of_built())]
    LayoutNotBuilt {
        /// What was asked for or recognised.
        layout: Layout,
        /// The file it was recognised by; absent when the plan asks for it.
        file: Option<String>,
    },
    /// A file that is no script by its name.
    #[error("{file}: no layout knows this file name: rename it to {shapes}, or take it out of the source")]
    UnknownFile {
        /// The user's file name.
        file: String,
        /// The names that would do.
        shapes: String,
    },
    /// Files in another language than the target's.
    #[error("the files are named as {layout}, which is {}, and the target takes {}: name them {}", found.name(), wanted.name(), Layout::shapes_in(*wanted))]
    OtherLanguage {
        /// How they are named.
        layout: Layout,
        /// The language of that layout.
        found: Dialect,
        /// The target's.
        wanted: Dialect,
    },
    /// A file that neo4j-migrations runs around its own work.
    #[error(
        "{file} is a callback of neo4j-migrations, which nothing here would run: make a script or a step of the plan of it, and take it out of the source"
    )]
    Callback {
        /// The user's file name.
        file: String,
    },
    /// What a script in Cypher may not hold.
    #[error("{at}: {fault}")]
    Cypher {
        /// Where.
        at: Place,
        /// What, and the way out.
        fault: CypherFault,
    },
    /// What a script of requests may not hold.
    #[error("{at}: {fault}")]
    Http {
        /// Where.
        at: Place,
        /// What, and the way out.
        fault: HttpFault,
    },
    /// Two layouts in one source.
    #[error("{first_file} is named as {first}, {second_file} as {second}: use one layout in one source")]
    MixedLayouts {
        /// A layout found.
        first: Layout,
        /// A file that has it.
        first_file: String,
        /// Another layout found.
        second: Layout,
        /// A file that has it.
        second_file: String,
    },
    /// Two scripts, or two undos, of one version.
    #[error("{first} and {second} are both version {version}: give one of them another version")]
    DuplicateVersion {
        /// The version both have.
        version: Version,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// Two repeatable scripts of one description.
    #[error("{first} and {second} are both the repeatable script {description:?}: rename one of them")]
    DuplicateRepeatable {
        /// The description both have.
        description: String,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// An undo that takes nothing back.
    #[error(
        "{file}: there is no script of version {version} that it could take back: add the script, or remove the undo"
    )]
    UndoWithoutScript {
        /// The undo's file.
        file: String,
        /// The version it names.
        version: Version,
    },
    /// Bytes that are no text.
    #[error("{file}: byte {byte} is not UTF-8: save the file as UTF-8")]
    NotUtf8 {
        /// The user's file name.
        file: String,
        /// Where the text ends, from 0.
        byte: usize,
    },
    /// A zero byte, which no server takes.
    #[error("{at}: a zero byte: save the file as UTF-8 text")]
    ZeroByte {
        /// Where.
        at: Place,
    },
    /// Something is opened and the text ends first.
    #[error("{at}: {what}")]
    Unclosed {
        /// Where it is opened.
        at: Place,
        /// What is opened.
        what: Opener,
    },
    /// A statement that a script may not have.
    #[error("{at}: statement {statement}: {refusal}")]
    Refused {
        /// Where it begins.
        at: Place,
        /// Which statement of the file, from 1.
        statement: usize,
        /// Why.
        refusal: Refusal,
    },
    /// Statements of both kinds in a script without a transaction.
    #[error(
        "{at}: statement {statement} runs in a transaction of its own, and statement {outside} ({name}) outside of any: what stops between them stays half done. Cut it into two scripts, or write -- whimbrel: mixed: true"
    )]
    Mixed {
        /// Where the first statement that runs in a transaction begins.
        at: Place,
        /// Its number.
        statement: usize,
        /// The first that does not.
        outside: usize,
        /// Its name.
        name: &'static str,
    },
    /// A directive that means something beside another one only.
    #[error(
        "{file}: -- whimbrel: mixed: true means something beside -- whimbrel: no-transaction only: add that, or remove it"
    )]
    MixedAlone {
        /// The user's file name.
        file: String,
    },
    /// A line that is for psql.
    #[error(
        "{at}: {command} is a command of psql, not SQL: remove it (skipped are \\restrict, \\unrestrict, \\echo, and \\connect without a database, each on a line of its own)"
    )]
    MetaCommand {
        /// Where it begins.
        at: Place,
        /// The command, without its arguments.
        command: String,
    },
    /// A `-- whimbrel:` comment that says nothing known.
    #[error("{at}: unknown directive {directive:?}: known are {KNOWN}")]
    UnknownDirective {
        /// Where the comment begins.
        at: Place,
        /// What it says.
        directive: String,
    },
    /// A directive that exists by name only.
    #[error(
        "{at}: the directive {directive:?} is not built yet for undo files and repeatable scripts: remove it, they are one transaction each"
    )]
    DirectiveNotBuilt {
        /// Where the comment begins.
        at: Place,
        /// What it says.
        directive: String,
    },
    /// A directive about an undo that stands elsewhere.
    #[error("{at}: the directive {directive:?} belongs in the undo file: move it there")]
    DirectiveOfUndo {
        /// Where the comment begins.
        at: Place,
        /// What it says.
        directive: String,
    },
    /// Nothing in the file.
    #[error("{file}: the file is empty: write a statement, or a comment that says why there is none")]
    EmptyFile {
        /// The user's file name.
        file: String,
    },
    /// More than a script may have.
    #[error(
        "{file}: {bytes} bytes, a script has at most {MAX_FILE_BYTES}: cut it into several versions, or load the data with a job step"
    )]
    TooLarge {
        /// The user's file name.
        file: String,
        /// Its size.
        bytes: usize,
    },
}

impl ScriptError {
    /// A stable word for metrics, status and tests.
    pub fn code(&self) -> &'static str {
        match self {
            ScriptError::EmptyBundle => "EmptyBundle",
            ScriptError::LayoutNotBuilt { .. } => "LayoutNotBuilt",
            ScriptError::UnknownFile { .. } => "UnknownFile",
            ScriptError::OtherLanguage { .. } => "OtherLanguage",
            ScriptError::Callback { .. } => "Callback",
            ScriptError::Cypher { fault, .. } => fault.code(),
            ScriptError::Http { fault, .. } => fault.code(),
            ScriptError::MixedLayouts { .. } => "MixedLayouts",
            ScriptError::DuplicateVersion { .. } => "DuplicateVersion",
            ScriptError::DuplicateRepeatable { .. } => "DuplicateRepeatable",
            ScriptError::UndoWithoutScript { .. } => "UndoWithoutScript",
            ScriptError::NotUtf8 { .. } => "NotUtf8",
            ScriptError::ZeroByte { .. } => "ZeroByte",
            ScriptError::EmptyFile { .. } => "EmptyFile",
            ScriptError::TooLarge { .. } => "TooLarge",
            ScriptError::Unclosed { .. } => "Unclosed",
            ScriptError::Refused { refusal, .. } => refusal.code(),
            ScriptError::Mixed { .. } => "Mixed",
            ScriptError::MixedAlone { .. } => "MixedAlone",
            ScriptError::MetaCommand { .. } => "MetaCommand",
            ScriptError::UnknownDirective { .. } => "UnknownDirective",
            ScriptError::DirectiveNotBuilt { .. } => "DirectiveNotBuilt",
            ScriptError::DirectiveOfUndo { .. } => "DirectiveOfUndo",
        }
    }
}
