//! Faults of the service, and what each becomes on the wire.

use kusto_engine::EngineError;
use kusto_kql::{ErrorKind, KqlError};
use kusto_wire::OneApiError;

/// A fault of a request or of the service itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database failed.
    #[error("the service's database failed")]
    Database(#[from] rusqlite::Error),
    /// A file operation failed.
    #[error("file operation failed on {path}")]
    File {
        /// The file or folder.
        path: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The data folder is in use.
    #[error("the data folder {0} is in use by another service; stop it, or use --cluster with its URL")]
    InUse(String),
    /// The certificates for https cannot be read or made.
    #[error("the certificates of the service cannot be used: {0}")]
    Certificate(String),
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(String),
    /// The storage account of external-storage mode failed.
    #[error("the storage account failed at {place}: {problem}")]
    Storage {
        /// The URL without its signature.
        place: String,
        /// What it said.
        problem: String,
    },
    /// Data of an ingestion command is wrong.
    #[error("{message}")]
    BadData {
        /// Kusto's error code.
        code: String,
        /// What is wrong.
        message: String,
    },
    /// More is asked for at once than the service takes.
    #[error("too many {what} at once; try again later")]
    Throttled {
        /// What there is too much of.
        what: &'static str,
        /// When to try again, if that is known.
        after: Option<std::time::Duration>,
    },
    /// The disk is nearly full.
    #[error(
        "the disk of the service has less than {least} free; free some, or lower kin serve --min-free; nothing was taken"
    )]
    NoRoom {
        /// What has to be free.
        least: kusto_types::ByteSize,
    },
    /// Something that the service needs does not answer; the same request may succeed later.
    #[error("{0}; try again later")]
    Unavailable(String),
    /// The request does not say who sends it, or not in a way that is believed.
    #[error("{0}; send Authorization: Bearer with a token of this service")]
    Unauthenticated(&'static str),
    /// The sender lacks a role.
    #[error("Principal '{principal}' is not authorized to {need}")]
    Forbidden {
        /// Its fully qualified name.
        principal: String,
        /// What it would have to be allowed, and the least role for that.
        need: String,
    },
    /// A body over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// An operation that nobody knows, or that was too long ago.
    #[error("operation {0} is not known here")]
    UnknownOperation(String),
    /// A task of the service ended in a panic.
    #[error("an internal task failed")]
    Task(#[from] tokio::task::JoinError),
}

impl From<KqlError> for ServiceError {
    fn from(error: KqlError) -> Self {
        Self::Engine(EngineError::Query(error))
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl ServiceError {
    /// A file fault with its place.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }

    /// Whether the same request can never succeed.
    pub(crate) fn is_permanent(&self) -> bool {
        self.response("").1.error.permanent == Some(true)
    }

    /// Status and body for the Kusto endpoints.
    pub(crate) fn response(&self, activity_id: &str) -> (u16, OneApiError) {
        let build = |status, code, exception, permanent| {
            (status, OneApiError::new(code, exception, &self.to_string(), permanent, activity_id))
        };
        match self {
            Self::Engine(EngineError::Query(error)) => match error.kind {
                ErrorKind::Syntax => {
                    let text = format!("Syntax error: {error}");
                    let body = OneApiError::new(
                        "General_BadRequest",
                        "Kusto.Data.Exceptions.SyntaxException",
                        &text,
                        true,
                        activity_id,
                    );
                    (400, body.with_inner("SYN0002"))
                }
                ErrorKind::Semantic => {
                    let text = format!("Semantic error: {error}");
                    let body = OneApiError::new(
                        "General_BadRequest",
                        "Kusto.Data.Exceptions.SemanticException",
                        &text,
                        true,
                        activity_id,
                    );
                    (400, body.with_inner("SEM0100"))
                }
                ErrorKind::UnknownEntity => build(
                    400,
                    "BadRequest_EntityNotFound",
                    "Kusto.Data.Exceptions.EntityNotFoundException",
                    true,
                ),
            },
            Self::Engine(EngineError::NotFound { .. }) => {
                build(400, "BadRequest_EntityNotFound", "Kusto.Data.Exceptions.EntityNotFoundException", true)
            }
            Self::Engine(EngineError::Exists { .. }) => build(
                400,
                "BadRequest_EntityNameAlreadyExists",
                "Kusto.DataNode.Exceptions.EntityNameAlreadyExistsException",
                true,
            ),
            Self::Engine(EngineError::Schema(_) | EngineError::Refused(_)) => {
                build(400, "BadRequest_InvalidSchema", "Kusto.Data.Exceptions.KustoBadRequestException", true)
            }
            Self::Engine(EngineError::ResultTooLarge { .. } | EngineError::Evaluation(_)) => build(
                400,
                "LimitsExceeded",
                "Kusto.Data.Exceptions.KustoServicePartialQueryFailureLimitsExceededException",
                true,
            ),
            Self::Engine(EngineError::Cancelled(_)) => {
                build(400, "General_BadRequest", "Kusto.Data.Exceptions.KustoRequestCanceledException", true)
            }
            Self::Engine(EngineError::TimedOut { .. }) => {
                build(504, "Timeout", "Kusto.Data.Exceptions.KustoServiceTimeoutException", false)
            }
            Self::Throttled { .. } => build(
                429,
                "TooManyRequests",
                "Kusto.DataNode.Exceptions.ControlCommandThrottledException",
                false,
            ),
            Self::NoRoom { .. } => build(
                429,
                "TooManyRequests",
                "Kusto.DataNode.Exceptions.ControlCommandThrottledException",
                false,
            ),
            Self::Unavailable(_) => build(
                503,
                "ServiceUnavailable",
                "Kusto.Data.Exceptions.KustoServiceUnavailableException",
                false,
            ),
            Self::Unauthenticated(_) => {
                build(401, "Unauthorized", "Kusto.Data.Exceptions.KustoRequestDeniedException", true)
            }
            Self::Forbidden { .. } => {
                build(403, "Forbidden", "Kusto.DataNode.Exceptions.PrincipalNotAuthorizedException", true)
            }
            Self::TooLarge(_) => build(
                413,
                "Payload too large",
                "Kusto.Data.Exceptions.KustoRequestPayloadTooLargeException",
                true,
            ),
            Self::UnknownOperation(_) => build(
                404,
                "BadRequest_OperationNotFound",
                "Kusto.Data.Exceptions.KustoBadRequestException",
                true,
            ),
            Self::BadRequest(_) => {
                build(400, "General_BadRequest", "Kusto.Data.Exceptions.KustoBadRequestException", true)
            }
            Self::BadData { code, .. } => {
                build(400, code, "Kusto.Data.Exceptions.KustoBadRequestException", true)
            }
            Self::Engine(
                EngineError::Database(_)
                | EngineError::Extent(_)
                | EngineError::Io(_)
                | EngineError::Corrupt(_),
            )
            | Self::Database(_)
            | Self::File { .. }
            | Self::InUse(_)
            | Self::Certificate(_)
            | Self::Storage { .. }
            | Self::Task(_) => build(
                500,
                "General_InternalServerError",
                "Kusto.Data.Exceptions.KustoServiceException",
                false,
            ),
        }
    }
}
