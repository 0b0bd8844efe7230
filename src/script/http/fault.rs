//! What an `.http` script may not hold: each message names the way out.

/// Why a place in an `.http` script is refused. The text goes on from `file:line:column: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// Neither comment nor request.
    #[error("{0:?} is no request: it begins with a method and a path, as PUT /my-index")]
    RequestLine(String),
    /// A word that is no method.
    #[error("{0} is no method: known are GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")]
    Method(String),
    /// `PUT http://server/path`
    #[error("a request has no server in its path, the target says which one it is: write METHOD /path")]
    WholeUrl,
    /// `GET /a HTTP/1.1`, or a name with a blank.
    #[error("the path {0:?} has a blank in it: write it as %20, and leave HTTP/1.1 out")]
    BlankInPath(String),
    /// A line between request and body without a colon.
    #[error("{0:?} is no header: write Name: value, and a blank line before the body")]
    Header(String),
    /// Only comments.
    #[error("there is no request in it: write one, or take the file out of the source")]
    NoRequest,
    /// A directive without a request.
    #[error("no request stands between this and the next ###: move it to the request that it is about")]
    Nowhere,
    /// A directive that says nothing known.
    #[error(
        "unknown directive {0:?}: known are @expect 200,404, @await task, @probe GET /path -> 200, @name, and in an undo file whimbrel: undo keeps-data, whimbrel: undo partial-ok"
    )]
    UnknownDirective(String),
    /// A directive about an undo that stands elsewhere.
    #[error("the directive {0:?} belongs in the undo file: move it there")]
    DirectiveOfUndo(String),
    /// A probe that can't be one.
    #[error(
        "{0:?} is no probe: write @probe GET /path -> 200, or @probe GET /path -> /json/pointer value; it only reads"
    )]
    Probe(String),
    /// `@await task` where the server starts no task.
    #[error("{0} starts no task: @await task is for _reindex, _update_by_query and _delete_by_query")]
    NoTask(String),
    /// A reindex whose task could not be started again.
    #[error(
        "a reindex that is awaited may be started again after a crash, and must then pass over what is there: set \"conflicts\": \"proceed\" and in \"dest\" \"op_type\": \"create\""
    )]
    ReindexTwice,
    /// The author's own id of a request.
    #[error(
        "the header {0} is how a request is found again after a lost answer, or what the target says: remove it"
    )]
    OwnHeader(String),
    /// Credentials in a script.
    #[error(
        "credentials don't belong in a script: put them into the Secret of the target and remove the header {0}"
    )]
    Credentials(String),
    /// Indices that are ours or the other tool's.
    #[error("{0} holds histories and locks, which no script may touch: take it out")]
    OurOwn(String),
    /// A change of everything.
    #[error("{0} is about every index of the cluster, histories too: name the indices")]
    EveryIndex(String),
    /// About the cluster, not about its data.
    #[error("{0} is about the whole cluster, and nothing here could take it back: let its owner do it")]
    WholeCluster(String),
    /// A bulk body without its last line end.
    #[error("a bulk body ends with a line end, or the server refuses it: add one at the end of the request")]
    BulkEnd,
    /// `${name:literal}` quotes for SQL.
    #[error("{0} quotes as SQL does, not as JSON: write it without :literal or :ident")]
    SqlQuoting(String),
}

impl HttpFault {
    /// A stable word for metrics, status and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RequestLine(_) => "RequestLine",
            Self::Method(_) => "Method",
            Self::WholeUrl => "WholeUrl",
            Self::BlankInPath(_) => "BlankInPath",
            Self::Header(_) => "Header",
            Self::NoRequest => "NoRequest",
            Self::Nowhere => "Nowhere",
            Self::UnknownDirective(_) => "UnknownDirective",
            Self::DirectiveOfUndo(_) => "DirectiveOfUndo",
            Self::Probe(_) => "Probe",
            Self::NoTask(_) => "NoTask",
            Self::ReindexTwice => "ReindexTwice",
            Self::OwnHeader(_) => "OwnHeader",
            Self::Credentials(_) => "Credentials",
            Self::OurOwn(_) => "OurOwn",
            Self::EveryIndex(_) => "EveryIndex",
            Self::WholeCluster(_) => "WholeCluster",
            Self::BulkEnd => "BulkEnd",
            Self::SqlQuoting(_) => "SqlQuoting",
        }
    }
}
