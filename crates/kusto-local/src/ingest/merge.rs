//! Merges the small extents of each table in the background, one merge at a time.

use crate::ServiceError;
use crate::state::State;
use kusto_engine::{Catalog, ExtentRecord, TableId, TableRecord, merge};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often tables are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// How long a table is left alone after its extents could not be merged.
const REST: Duration = Duration::from_secs(600);

/// Runs until cancelled; a merge under way ends first.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    // Tables whose extents could not be merged, until when they are left alone: one that is
    // damaged must not keep the others waiting.
    let mut resting: HashMap<TableId, Instant> = HashMap::new();
    loop {
        resting.retain(|_, until| *until > Instant::now());
        let skipped: HashSet<TableId> = resting.keys().copied().collect();
        let merged = crate::store::blocking(&state.store, move |store| {
            let Some((table, extents)) = next(store, &skipped)? else { return Ok(None) };
            let outcome = merge_one(store, &table, &extents);
            Ok(Some((table, outcome)))
        })
        .await;
        let pause = match merged {
            Ok(None) => EVERY,
            Ok(Some((_, Ok(())))) => Duration::ZERO,
            Ok(Some((table, Err(error)))) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, table = %table.name, database = %table.database, "merging extents failed");
                resting.insert(table.id, Instant::now() + REST);
                Duration::ZERO
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "extents to merge cannot be found");
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
