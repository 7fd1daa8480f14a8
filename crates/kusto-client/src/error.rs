//! The one error type of the client crates.

use crate::RetryClass;
use kusto_wire::OneApiError;
use std::error::Error as StdError;
use std::fmt;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input of the call is wrong; nothing was sent.
    Usage,
    /// A local file cannot be read.
    Source,
    /// The service cannot be reached: name, connection, TLS, time-out.
    Unreachable,
    /// No credential, or one that is refused.
    Unauthorized,
    /// The service or its storage refuses the request for good.
    Rejected,
    /// The service or its storage is overloaded.
    Throttled,
    /// The service or its storage failed.
    Service,
    /// An answer that cannot be understood.
    Protocol,
}

/// A failed call. `Display` is one layer; `source()` leads to the cause. Never holds
/// a credential or a signed URL.
#[derive(Debug)]
pub struct Error(Box<Content>);

#[derive(Debug)]
struct Content {
    kind: ErrorKind,
    message: String,
    permanent: Option<bool>,
    code: Option<String>,
    activity_id: Option<String>,
    status: Option<u16>,
    attempts: u32,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A fault with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Content {
            kind,
            message: message.into(),
            permanent: None,
            code: None,
            activity_id: None,
            status: None,
            attempts: 1,
            source: None,
        }))
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The fault that an HTTP answer stands for. `permanent` of the body wins over what
    /// the status suggests.
    pub fn from_response(status: u16, body: &[u8], activity_id: Option<String>) -> Self {
        let kind = match status {
            401 | 403 => ErrorKind::Unauthorized,
            429 => ErrorKind::Throttled,
            408 | 500..=599 => ErrorKind::Service,
            _ => ErrorKind::Rejected,
        };
        let mut error = match OneApiError::decode(body) {
            Some(OneApiError { error: body }) => {
                let text = if body.detail.is_empty() { body.message } else { body.detail };
                let mut error = Self::new(kind, format!("the service answered {status}: {text}"));
                error.0.permanent = body.permanent;
                error.0.code = Some(body.code);
                error
            }
            None => Self::new(kind, format!("the service answered {status}")),
        };
        error.0.status = Some(status);
        error.0.activity_id = activity_id;
        error
    }

    /// The fault that a failed exchange stands for.
    pub fn from_transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let kind = if error.is_builder() { ErrorKind::Usage } else { ErrorKind::Unreachable };
        let message =
            if error.is_timeout() { "the request timed out" } else { "the request could not be completed" };
        Self::new(kind, message).caused_by(error)
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the service said that the same request can never succeed.
    pub fn is_permanent(&self) -> bool {
        self.0.permanent.unwrap_or(self.retry_class() == RetryClass::Never)
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        !self.is_permanent()
    }

    /// Whether trying again can help, by the kind of fault.
    pub fn retry_class(&self) -> RetryClass {
        if self.0.permanent == Some(true) {
            return RetryClass::Never;
        }
        match self.0.kind {
            ErrorKind::Usage
            | ErrorKind::Source
            | ErrorKind::Unauthorized
            | ErrorKind::Rejected
            | ErrorKind::Protocol => RetryClass::Never,
            ErrorKind::Unreachable | ErrorKind::Service => RetryClass::Backoff,
            ErrorKind::Throttled => RetryClass::Throttled,
        }
    }

    /// The service's error code, such as `BadRequest_EntityNotFound`.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The HTTP status.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The service's id for the failed activity.
    pub fn activity_id(&self) -> Option<&str> {
        self.0.activity_id.as_deref()
    }

    /// How often the request was sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if self.0.attempts > 1 {
            write!(f, " (after {} attempts)", self.0.attempts)?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
