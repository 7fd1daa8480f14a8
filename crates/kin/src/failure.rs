//! A failed command: what to tell the person, and the exit code.

use kusto_ingest::{Error, ErrorKind};
use std::error::Error as StdError;
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Wrong use of the command.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(130, "cancelled; what was accepted before stays accepted")
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    pub(crate) fn print(&self) {
        eprintln!("error: {}", self.message);
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Usage => 2,
            ErrorKind::Unauthorized => 3,
            ErrorKind::Unreachable => 4,
            _ => 1,
        };
        let failure = Self::new(code, chain(&error));
        match error.kind() {
            ErrorKind::Unreachable => failure.with_hint("is the cluster URL right, and the service running?"),
            ErrorKind::Unauthorized => {
                failure.with_hint("sign in with az login, or set KIN_TOKEN; Table Ingestor is the least role")
            }
            _ => failure,
        }
    }
}

impl From<kusto_local::ServiceError> for Failure {
    fn from(error: kusto_local::ServiceError) -> Self {
        Self::new(1, chain(&error))
    }
}
