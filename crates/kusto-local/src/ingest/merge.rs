//! Merges the small extents of each table in the background, one merge at a time.

use crate::ServiceError;
use crate::state::State;
use kusto_engine::{Catalog, ExtentRecord, TableRecord, merge};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often tables are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Runs until cancelled; a merge under way ends first.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    loop {
        let merged = crate::store::blocking(&state.store, |store| {
            let Some((table, extents)) = next(store)? else { return Ok(false) };
            merge_one(store, &table, &extents)?;
            Ok(true)
        })
        .await;
        let pause = match merged {
            Ok(true) => Duration::ZERO,
            Ok(false) => EVERY,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "merging extents failed");
                10 * EVERY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A table with extents to merge.
fn next(store: &crate::store::Store) -> Result<Option<(TableRecord, Vec<ExtentRecord>)>, ServiceError> {
    store.read(|connection| {
        let catalog = Catalog(connection);
        for database in catalog.databases()? {
            for table in catalog.tables(&database)? {
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
    // Queries that began before still read the old files: their time as orphans begins now.
    for extent in extents {
        let file = std::fs::File::options().append(true).open(root.join(&extent.path));
        if let Err(error) = file.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::warn!(%error, file = extent.path, "a merged extent's file cannot be kept for running queries");
        }
    }
    Ok(())
}
