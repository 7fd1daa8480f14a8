//! What is wrong with a query or command, and where.

/// Which stage found the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text does not parse.
    Syntax,
    /// A name, type or argument count is wrong.
    Semantic,
    /// An entity (table, database, mapping) does not exist.
    UnknownEntity,
}

/// A fault with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at {at})")]
pub struct KqlError {
    /// Which stage found it.
    pub kind: ErrorKind,
    /// What is wrong and what would be right.
    pub message: String,
    /// Byte offset into the text.
    pub at: usize,
}

impl KqlError {
    /// A syntax error.
    pub fn syntax(at: usize, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Syntax, message: message.into(), at }
    }

    /// A semantic error.
    pub fn semantic(at: usize, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Semantic, message: message.into(), at }
    }

    /// An unknown entity.
    pub fn unknown(at: usize, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::UnknownEntity, message: message.into(), at }
    }
}
