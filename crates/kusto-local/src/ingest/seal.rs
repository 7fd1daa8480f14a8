//! Makes extents of what the row store has, in the background: of each table when its oldest
//! payload has waited, or when there is much of it.

use super::by_table::{self, Pace};
use super::failpoint::reach;
use crate::ServiceError;
use crate::state::State;
use kusto_engine::row_store::{self, RowStoreUse};
use kusto_engine::{Catalog, StreamedRows, TableId, TableRecord};
use kusto_types::DateTime;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PACE: Pace =
    Pace { idle: Duration::from_millis(500), fault: Duration::from_secs(2), rest: Duration::from_secs(60) };
/// Payloads of a table that are sealed without waiting.
const MANY: u64 = 200;
/// Bytes of a table that are sealed without waiting.
const MUCH: u64 = 16 * 1024 * 1024;
/// Whether a table's rows are to be sealed now.
fn is_due(used: &RowStoreUse, now: DateTime, wait: Duration) -> bool {
    let waited = now.ticks() - used.oldest.ticks();
    used.payloads >= MANY
        || used.bytes >= MUCH
        || u128::try_from(waited).is_ok_and(|ticks| ticks * 100 >= wait.as_nanos())
}

/// Runs until cancelled; what is left then stays in the row store.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    by_table::run(state, stop, "sealing streamed rows", PACE, |state, store, skipped| {
        let Some((table, rows)) = next(store, skipped, state.config.seal_after)? else { return Ok(None) };
        let outcome = seal_one(store, &table, &rows, state.config.crash_at.as_deref());
        Ok(Some((table, outcome)))
    })
    .await;
}

/// The rows of a table that are due.
fn next(
    store: &crate::store::Store,
    skipped: &HashSet<TableId>,
    wait: Duration,
) -> Result<Option<(TableRecord, Vec<StreamedRows>)>, ServiceError> {
    store.read(|connection| {
        let catalog = Catalog(connection);
        let now = DateTime::now();
        let used = catalog.row_store_use()?;
        let Some(due) = used.iter().find(|used| is_due(used, now, wait) && !skipped.contains(&used.table))
        else {
            return Ok(None);
        };
        let Some(table) = catalog.table_by_id(due.table)? else { return Ok(None) };
        Ok(Some((table, row_store::choose_to_seal(catalog.streamed(due.table)?))))
    })
}

fn seal_one(
    store: &crate::store::Store,
    table: &TableRecord,
    rows: &[StreamedRows],
    crash_at: Option<&str>,
) -> Result<(), ServiceError> {
    let root = store.root.join("extents");
    let file =
        row_store::write_sealed(&root, &table.stored_schema(), rows, uuid::Uuid::new_v4().to_string())?;
    reach(crash_at, "rows-written");
    let sealed = store.transact(|transaction| row_store::seal(transaction, table.id, rows, &file))?;
    reach(crash_at, "rows-sealed");
    if sealed {
        tracing::debug!(table = %table.name, payloads = rows.len(), rows = file.rows, "streamed rows sealed");
    }
    // Else the table was cleared meanwhile; the new file is an orphan that the janitor takes.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sealed_when_they_have_waited_or_are_many() {
        let now = DateTime::now();
        let used = |payloads, bytes, seconds: i64| RowStoreUse {
            table: TableId(1),
            payloads,
            bytes,
            oldest: DateTime::from_ticks(now.ticks() - seconds * 10_000_000).unwrap(),
        };
        for (used, due) in [
            (used(1, 1, 0), false),
            (used(1, 1, 1), false),
            (used(1, 1, 2), true),
            (used(MANY, 1, 0), true),
            (used(1, MUCH, 0), true),
            // A clock that was set back makes nothing wait for ever, only longer.
            (used(1, 1, -5), false),
        ] {
            assert_eq!(is_due(&used, now, Duration::from_secs(2)), due, "{used:?}");
        }
    }
}
