//! What is on its way: operations of the queued protocol, and batches.

use super::{instant, table};
use crate::ServiceError;
use crate::store::operations;
use kusto_types::ColumnType as T;
use kusto_wire::ResultTable;
use rusqlite::{Connection, OptionalExtension};

/// `.show queued ingestion operations "id"`: how far it is; with details, each source.
pub(super) fn operation(
    connection: &Connection,
    id: &str,
    details: bool,
) -> Result<ResultTable, ServiceError> {
    let place: Option<(String, String)> = connection
        .prepare_cached("SELECT database, table_name FROM rest_operations WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((database, name)) = place else { return Err(ServiceError::UnknownOperation(id.to_owned())) };
    let found = operations::rest_status(connection, id, &database, &name)?
        .ok_or_else(|| ServiceError::UnknownOperation(id.to_owned()))?;
    if details {
        let mut result = table([
            ("IngestionOperationId", T::String),
            ("SourceId", T::String),
            ("BlobPath", T::String),
            ("Status", T::String),
            ("StartedOn", T::DateTime),
            ("LastUpdatedOn", T::DateTime),
            ("ErrorCode", T::String),
            ("FailureStatus", T::String),
            ("Details", T::String),
        ]);
        for source in found.details {
            let failure = source.failure_status.and_then(|status| serde_json::to_value(status).ok());
            result = result.with_row(vec![
                id.into(),
                source.source_id.to_string().into(),
                source.url.into(),
                source.status.into(),
                source.started_at.into(),
                source.last_update_time.into(),
                source.error_code.unwrap_or_default().into(),
                failure.unwrap_or_else(|| "".into()),
                source.details.unwrap_or_default().into(),
            ]);
        }
        return Ok(result);
    }
    let counts = &found.status;
    let total = counts.succeeded + counts.failed + counts.in_progress + counts.canceled;
    let state = match (counts.in_progress, counts.failed) {
        (1.., _) => "InProgress",
        (_, 0) => "Completed",
        (_, failed) if failed == total => "Failed",
        _ => "PartiallyCompleted",
    };
    let reasons: Vec<String> =
        found.details.iter().filter_map(|source| source.error_code.clone()).take(3).collect();
    Ok(table([
        ("IngestionOperationId", T::String),
        ("StartedOn", T::DateTime),
        ("LastUpdatedOn", T::DateTime),
        ("State", T::String),
        ("Discovered", T::Long),
        ("InProgress", T::Long),
        ("Ingested", T::Long),
        ("Failed", T::Long),
        ("Canceled", T::Long),
        ("SampleFailedReasons", T::Dynamic),
        ("Database", T::String),
        ("Table", T::String),
    ])
    .with_row(vec![
        id.into(),
        found.start_time.into(),
        found.last_updated.into(),
        state.into(),
        total.into(),
        counts.in_progress.into(),
        counts.succeeded.into(),
        counts.failed.into(),
        counts.canceled.into(),
        reasons.into(),
        database.into(),
        name.into(),
    ]))
}

/// `.show ingestion batches`: those that are open, sealed or loading, the oldest first.
pub(super) fn batches(connection: &Connection) -> Result<ResultTable, ServiceError> {
    let mut result = table([
        ("Database", T::String),
        ("Table", T::String),
        ("State", T::String),
        ("OpenedOn", T::DateTime),
        ("Sources", T::Long),
        ("RawDataSize", T::Long),
        ("SealedBy", T::String),
        ("Attempts", T::Long),
        ("OperationId", T::Guid),
    ]);
    let mut statement = connection.prepare_cached(
        "SELECT database, table_name, state, opened, items, bytes, cause, attempts, operation_id
         FROM batches WHERE state <> 'Committed' ORDER BY id LIMIT 10000",
    )?;
    let rows = statement.query_map([], |row| {
        let text = |index: usize| row.get::<_, String>(index).map(serde_json::Value::from);
        Ok(vec![
            text(0)?,
            text(1)?,
            text(2)?,
            instant(row.get(3)?),
            row.get::<_, i64>(4)?.into(),
            row.get::<_, i64>(5)?.into(),
            row.get::<_, Option<String>>(6)?.unwrap_or_default().into(),
            row.get::<_, i64>(7)?.into(),
            text(8)?,
        ])
    })?;
    for row in rows {
        result = result.with_row(row?);
    }
    Ok(result)
}
