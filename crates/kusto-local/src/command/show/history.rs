//! What was done and what became of it: failures, operations, sources, changes.

use super::{instant, table};
use crate::ServiceError;
use crate::access::{AccessConfig, Caller, Need};
use kusto_types::{ColumnType as T, DatabaseName};
use kusto_wire::ResultTable;
use rusqlite::Connection;
use serde_json::Value;

/// `.show ingestion failures`
pub(super) fn failures(
    connection: &Connection,
    operation: Option<&str>,
) -> Result<ResultTable, ServiceError> {
    let mut result = table([
        ("OperationId", T::Guid),
        ("Database", T::String),
        ("Table", T::String),
        ("FailedOn", T::DateTime),
        ("IngestionSourcePath", T::String),
        ("Details", T::String),
        ("FailureKind", T::String),
        ("RootActivityId", T::Guid),
        ("OperationKind", T::String),
        ("OriginatesFromUpdatePolicy", T::Bool),
        ("ErrorCode", T::String),
        ("Principal", T::String),
        ("ShouldRetry", T::Bool),
        ("User", T::String),
        ("IngestionProperties", T::String),
        ("IngestionSourceId", T::String),
    ]);
    let mut statement = connection.prepare_cached(
        "SELECT operation_id, database, table_name, failed, path, details, kind, activity_id, operation, code, retry, source_id
         FROM failures WHERE ?1 IS NULL OR operation_id = ?1 ORDER BY id DESC LIMIT 10000",
    )?;
    let rows = statement.query_map([operation], |row| {
        let text = |index: usize| row.get::<_, String>(index).map(Value::from);
        Ok(vec![
            text(0)?,
            text(1)?,
            text(2)?,
            instant(row.get(3)?),
            text(4)?,
            text(5)?,
            text(6)?,
            text(7)?,
            text(8)?,
            (row.get_ref(8)?.as_str()? == "UpdatePolicy").into(),
            text(9)?,
            "".into(),
            row.get::<_, bool>(10)?.into(),
            "".into(),
            "".into(),
            text(11)?,
        ])
    })?;
    for row in rows {
        result = result.with_row(row?);
    }
    Ok(result)
}

/// `.show operations`
pub(super) fn operations(connection: &Connection, ids: &[String]) -> Result<ResultTable, ServiceError> {
    let mut result = table([
        ("OperationId", T::Guid),
        ("Operation", T::String),
        ("NodeId", T::String),
        ("StartedOn", T::DateTime),
        ("LastUpdatedOn", T::DateTime),
        ("Duration", T::Timespan),
        ("State", T::String),
        ("Status", T::String),
        ("RootActivityId", T::Guid),
        ("ShouldRetry", T::Bool),
        ("Database", T::String),
        ("Table", T::String),
        ("Principal", T::String),
        ("User", T::String),
        ("AdminEpochStartTime", T::DateTime),
        ("VirtualCluster", T::String),
    ]);
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, started, updated, state, status, retry, database, table_name
         FROM operations ORDER BY started DESC LIMIT 10000",
    )?;
    let rows = statement.query_map([], |row| {
        let text = |index: usize| row.get::<_, String>(index).map(Value::from);
        let (started, updated): (i64, i64) = (row.get(2)?, row.get(3)?);
        let duration = kusto_types::Timespan::from_duration(std::time::Duration::from_nanos(
            u64::try_from(updated - started).unwrap_or(0).saturating_mul(100),
        ));
        Ok(vec![
            text(0)?,
            text(1)?,
            "local".into(),
            instant(Some(started)),
            instant(Some(updated)),
            duration.to_string().into(),
            text(4)?,
            text(5)?,
            text(0)?,
            row.get::<_, bool>(6)?.into(),
            text(7)?,
            text(8)?,
            "".into(),
            "".into(),
            Value::Null,
            "".into(),
        ])
    })?;
    for row in rows {
        let row = row?;
        let wanted = ids.is_empty()
            || row[0].as_str().is_some_and(|id| ids.iter().any(|wanted| wanted.eq_ignore_ascii_case(id)));
        if wanted {
            result = result.with_row(row);
        }
    }
    Ok(result)
}

/// `.show journal`: the changes of databases that the caller may see, the latest first.
pub(super) fn journal(
    connection: &Connection,
    caller: &Caller,
    access: &AccessConfig,
    only: Option<&DatabaseName>,
) -> Result<ResultTable, ServiceError> {
    let mut result = table([
        ("Event", T::String),
        ("EventTimestamp", T::DateTime),
        ("Database", T::String),
        ("EntityName", T::String),
        ("UpdatedEntityName", T::String),
        ("EntityVersion", T::String),
        ("EntityContainerName", T::String),
        ("OriginalEntityState", T::String),
        ("UpdatedEntityState", T::String),
        ("ChangeCommand", T::String),
        ("Principal", T::String),
        ("RootActivityId", T::Guid),
        ("ClientRequestId", T::String),
        ("User", T::String),
        ("OriginalEntityVersion", T::String),
    ]);
    for entry in crate::store::journal::latest(connection)? {
        if only.is_some_and(|only| only.as_str() != entry.database) {
            continue;
        }
        match access.check(connection, caller, &Need::ManageDatabase(entry.database.clone())) {
            Ok(()) => {}
            Err(ServiceError::Forbidden { .. }) => continue,
            Err(error) => return Err(error),
        }
        result = result.with_row(vec![
            entry.event.into(),
            instant(Some(entry.at)),
            entry.database.as_str().into(),
            entry.entity.into(),
            entry.updated_entity.into(),
            "v1.0".into(),
            entry.database.into(),
            entry.before.into(),
            entry.after.into(),
            entry.command.into(),
            entry.principal.as_str().into(),
            Value::Null,
            entry.client.into(),
            entry.principal.into(),
            "v1.0".into(),
        ]);
    }
    Ok(result)
}

/// `.show ingestion sources`: ours.
pub(super) fn sources(connection: &Connection) -> Result<ResultTable, ServiceError> {
    let mut result = table([
        ("IngestionSourceId", T::String),
        ("Database", T::String),
        ("Table", T::String),
        ("State", T::String),
        ("ReceivedOn", T::DateTime),
        ("FinishedOn", T::DateTime),
        ("RowCount", T::Long),
        ("ErrorCode", T::String),
        ("Details", T::String),
        ("IngestionSourcePath", T::String),
    ]);
    let mut statement = connection.prepare_cached(
        "SELECT source_id, database, table_name, state, received, finished, rows, code, details, path
         FROM sources ORDER BY id DESC LIMIT 10000",
    )?;
    let rows = statement.query_map([], |row| {
        let text = |index: usize| {
            row.get::<_, Option<String>>(index).map(|text| Value::from(text.unwrap_or_default()))
        };
        Ok(vec![
            text(0)?,
            text(1)?,
            text(2)?,
            text(3)?,
            instant(row.get(4)?),
            instant(row.get(5)?),
            row.get::<_, i64>(6)?.into(),
            text(7)?,
            text(8)?,
            text(9)?,
        ])
    })?;
    for row in rows {
        result = result.with_row(row?);
    }
    Ok(result)
}
