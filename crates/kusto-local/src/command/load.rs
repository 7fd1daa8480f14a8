//! Historical loads: lists blobs, queues them as one operation, and cancels what runs.

use super::{Context, bad};
use crate::ServiceError;
use crate::access::Need;
use crate::ingest::accept::GUESSED_RATIO;
use crate::ingest::listing::{FoundBlob, list};
use crate::ingest::submit::{QueuedBlob, Submission, submit};
use crate::ingest::{duplicate, fetch};
use crate::running::RunningKind;
use crate::state::State;
use crate::store::operations;
use kusto_engine::Catalog;
use kusto_kql::{Batching, BlobListing, Cancelled, Duplicated, QueuedLoad, QueuedSource};
use kusto_types::{ColumnType as T, Compression, DateTime, SourceId, TableName};
use kusto_wire::{ResultTable, SecretUrl};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most blobs that `.list blobs` shows.
const MOST_SHOWN: u64 = 1000;

/// `.list blobs`
pub(super) fn list_blobs(state: &Arc<State>, listing: &BlobListing) -> Result<ResultTable, ServiceError> {
    let mut result = ResultTable::new(
        "Table_0",
        [("BlobUri", T::String), ("SizeInBytes", T::Long), ("CapturedVariables", T::Dynamic)],
    );
    for blob in list(state, listing, Some(MOST_SHOWN))? {
        let captured = match blob.creation_time {
            Some(at) => json!({ "CreationTime": us_date(at) }),
            None => json!({}),
        };
        result = result.with_row(vec![blob.url.without_secrets().into(), blob.size.into(), captured]);
    }
    Ok(result)
}

/// `03/20/2025 00:00:00`
fn us_date(at: DateTime) -> String {
    chrono::DateTime::from_timestamp(at.unix_seconds(), 0)
        .map(|at| at.format("%m/%d/%Y %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// `.ingest-from-storage-queued`: every blob is posted, or none.
pub(super) fn load(
    state: &Arc<State>,
    context: &Context<'_>,
    load: QueuedLoad,
) -> Result<ResultTable, ServiceError> {
    let table = TableName::new(load.table).map_err(bad)?;
    let name = load.database.as_deref().or(context.database);
    let database = state.store.read(|connection| {
        let database = crate::query::database_of(connection, name)?;
        Catalog(connection).table(&database, table.as_str())?;
        Ok::<_, ServiceError>(database)
    })?;
    let additional = super::data::read_properties(&load.properties)?;
    let blobs = match &load.source {
        QueuedSource::Blobs(urls) => urls
            .iter()
            .map(|url| {
                let url = fetch::with_signature(&SecretUrl::new(url.as_str())).map_err(bad)?;
                Ok(FoundBlob { url, size: 0, creation_time: None })
            })
            .collect::<Result<Vec<_>, ServiceError>>()?,
        QueuedSource::Listing(listing) => list(state, listing, None)?,
    };
    let blobs = blobs
        .into_iter()
        .map(|blob| {
            let raw_size = match (blob.size, load.compression_factor) {
                (0, _) => None,
                (size, Some(factor)) => Some((size as f64 * factor) as u64),
                (size, None) => match Compression::from_path(&blob.url.without_secrets()) {
                    Compression::None => Some(size),
                    _ => Some(size.saturating_mul(GUESSED_RATIO)),
                },
            };
            QueuedBlob { id: SourceId::random(), url: blob.url, raw_size, creation_time: blob.creation_time }
        })
        .collect();
    let submission = Submission {
        database,
        table,
        blobs,
        additional,
        retain_blobs: true,
        flush: load.batching == Batching::Skip,
        ignore_size_limit: false,
        application: None,
        client_version: None,
    };
    let runtime = tokio::runtime::Handle::current();
    let id = runtime.block_on(submit(state, context.caller.clone(), submission))?;
    Ok(ResultTable::new(
        "Table_0",
        [("IngestionOperationId", T::String), ("ClientRequestId", T::String), ("OperationInfo", T::String)],
    )
    .with_row(vec![
        id.as_str().into(),
        context.client.into(),
        format!(".show queued ingestion operations \"{id}\"").into(),
    ]))
}

/// `.cancel ...`
pub(super) fn cancel(
    state: &State,
    context: &Context<'_>,
    what: &Cancelled,
    reason: &str,
) -> Result<ResultTable, ServiceError> {
    // Whoever began it may end it, and whoever runs the database.
    let may = |principal: &str, database: &str| -> Result<(), ServiceError> {
        if principal == context.caller.principal.to_string() {
            return Ok(());
        }
        state.store.read(|connection| {
            let database = crate::query::database_of(connection, Some(database))?;
            let need = Need::ManageDatabase(database.to_string());
            state.config.access.check(connection, context.caller, &need)
        })
    };
    match what {
        Cancelled::QueuedIngestion(id) => {
            state.store.transact(|transaction| {
                let (database, table) = operations::place_of(transaction, id)?
                    .ok_or_else(|| ServiceError::UnknownOperation(id.clone()))?;
                let need = Need::Ingest(database, table);
                state.config.access.check(transaction, context.caller, &need)?;
                Ok::<_, ServiceError>(operations::cancel_rest(transaction, id)?)
            })?;
            state.outcomes.notify_one();
            state.store.read(|connection| {
                super::show::queued::operations(connection, std::slice::from_ref(id), false)
            })
        }
        Cancelled::Operation(id) => {
            let stopped = state.running.cancel(RunningKind::Operation, id, reason, may)?;
            let known = state.store.read(|connection| operations::find(connection, id))?;
            let (name, started) = match (&stopped, known) {
                (Some(stopped), _) => (stopped.name.to_owned(), stopped.started),
                (None, Some((name, started))) => (name, started),
                (None, None) => return Err(ServiceError::UnknownOperation(id.clone())),
            };
            let says = if stopped.is_some() { "Cancelled successfully" } else { "Cancel failed" };
            Ok(ResultTable::new(
                "Table_0",
                [
                    ("OperationId", T::Guid),
                    ("Operation", T::String),
                    ("StartedOn", T::DateTime),
                    ("CancellationState", T::String),
                    ("ReasonPhrase", T::String),
                ],
            )
            .with_row(vec![
                id.to_lowercase().into(),
                name.into(),
                started.to_string().into(),
                says.into(),
                reason.into(),
            ]))
        }
        Cancelled::Query(id) => {
            let stopped = state.running.cancel(RunningKind::Query, id, reason, may)?;
            let details = match stopped {
                Some(_) => "",
                None => "no query of this client request id runs",
            };
            Ok(ResultTable::new("Table_0", [("RunningQueryCanceled", T::Bool), ("Details", T::String)])
                .with_row(vec![Value::from(stopped.is_some()), details.into()]))
        }
    }
}

/// `.dup-next-ingest`: where the copies will be.
pub(super) fn duplicate(
    state: &State,
    context: &Context<'_>,
    table: &str,
    container: &str,
    which: Duplicated,
) -> Result<ResultTable, ServiceError> {
    let database = state.store.read(|connection| {
        let database = crate::query::database_of(connection, context.database)?;
        Catalog(connection).table(&database, table)?;
        Ok::<_, ServiceError>(database)
    })?;
    let container = fetch::with_signature(&SecretUrl::new(container)).map_err(bad)?;
    duplicate::check(state, &container)?;
    let wanted = state.duplicates.want((database.as_str(), table), which, container);
    Ok(ResultTable::new(
        "Table_0",
        [
            ("TableName", T::String),
            ("StorageContainerPath", T::String),
            ("IngestionCommandFilePath", T::String),
        ],
    )
    .with_row(vec![table.into(), wanted.path().into(), wanted.command_path().into()]))
}
