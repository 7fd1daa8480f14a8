//! How a table commits: the seam behind which another table format could stand.
//!
//! Invariant E-1: an extent is visible to queries exactly when the transaction that
//! inserted it is committed; its file was complete and synced before that.

use crate::{Catalog, EngineError, ExtentFile, ExtentRecord, TableId};
use kusto_types::DateTime;
use rusqlite::Connection;

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
        let catalog = Catalog(transaction);
        // Asked before the old extents go, so that times never step back.
        let ingested = catalog.ingestion_time(commit.table)?;
        match commit.existing {
            Existing::Keep => {}
            Existing::Replace => {
                catalog.delete_rows(commit.table)?;
            }
        }
        for extent in &commit.extents {
            let record = ExtentRecord {
                id: extent.file.id.clone(),
                path: extent.file.path.clone(),
                rows: extent.file.rows,
                original_size: extent.original_size,
                size: extent.file.size,
                created: extent.created.clone().unwrap_or_else(|| DateTime::now().to_string()),
                tags: extent.tags.clone(),
                ingested: ingested.clone(),
            };
            catalog.insert_extent(commit.table, &record)?;
        }
        Ok(CommitOutcome::Committed)
    }
}
