//! Extents: which are meant, and what is done to them.

use kusto_types::Timespan;

/// How a tag is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagTest {
    /// A tag is exactly this.
    Is,
    /// A tag has this in it.
    Contains,
}

/// `tags has "x"` and its kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCondition {
    /// How tags are compared.
    pub test: TagTest,
    /// Whether no tag may be so.
    pub negated: bool,
    /// What with.
    pub tag: String,
}

impl TagCondition {
    /// Whether an extent of these tags is meant. Cases do not differ.
    pub fn holds(&self, tags: &[String]) -> bool {
        let wanted = self.tag.to_lowercase();
        let found = tags.iter().map(|tag| tag.to_lowercase()).any(|tag| match self.test {
            TagTest::Is => tag == wanted,
            TagTest::Contains => tag.contains(&wanted),
        });
        found != self.negated
    }
}

/// Which extents a command means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentChoice {
    /// These.
    Ids(Vec<String>),
    /// All of a table, or of all tables of the database.
    All {
        /// The table.
        table: Option<String>,
        /// Only those that were made so long ago.
        older: Option<Timespan>,
        /// At most so many, the oldest first.
        limit: Option<u64>,
    },
    /// Those that a `.show extents` or a query gives, in a column `ExtentId`.
    Query(String),
}

/// Whose extents are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentsOf {
    /// These tables'.
    Tables(Vec<String>),
    /// A database's; the request's when it names none.
    Database(Option<String>),
    /// All databases'.
    Cluster,
}

/// Whether a command does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Real,
    /// `whatif`: it only shows what it would do.
    Pretended,
}

/// What is done to tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagChange {
    /// These and no others.
    Set,
    /// These come to those that are there.
    Add,
    /// These go.
    Drop,
}
