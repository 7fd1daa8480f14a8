//! Newtypes for the names and ids that cross an API, so that two of them cannot be
//! swapped by accident. Names are checked once, where they are made.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Why a text cannot be the name of a Kusto entity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a {0} name must not be empty")]
    Empty(&'static str),
    /// The name has more than 1,024 characters, Kusto's limit for identifiers.
    #[error("a {0} name has at most 1024 characters, this one has {1}")]
    TooLong(&'static str, usize),
    /// The name has a character that no Kusto identifier may have.
    #[error("{0:?} is not a {1} name: {2:?} is not allowed (letters, digits, _ . - and space are)")]
    Character(String, &'static str, char),
}

fn check(kind: &'static str, name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Empty(kind));
    }
    let length = name.chars().count();
    if length > 1024 {
        return Err(NameError::TooLong(kind, length));
    }
    match name
        .chars()
        .find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ' ' | '$' | '@' | ':' | '/')))
    {
        Some(c) => Err(NameError::Character(name.to_owned(), kind, c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks the text: not empty, at most 1,024 characters, only characters
            /// that Kusto allows in identifiers.
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                check($kind, &name)?;
                Ok(Self(name))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> { Self::new(name) }
        }
        impl TryFrom<&str> for $type {
            type Error = NameError;
            fn try_from(name: &str) -> Result<Self, NameError> { Self::new(name) }
        }
        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> { Self::new(name) }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String { name.0 }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    };
}

name!(
    /// The name of a database. Case-sensitive here, as on a cluster's data path.
    DatabaseName, "database");
name!(
    /// The name of a table. Case-sensitive.
    TableName, "table");
name!(
    /// The name of a column. Case-sensitive.
    ColumnName, "column");
name!(
    /// The name of an ingestion mapping.
    MappingName, "mapping");

impl DatabaseName {
    /// `NetDefaultDB`, the database that every Kusto client falls back to.
    pub fn net_default() -> Self {
        Self("NetDefaultDB".to_owned())
    }
}

/// The id of one source (one blob, file or buffer) given to an ingestion call. It is
/// the `Id` of the queue message and the key of every later status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub Uuid);

impl SourceId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for SourceId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reject_what_kusto_rejects() {
        assert!(TableName::new("Flights").is_ok());
        assert!(TableName::new("my table-1.x").is_ok());
        assert_eq!(TableName::new(" "), Err(NameError::Empty("table")));
        assert!(matches!(TableName::new("a'b"), Err(NameError::Character(_, _, '\''))));
        assert!(matches!(TableName::new("x".repeat(1025)), Err(NameError::TooLong(_, 1025))));
    }
}
