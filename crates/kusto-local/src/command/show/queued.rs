//! What is on its way: operations of the queued protocol, and batches.

use super::{instant, table};
use crate::ServiceError;
use crate::store::operations;
use kusto_types::ColumnType as T;
use kusto_wire::ResultTable;
use rusqlite::Connection;

/// `.show queued ingestion operations "id"`: how far each is; with details, each source.
pub(in crate::command) fn operations(
    connection: &Connection,
    ids: &[String],
    details: bool,
) -> Result<ResultTable, ServiceError> {
    let mut result = if details {
        table([
            ("IngestionOperationId", T::String),
            ("BlobURL", T::String),
            ("IngestionStatus", T::String),
            ("StartedAt", T::DateTime),
            ("CompletedAt", T::DateTime),
            ("FailedReasons", T::String),
        ])
    } else {
        table([
            ("IngestionOperationId", T::String),
            ("StartedOn", T::DateTime),
            ("LastUpdatedOn", T::DateTime),
            ("State", T::String),
            ("Discovered", T::Long),
            ("Pending", T::Long),
            ("Canceled", T::Long),
            ("Ingested", T::Long),
            ("Failed", T::Long),
            ("SampleFailedReasons", T::String),
            ("Database", T::String),
            ("Table", T::String),
        ])
    };
    for id in ids {
        let unknown = || ServiceError::UnknownOperation(id.clone());
        let (database, name) = operations::place_of(connection, id)?.ok_or_else(unknown)?;
        let found = operations::rest_status(connection, id, &database, &name)?.ok_or_else(unknown)?;
        if details {
            for source in found.details {
                let is_pending = matches!(source.status.as_str(), "Queued" | "InProgress");
                let reason = match (source.error_code, source.details) {
                    (Some(code), Some(details)) => format!("{code}: {details}"),
                    (code, details) => code.or(details).unwrap_or_default(),
                };
                result = result.with_row(vec![
                    id.as_str().into(),
                    source.url.into(),
                    if is_pending { "Pending".into() } else { source.status.into() },
                    source.started_at.into(),
                    if is_pending { None } else { source.last_update_time }.into(),
                    reason.into(),
                ]);
            }
            continue;
        }
        let counts = &found.status;
        let total = counts.succeeded + counts.failed + counts.in_progress + counts.canceled;
        let state = if counts.in_progress > 0 {
            "InProgress"
        } else if counts.canceled > 0 {
            "Canceled"
        } else if counts.failed == total && total > 0 {
            "Failed"
        } else {
            "Completed"
        };
        let mut reasons: Vec<String> =
            found.details.iter().filter_map(|source| source.error_code.clone()).collect();
        reasons.sort();
        reasons.dedup();
        reasons.truncate(3);
        result = result.with_row(vec![
            id.as_str().into(),
            found.start_time.into(),
            found.last_updated.into(),
            state.into(),
            total.into(),
            counts.in_progress.into(),
            counts.canceled.into(),
            counts.succeeded.into(),
            counts.failed.into(),
            reasons.join(", ").into(),
            database.into(),
            name.into(),
        ]);
    }
    Ok(result)
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
