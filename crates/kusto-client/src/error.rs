//! The one error type of the client crates.

use crate::RetryClass;
use http::HeaderMap;
use kusto_wire::OneApiError;
use serde::Deserialize;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// An error of a token endpoint, RFC 6749 section 5.2.
#[derive(Deserialize)]
struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

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
    /// The deadline of the call has passed.
    Deadline,
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
    retry_after: Option<Duration>,
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
            retry_after: None,
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
    /// the status suggests. Reads the errors of Kusto, of Azure Storage and of OAuth.
    pub fn from_response(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = match status {
            401 | 403 => ErrorKind::Unauthorized,
            429 => ErrorKind::Throttled,
            408 | 500..=599 => ErrorKind::Service,
            _ => ErrorKind::Rejected,
        };
        let storage = header("x-ms-error-code");
        let mut error = if let Some(OneApiError { error: body }) = OneApiError::decode(body) {
            let text = if body.detail.is_empty() { body.message } else { body.detail };
            let mut error = Self::new(kind, format!("the service answered {status}: {text}"));
            error.0.permanent = body.permanent;
            error.0.code = Some(body.code);
            error
        } else if let Some(code) = storage {
            let kind = if code == "ServerBusy" { ErrorKind::Throttled } else { kind };
            let mut error = Self::new(kind, format!("storage answered {status}: {code}"));
            error.0.code = Some(code);
            error
        } else if let Ok(body) = serde_json::from_slice::<OAuthError>(body) {
            let said = body.error_description.lines().next().unwrap_or_default();
            let said: String = said.chars().take(300).collect();
            let mut error =
                Self::new(kind, format!("the sign-in service answered {status}: {}: {said}", body.error));
            error.0.code = Some(body.error);
            error
        } else {
            Self::new(kind, format!("the service answered {status}"))
        };
        error.0.status = Some(status);
        error.0.activity_id = header("x-ms-activity-id").or_else(|| header("x-ms-request-id"));
        error.0.retry_after =
            header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
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

    /// The fault that an ended deadline stands for.
    pub fn deadline() -> Self {
        Self::new(ErrorKind::Deadline, "the deadline of the call has passed")
    }

    /// The same fault as one of another kind, where the caller knows better.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same fault with what it is about in front of the message.
    #[must_use]
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// The same fault after so many attempts.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call can never succeed: what the service said of it (`@permanent`),
    /// else what the kind of fault means. A passed deadline is not permanent.
    pub fn is_permanent(&self) -> bool {
        if self.0.kind == ErrorKind::Deadline {
            return false;
        }
        self.0.permanent.unwrap_or(self.retry_class() == RetryClass::Never)
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !self.is_permanent()
    }

    /// What the service itself said about permanence, if it did.
    pub fn permanence(&self) -> Option<bool> {
        self.0.permanent
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
            | ErrorKind::Protocol
            | ErrorKind::Deadline => RetryClass::Never,
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

    /// How long the service asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
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
