//! What can go wrong in the engine.

/// A fault of the catalog, of an extent or of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The catalog's database failed.
    #[error("the catalog database failed")]
    Database(#[from] rusqlite::Error),
    /// An extent cannot be written or read.
    #[error("extent file failed: {0}")]
    Extent(String),
    /// A file operation failed.
    #[error("file operation failed")]
    Io(#[from] std::io::Error),
    /// The named entity does not exist.
    #[error("{kind} {name} does not exist")]
    NotFound {
        /// `table`, `database`, `mapping`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The named entity exists already.
    #[error("{kind} {name} exists already{detail}")]
    Exists {
        /// `table`, `database`, `mapping`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What differs, if that matters.
        detail: String,
    },
    /// A schema cannot be made or merged.
    #[error(transparent)]
    Schema(#[from] kusto_types::SchemaError),
    /// What was asked cannot be done, and why.
    #[error("{0}")]
    Refused(String),
    /// The query is wrong.
    #[error(transparent)]
    Query(#[from] kusto_kql::KqlError),
    /// An evaluation step failed.
    #[error("the query cannot be evaluated: {0}")]
    Evaluation(String),
    /// The result is larger than a client may get.
    #[error(
        "the result has more than {limit}; add | take or | summarize, or set the request option notruncation (E_QUERY_RESULT_SET_TOO_LARGE)"
    )]
    ResultTooLarge {
        /// The limit, in words.
        limit: String,
    },
    /// Somebody stopped it.
    #[error("the request was cancelled{0}")]
    Cancelled(String),
    /// It ran longer than it may.
    #[error("the request ran longer than {limit:?}, the time that it has; give it more with servertimeout")]
    TimedOut {
        /// The time that it had.
        limit: std::time::Duration,
    },
    /// What the catalog stores cannot be read.
    #[error("the catalog holds something unreadable: {0}")]
    Corrupt(String),
}

impl From<arrow_schema::ArrowError> for EngineError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Evaluation(error.to_string())
    }
}

impl From<parquet::errors::ParquetError> for EngineError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Extent(error.to_string())
    }
}
