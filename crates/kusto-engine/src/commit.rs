//! How a table commits: the seam behind which another table format could stand.
//!
//! Invariant E-1: an extent is visible to queries exactly when the transaction that
//! inserted it is committed; its file was complete and synced before that.

use crate::{Catalog, EngineError, ExtentFile, TableId};
use rusqlite::{Connection, params};

/// An extent to make visible.
#[derive(Debug, Clone)]
pub struct NewExtent {
    /// Its finished file.
    pub file: ExtentFile,
    /// Uncompressed bytes of the sources in it.
    pub original_size: u64,
    /// Creation time that the ingestion gave, if any.
    pub created: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// What to commit, and what must hold for it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The table that the extents were written for.
    pub table: TableId,
    /// The extents; may be empty.
    pub extents: Vec<NewExtent>,
    /// Commit nothing when a live extent of the table has one of these tags.
    pub unless_tagged: Vec<String>,
    /// What happens to the rows that the table has.
    pub existing: Existing,
}

/// What a commit does with the rows that the table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They stay.
    Keep,
    /// They go in the same transaction.
    Replace,
}

/// What came of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The extents are visible once the transaction commits.
    Committed,
    /// A live extent has this tag: nothing was done.
    Tagged(String),
    /// The table is gone.
    TableGone,
}

/// Makes extents visible within a caller's transaction.
pub trait TableCommit: Send + Sync {
    /// Checks the preconditions and inserts the extents.
    fn commit(&self, transaction: &Connection, commit: &Commit) -> Result<CommitOutcome, EngineError>;
}

/// Parquet files named by the catalog's `extents` table.
#[derive(Debug, Default, Clone, Copy)]
pub struct CatalogCommit;

impl TableCommit for CatalogCommit {
    fn commit(&self, transaction: &Connection, commit: &Commit) -> Result<CommitOutcome, EngineError> {
        let exists: bool = transaction
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM tables WHERE id = ?1)")?
            .query_row([commit.table.0], |row| row.get(0))?;
        if !exists {
            return Ok(CommitOutcome::TableGone);
        }
        if !commit.unless_tagged.is_empty() {
            for extent in Catalog(transaction).extents(commit.table)? {
                if let Some(tag) = extent.tags.into_iter().find(|tag| commit.unless_tagged.contains(tag)) {
                    return Ok(CommitOutcome::Tagged(tag));
                }
            }
        }
        match commit.existing {
            Existing::Keep => {}
            Existing::Replace => {
                transaction
                    .prepare_cached("DELETE FROM extents WHERE table_id = ?1")?
                    .execute([commit.table.0])?;
            }
        }
        let now = kusto_types::DateTime::now().to_string();
        for extent in &commit.extents {
            let tags = serde_json::Value::from(extent.tags.clone()).to_string();
            transaction
                .prepare_cached(
                    "INSERT INTO extents (id, table_id, path, rows, original_size, size, created, tags)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    extent.file.id,
                    commit.table.0,
                    extent.file.path,
                    extent.file.rows as i64,
                    extent.original_size as i64,
                    extent.file.size as i64,
                    extent.created.as_ref().unwrap_or(&now),
                    tags,
                ])?;
        }
        Ok(CommitOutcome::Committed)
    }
}
