//! The queue consumer: dequeue, check, record and assign to a batch are one
//! transaction, so that a crash leaves a message either queued or in a batch.

use super::extend;
use super::failpoint::reach;
use super::target::Target;
use super::work::{Delivery, WorkSource};
use crate::ServiceError;
use crate::access::Need;
use crate::state::State;
use crate::store::batches::{self, BatchKey};
use crate::store::reports::{self, Outcome};
use crate::token;
use kusto_batch::{Batcher, Incoming};
use kusto_engine::Catalog;
use kusto_types::{ByteSize, Compression, DateTime};
use kusto_wire::IngestionMessage;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Most messages taken in one transaction.
const MESSAGES: u32 = 64;

/// Runs until cancelled; then seals nothing: open batches are in the store.
pub(crate) async fn run(state: Arc<State>, source: Box<dyn WorkSource>, stop: CancellationToken) {
    let source: Arc<dyn WorkSource> = Arc::from(source);
    let mut batcher: Option<Batcher<BatchKey, i64>> = None;
    loop {
        let received = match source.receive(MESSAGES).await {
            Ok(received) => received,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the queues cannot be read; trying again"
                );
                Vec::new()
            }
        };
        let current = batcher.take();
        let (worker, work_source) = (state.clone(), source.clone());
        let turn =
            tokio::task::spawn_blocking(move || turn(&worker, work_source.as_ref(), received, current)).await;
        let pause = match turn {
            Ok(Ok(done)) => {
                source.settled(done.taken).await;
                let pause = if done.more {
                    Duration::ZERO
                } else {
                    done.until_next.unwrap_or(source.poll_every()).min(source.poll_every())
                };
                batcher = Some(done.batcher);
                pause
            }
            Ok(Err(error)) => {
                // The batcher is rebuilt from the store, which the failed turn left as it was.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "taking messages failed; trying again"
                );
                Duration::from_secs(1)
            }
            Err(error) => {
                tracing::error!(%error, "taking messages panicked; trying again");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            // Cancel-safe: none of the arms holds state across turns.
            () = stop.cancelled() => return,
            () = state.arrivals.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Turn {
    batcher: Batcher<BatchKey, i64>,
    taken: Vec<Delivery>,
    more: bool,
    until_next: Option<Duration>,
}

fn turn(
    state: &State,
    source: &dyn WorkSource,
    received: Vec<Delivery>,
    batcher: Option<Batcher<BatchKey, i64>>,
) -> Result<Turn, ServiceError> {
    let flushes =
        std::mem::take(&mut *state.flushes.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let (turn, sealed, accepted) = state.store.transact(|transaction| {
        let mut batcher = match batcher {
            Some(batcher) => batcher,
            None => {
                let mut batcher = Batcher::default();
                for (key, open) in batches::open_batches(transaction)? {
                    batcher.restore(key, open);
                }
                batcher
            }
        };
        let mut sealed = false;
        let deliveries = source.ready(transaction, received, MESSAGES)?;
        for delivery in &deliveries {
            sealed |= accept(state, transaction, &mut batcher, &delivery.text)?;
            source.settle(transaction, delivery)?;
        }
        let policy = |key: &BatchKey| {
            let (database, table) = key.target();
            state.batching(transaction, &database, &table).unwrap_or(state.config.default_batching)
        };
        let mut due = batcher.tick(DateTime::now(), policy);
        due.extend(batcher.flush(|key| flushes.contains(&key.target())));
        batches::apply(transaction, &BatchKey(String::new()), None, &due)?;
        sealed |= !due.is_empty();
        let until_next = batcher.until_next(DateTime::now(), policy);
        let more = deliveries.len() as u32 >= MESSAGES;
        let accepted = !deliveries.is_empty();
        Ok::<_, ServiceError>((Turn { batcher, taken: deliveries, more, until_next }, sealed, accepted))
    })?;
    if accepted {
        reach(state.config.crash_at.as_deref(), "source-accepted");
        state.outcomes.notify_one();
    }
    if sealed {
        reach(state.config.crash_at.as_deref(), "batch-sealed");
        state.sealed.notify_one();
    }
    Ok(turn)
}

/// Takes one message; whether a batch was sealed by it.
fn accept(
    state: &State,
    transaction: &Connection,
    batcher: &mut Batcher<BatchKey, i64>,
    text: &str,
) -> Result<bool, ServiceError> {
    let message = match IngestionMessage::decode(text) {
        Ok(message) => message,
        Err(error) => {
            reports::poison(transaction, text, &error.to_string())?;
            return Ok(false);
        }
    };
    let Some(id) = batches::add_source(transaction, &message)? else {
        tracing::info!(source = %message.id, "the same source was posted before; the message is dropped");
        return Ok(false);
    };
    if batches::was_streamed(transaction, &message)? {
        // The client streamed the source, did not hear of it and queued it after all.
        let outcome = Outcome::Succeeded { rows: 0, dropped: None };
        reports::record(transaction, id, &message, &uuid::Uuid::new_v4().to_string(), &outcome)?;
        return Ok(false);
    }
    if let Some(outcome) = refuse(state, transaction, &message)? {
        reports::record(transaction, id, &message, &uuid::Uuid::new_v4().to_string(), &outcome)?;
        return Ok(false);
    }
    let key = BatchKey::of(&message);
    let (database, table) = key.target();
    let policy = state.batching(transaction, &database, &table)?;
    let additional = &message.additional;
    let incoming = Incoming {
        raw_size: estimated_size(transaction, &message)?,
        flush: message.flush_immediately,
        alone: !additional.ingest_if_not_exists.is_empty()
            || additional.tags.iter().any(|tag| tag.starts_with("ingest-by:")),
    };
    let next = batches::next_batch_id(transaction)?;
    let actions = batcher.add(&key, incoming, &policy, DateTime::now(), || next);
    batches::apply(transaction, &key, Some((id, incoming.raw_size)), &actions)?;
    Ok(actions.iter().any(|action| matches!(action, kusto_batch::Action::Seal(..))))
}

/// Uncompressed bytes of a packed blob for each of its own, where nobody says: what the Node
/// client takes too.
pub(crate) const GUESSED_RATIO: u64 = 11;

/// Uncompressed bytes: as the client said, else by the blob's size.
fn estimated_size(transaction: &Connection, message: &IngestionMessage) -> Result<ByteSize, ServiceError> {
    if let Some(size) = message.raw_data_size {
        return Ok(ByteSize(size));
    }
    let path = message.blob.without_secrets();
    let factor = if Compression::from_path(&path) == Compression::Gzip { GUESSED_RATIO } else { 1 };
    let size = match super::fetch::own_blob(&path) {
        Some((container, name)) => {
            crate::store::blobs::find(transaction, &container, &name)?.map_or(0, |blob| blob.size)
        }
        None => 0,
    };
    Ok(ByteSize(size.saturating_mul(factor)))
}

/// Why a message cannot be ingested, if it cannot.
fn refuse(
    state: &State,
    transaction: &Connection,
    message: &IngestionMessage,
) -> Result<Option<Outcome>, ServiceError> {
    let additional = &message.additional;
    let caller =
        additional.authorization_context.as_deref().and_then(|token| token::verify(&state.signer, token));
    let Some(caller) = caller else {
        return Ok(Some(Outcome::permanent(
            "BadRequest_InvalidKustoIdentityToken",
            "the message's identity token is missing, expired or of another service; ask .get kusto identity token again",
        )));
    };
    let (database, table) = (message.database.to_string(), message.table.to_string());
    let changes = extend::is_asked(additional);
    let need = if changes { Need::ManageTable(database, table) } else { Need::Ingest(database, table) };
    match state.config.access.check(transaction, &caller, &need) {
        Ok(()) => {}
        Err(error @ ServiceError::Forbidden { .. }) => {
            return Ok(Some(Outcome::permanent("BadRequest_TableAccessDenied", error.to_string())));
        }
        Err(error) => return Err(error),
    }
    let catalog = Catalog(transaction);
    if changes
        && let Ok(database) = catalog.database(message.database.as_str())
        && let Some(record) = catalog.find_table(&database, message.table.as_str())?
        && let Err(outcome) = extend::by_mapping(&catalog, &record, additional)?
    {
        return Ok(Some(outcome));
    }
    let found = Target::find(
        transaction,
        message.database.as_str(),
        message.table.as_str(),
        additional,
        &message.blob.without_secrets(),
    )?;
    Ok(found.err())
}
