//! What a script in Cypher may not hold: each message names the way out.

/// Why a place in a Cypher script is refused. The text goes on from `file:line:column: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CypherFault {
    /// A `// whimbrel:` comment that says nothing known.
    #[error(
        "unknown directive {0:?}: known are mixed: true, restartable, probe <query>, undo keeps-data, undo partial-ok"
    )]
    UnknownDirective(String),
    /// A directive that means something elsewhere only.
    #[error("the directive {directive:?} belongs in {place}: move it there")]
    MisplacedDirective {
        /// What it says.
        directive: String,
        /// Where it belongs.
        place: &'static str,
    },
    /// A command of cypher-shell.
    #[error(
        "{0} is a command of cypher-shell, not Cypher: remove it (only :use with the target's own database may stay)"
    )]
    ShellCommand(String),
    /// A `:use` that is cut short or crowded.
    #[error("{0} names no database: write :use <name>, on a line of its own")]
    Use(String),
    /// Changes of schema and of data in one script.
    #[error(
        "statement {schema} changes the schema and statement {data} data: Neo4j takes them in separate transactions, so what stops between them stays half done. Cut it into two scripts, or write // whimbrel: mixed: true"
    )]
    Mixed {
        /// The first that changes the schema.
        schema: usize,
        /// The first that changes data.
        data: usize,
    },
    /// Batches of their own beside statements in a transaction.
    #[error(
        "statement {batches} runs in transactions of its own and statement {other} in another one: what stops between them stays half done. Cut it into two scripts, or write // whimbrel: mixed: true"
    )]
    MixedBatches {
        /// The first with transactions of its own.
        batches: usize,
        /// The first of another kind.
        other: usize,
    },
    /// `mixed` where nothing is mixed.
    #[error("mixed: true means something in a script with statements of two kinds only: remove it")]
    NothingMixed,
    /// `IN TRANSACTIONS` where one transaction must hold everything.
    #[error(
        "statement {0} is CALL {{ … }} IN TRANSACTIONS, which can't run inside a transaction, and undo files and repeatable scripts are one: leave IN TRANSACTIONS out, or write a versioned script"
    )]
    BatchesInside(usize),
    /// An undo whose data come before its schema.
    #[error(
        "statement {0} changes the schema behind a change of data: in an undo file, schema comes first, so that an undo that was cut can go on without doing the data twice"
    )]
    SchemaBehindData(usize),
    /// Schema and data in a repeatable script.
    #[error(
        "statement {0} changes the schema and others data: a repeatable script is one or the other. Cut it into two scripts"
    )]
    MixedRepeatable(usize),
    /// Errors of batches that nobody would see.
    #[error(
        "statement {0} has ON ERROR {1}: batches that fail would be left out in silence, and the script would count as applied. Leave it out; the default stops at the first error"
    )]
    HiddenErrors(usize, String),
    /// What Neo4j no longer has.
    #[error(
        "statement {0} has USING PERIODIC COMMIT, which Neo4j 5 has no more: write CALL {{ … }} IN TRANSACTIONS"
    )]
    PeriodicCommit(usize),
    /// A command of the server or of its users.
    #[error(
        "statement {number}: {words} is about the whole server, not about this database: take it out of the script, and run it by hand"
    )]
    WholeServer {
        /// Which statement.
        number: usize,
        /// How it begins.
        words: String,
    },
    /// A statement for another database.
    #[error(
        "statement {0} begins with USE: a script is about its target's database. Make another target for another one"
    )]
    OtherGraph(usize),
    /// A statement that would not be executed.
    #[error(
        "statement {0} begins with EXPLAIN, which runs nothing: the script would count as applied. Remove EXPLAIN"
    )]
    Explain(usize),
    /// A precondition that would leave a script out.
    #[error(
        "{0:?}: an assumption that does not hold would leave the script out without a word, pending for ever: write assert, or take the script out of the source"
    )]
    Assume(String),
    /// A precondition that nobody could check.
    #[error(
        "{0:?}: write // assert that edition is <enterprise|community>, // assert that version is [lt|ge] <version>, or // assert q' <query>"
    )]
    Precondition(String),
    /// A precondition about the database in which that tool keeps its own history.
    #[error("{0:?}: the history is in the target itself: write // assert q' <query>")]
    InSchema(String),
    /// Quoting of SQL.
    #[error(
        "{0} quotes as SQL does, and Cypher reads that as something else: write :cypher for a string, :label for a name"
    )]
    SqlQuoting(String),
    /// What the history label of ours or of the peer would be changed by.
    #[error("statement {0} names {1}, where histories and locks are kept: leave those alone")]
    OurOwn(usize, String),
}

impl CypherFault {
    /// A stable word for metrics, status and tests.
    pub fn code(&self) -> &'static str {
        match self {
            CypherFault::UnknownDirective(_) => "UnknownDirective",
            CypherFault::MisplacedDirective { .. } => "MisplacedDirective",
            CypherFault::ShellCommand(_) | CypherFault::Use(_) => "MetaCommand",
            CypherFault::Mixed { .. }
            | CypherFault::MixedBatches { .. }
            | CypherFault::MixedRepeatable(_) => "Mixed",
            CypherFault::NothingMixed => "MixedAlone",
            CypherFault::BatchesInside(_) => "NonTransactional",
            CypherFault::SchemaBehindData(_) => "SchemaBehindData",
            CypherFault::HiddenErrors(..) => "HiddenErrors",
            CypherFault::PeriodicCommit(_) => "PeriodicCommit",
            CypherFault::WholeServer { .. } => "WholeServer",
            CypherFault::OtherGraph(_) => "OtherGraph",
            CypherFault::Explain(_) => "Explain",
            CypherFault::Assume(_) | CypherFault::Precondition(_) | CypherFault::InSchema(_) => {
                "Precondition"
            }
            CypherFault::SqlQuoting(_) => "SqlQuoting",
            CypherFault::OurOwn(..) => "OurOwn",
        }
    }
}
