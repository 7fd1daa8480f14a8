//! Merges the small extents of each table in the background, one merge at a time.

use super::by_table::{self, Pace};
use crate::ServiceError;
use crate::state::State;
use kusto_engine::{Catalog, ExtentRecord, TableId, TableRecord, merge};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PACE: Pace =
    Pace { idle: Duration::from_secs(2), fault: Duration::from_secs(20), rest: Duration::from_secs(600) };

/// Runs until cancelled; a merge under way ends first.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    by_table::run(state, stop, "merging extents", PACE, |_, store, skipped| {
        let Some((table, extents)) = next(store, skipped)? else { return Ok(None) };
        let outcome = merge_one(store, &table, &extents);
        Ok(Some((table, outcome)))
    })
    .await;
}

/// A table with extents to merge.
fn next(
    store: &crate::store::Store,
    skipped: &HashSet<TableId>,
) -> Result<Option<(TableRecord, Vec<ExtentRecord>)>, ServiceError> {
    store.read(|connection| {
        let catalog = Catalog(connection);
        for database in catalog.databases()? {
            for table in catalog.tables(&database)? {
                if skipped.contains(&table.id) {
                    continue;
                }
                let chosen = merge::choose(&catalog.extents(table.id)?);
                if !chosen.is_empty() {
                    return Ok(Some((table, chosen)));
                }
            }
        }
        Ok(None)
    })
}

fn merge_one(
    store: &crate::store::Store,
    table: &TableRecord,
    extents: &[ExtentRecord],
) -> Result<(), ServiceError> {
    let root = store.root.join("extents");
    let merged =
        merge::write_merged(&root, &table.stored_schema(), extents, uuid::Uuid::new_v4().to_string())?;
    let replaced = store.transact(|transaction| merge::replace(transaction, table.id, extents, &merged))?;
    if !replaced {
        // Some went meanwhile; the new file is an orphan that the janitor takes.
        return Ok(());
    }
    tracing::debug!(table = %table.name, extents = extents.len(), rows = merged.rows, "extents merged");
    Ok(())
}
