//! The loop of background work that goes table by table: one piece at a time, at once while
//! there is work. A table whose work fails rests, so that one that is damaged does not keep
//! the others waiting.

use crate::ServiceError;
use crate::state::State;
use crate::store::Store;
use kusto_engine::{TableId, TableRecord};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What came of looking for work: none was due, or some was done for a table.
pub(crate) type Turn = Result<Option<(TableRecord, Result<(), ServiceError>)>, ServiceError>;

/// When to look for work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long to wait when nothing is due.
    pub(crate) idle: Duration,
    /// How long to wait when work cannot be looked for.
    pub(crate) fault: Duration,
    /// How long a table is left alone after its work failed.
    pub(crate) rest: Duration,
}

/// Runs `turn` until cancelled, with the tables that rest; work under way ends first. `what`
/// names the work in the log.
pub(crate) async fn run(
    state: Arc<State>,
    stop: CancellationToken,
    what: &'static str,
    pace: Pace,
    turn: impl Fn(&State, &Store, &HashSet<TableId>) -> Turn + Send + Sync + 'static,
) {
    let turn = Arc::new(turn);
    let mut resting: HashMap<TableId, Instant> = HashMap::new();
    loop {
        resting.retain(|_, until| *until > Instant::now());
        let skipped: HashSet<TableId> = resting.keys().copied().collect();
        let (worker, turn) = (state.clone(), turn.clone());
        let done = crate::store::blocking(&state.store, move |store| turn(&worker, store, &skipped)).await;
        let pause = match done {
            Ok(None) => pace.idle,
            Ok(Some((_, Ok(())))) => Duration::ZERO,
            Ok(Some((table, Err(error)))) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, what, table = %table.name, database = %table.database, "background work failed");
                resting.insert(table.id, Instant::now() + pace.rest);
                Duration::ZERO
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, what, "background work cannot be looked for");
                pace.fault
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
