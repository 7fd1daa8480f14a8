//! Loads sealed batches: fetch, decode, write extents, then one transaction that makes
//! them visible and records every source's outcome.
//!
//! Invariant L-2: a source's rows become visible in the same transaction that records
//! its success, so a crash at any step leaves both or neither.

use super::duplicate::{self, Original};
use super::failpoint::reach;
use super::fetch;
use super::stage::{Stage, add_file, commit_of};
use super::target::Target;
use super::update::{self, NewRows, Updates};
use crate::ServiceError;
use crate::state::State;
use crate::store::batches::{self, SealedBatch, SourceRow};
use crate::store::reports::{self, Outcome};
use kusto_decode::DecodeReport;
use kusto_engine::{CatalogCommit, CommitOutcome, TableCommit};
use kusto_types::DateTime;
use kusto_wire::FailureStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Attempts after which a transient failure is given up.
const MAX_ATTEMPTS: u32 = 10;

/// Loads batches until cancelled; a load that has begun is finished first.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    let committer: Arc<dyn TableCommit> = Arc::new(CatalogCommit);
    loop {
        let mut pause = Duration::from_secs(3600);
        match next(&state).await {
            Ok(Some(batch)) => {
                pause = Duration::ZERO;
                let (id, attempts) = (batch.id, batch.attempts);
                reach(state.config.crash_at.as_deref(), "load-begun");
                let done = if attempts > MAX_ATTEMPTS {
                    give_up(&state, batch).await
                } else {
                    load(&state, &committer, batch).await
                };
                match done {
                    Ok(()) => state.outcomes.notify_one(),
                    Err(error) => {
                        tracing::error!(
                            batch = id,
                            attempts,
                            error = &error as &dyn std::error::Error,
                            "loading a batch failed; it is tried again"
                        );
                        if let Err(error) = postpone(&state, id, attempts).await {
                            tracing::error!(%error, "a batch cannot be postponed");
                            pause = Duration::from_secs(1);
                        }
                    }
                }
            }
            Ok(None) => {
                let due =
                    crate::store::blocking(&state.store, |store| Ok(store.read(batches::next_due)?)).await;
                let due = due.ok().flatten();
                if let Some(due) = due {
                    let ticks = u64::try_from(due - DateTime::now().ticks()).unwrap_or(0);
                    pause = Duration::from_nanos(ticks.saturating_mul(100)) + Duration::from_millis(5);
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "sealed batches cannot be listed");
                pause = Duration::from_secs(1);
            }
        }
        tokio::select! {
            // Cancel-safe: nothing is held between turns.
            () = stop.cancelled() => return,
            () = state.sealed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Puts a batch back for a while that doubles with each attempt, up to some minutes.
async fn postpone(state: &Arc<State>, batch: i64, attempts: u32) -> Result<(), ServiceError> {
    let until = DateTime::now().ticks() + (1i64 << attempts.min(8)) * 10_000_000;
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| Ok(batches::postpone(transaction, batch, until)?))
    })
    .await
}

/// Reports a batch that no attempt could load, be it for errors or for the end of the
/// process, so that it does not stand in the way for ever.
async fn give_up(state: &Arc<State>, batch: SealedBatch) -> Result<(), ServiceError> {
    tracing::error!(batch = batch.id, "a batch is given up");
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| {
            for source in &batch.sources {
                let outcome = Outcome::Failed {
                    code: "General_RetryAttemptsExceeded".to_owned(),
                    status: FailureStatus::Exhausted,
                    details: format!("the service could not load the source in {MAX_ATTEMPTS} attempts"),
                };
                reports::record(transaction, source.id, &source.message, &batch.operation_id, &outcome)?;
            }
            batches::finish_batch(transaction, batch.id)?;
            Ok(())
        })
    })
    .await
}

async fn next(state: &Arc<State>) -> Result<Option<SealedBatch>, ServiceError> {
    crate::store::blocking(&state.store, |store| {
        store.transact(|transaction| batches::begin_load(transaction))
    })
    .await
}

async fn read_target(
    state: &Arc<State>,
    source: &SourceRow,
) -> Result<Result<Target, Outcome>, ServiceError> {
    let message = source.message.clone();
    crate::store::blocking(&state.store, move |store| {
        store.read(|connection| {
            Target::find(
                connection,
                message.database.as_str(),
                message.table.as_str(),
                &message.additional,
                &message.blob.without_secrets(),
            )
        })
    })
    .await
}

async fn load(
    state: &Arc<State>,
    committer: &Arc<dyn TableCommit>,
    batch: SealedBatch,
) -> Result<(), ServiceError> {
    let begun = std::time::Instant::now();
    let mut outcomes: Vec<(usize, Outcome)> = Vec::new();
    let mut loaded: Vec<(usize, DecodeReport)> = Vec::new();
    let mut table = None;
    let place = batch
        .sources
        .first()
        .map(|source| (source.message.database.to_string(), source.message.table.to_string()));
    let is_awaited =
        place.as_ref().is_some_and(|(database, table)| state.duplicates.waits_for(database, table));
    let mut originals = Vec::new();
    let mut stage = Stage::new(&state.store.root.join("extents"), format!("{}-{}", batch.id, batch.attempts));
    for (index, source) in batch.sources.iter().enumerate() {
        let target = match read_target(state, source).await? {
            Ok(found) => found,
            Err(outcome) => {
                outcomes.push((index, outcome));
                continue;
            }
        };
        table = Some(target.table);
        let fetched = match fetch::fetch(state, &source.message.blob).await? {
            Ok(fetched) => Arc::new(fetched),
            Err(outcome) => {
                outcomes.push((index, outcome));
                continue;
            }
        };
        let location = source.message.blob.without_secrets();
        if is_awaited {
            originals.push(Original { location: location.clone(), file: fetched.clone() });
        }
        let (next, outcome) = add_file(stage, fetched, Arc::new(target), location).await?;
        stage = next;
        match outcome {
            Ok(report) => loaded.push((index, report)),
            Err(outcome) => outcomes.push((index, outcome)),
        }
    }
    // A transient failure is tried again with the whole batch, until the attempts end.
    let transient = outcomes
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Failed { status: FailureStatus::Transient, .. }));
    if transient && batch.attempts < MAX_ATTEMPTS {
        drop(stage);
        return postpone(state, batch.id, batch.attempts).await;
    }
    for (_, outcome) in &mut outcomes {
        if let Outcome::Failed { status, .. } = outcome
            && *status == FailureStatus::Transient
        {
            *status = FailureStatus::Exhausted;
        }
    }
    if let Some((database, table)) = place.filter(|_| is_awaited) {
        let failure = outcomes.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Failed { code, details, .. } => Some(format!("{code}: {details}")),
            Outcome::Succeeded { .. } | Outcome::Skipped { .. } => None,
        });
        let asked = batch.sources.first().map(|source| source.message.additional.clone());
        let asked = asked.unwrap_or_default();
        duplicate::serve(state, (&database, &table), &asked, &originals, failure.as_deref()).await;
    }
    let crash_at = state.config.crash_at.clone();
    let committer = committer.clone();
    let (sources, operation) = (batch.sources, batch.operation_id);
    let batch_id = batch.id;
    let worker = state.clone();
    let rows = crate::store::blocking(&state.store, move |store| {
        let files = stage.finish()?;
        reach(crash_at.as_deref(), "extent-written");
        let additional = sources.first().map(|source| source.message.additional.clone()).unwrap_or_default();
        let commit = table.map(|table| commit_of(table, files, &additional));
        let updates = match &commit {
            Some(commit) => update::derive(&worker, commit.table, NewRows::Extents(&commit.extents))?,
            None => Ok(Updates::default()),
        };
        let database = sources.first().map(|source| source.message.database.to_string()).unwrap_or_default();
        let rows = store.transact(|transaction| {
            let outcome = match (&commit, &updates) {
                (Some(commit), Ok(updates)) => {
                    let outcome = committer.commit(transaction, commit)?;
                    if outcome == CommitOutcome::Committed {
                        updates.commit(transaction, &database, &operation)?;
                    }
                    Ok(outcome)
                }
                (None, Ok(_)) => Ok(CommitOutcome::Committed),
                // A transactional policy failed: nothing is committed.
                (_, Err(failure)) => Err(failure),
            };
            let mut rows = 0;
            for (index, report) in &loaded {
                let source = &sources[*index];
                let recorded = match &outcome {
                    Ok(CommitOutcome::Committed) => {
                        rows += report.rows;
                        let dropped = (report.dropped > 0).then(|| {
                            let first = report.first_fault.as_deref().unwrap_or_default();
                            format!("{} malformed records were dropped; the first: {first}", report.dropped)
                        });
                        Outcome::Succeeded { rows: report.rows, dropped }
                    }
                    Ok(CommitOutcome::Tagged(tag)) => Outcome::Skipped {
                        reason: format!("the table has an extent tagged {tag} (ingestIfNotExists)"),
                    },
                    Err(failure) => Outcome::permanent(failure.code, failure.details.clone()),
                    Ok(CommitOutcome::TableGone) => Outcome::permanent(
                        "BadRequest_TableNotExist",
                        format!("table {} was dropped", source.message.table),
                    ),
                };
                reports::record(transaction, source.id, &source.message, &operation, &recorded)?;
            }
            for (index, outcome) in &outcomes {
                let source = &sources[*index];
                reports::record(transaction, source.id, &source.message, &operation, outcome)?;
            }
            for source in &sources {
                let finished = loaded.iter().any(|(index, _)| sources[*index].id == source.id);
                if let Some((container, name)) = fetch::own_blob(source.message.blob.with_secrets())
                    && finished
                    && !source.message.retain_blob_on_success
                {
                    crate::store::blobs::delete(transaction, &container, &name)?;
                }
            }
            batches::finish_batch(transaction, batch_id)?;
            Ok::<_, ServiceError>(rows)
        })?;
        reach(crash_at.as_deref(), "batch-committed");
        let oldest = sources.iter().map(|source| source.received).min().unwrap_or_default();
        tracing::debug!(waited_ticks = DateTime::now().ticks() - oldest, "batch committed");
        Ok(rows)
    })
    .await?;
    tracing::info!(batch = batch_id, rows, seconds = begun.elapsed().as_secs_f64(), "batch loaded");
    Ok(())
}
