//! Outcomes: what is written about a source in the transaction that decides it, and
//! the outbox that carries it to the status table and the status queues.

use super::{entities, queues};
use kusto_types::DateTime;
use kusto_wire::{
    FailureMessage, FailureStatus, IngestionMessage, IngestionStatus, ReportLevel, ReportMethod, StatusRow,
    SuccessMessage,
};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What became of a source.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Succeeded { rows: u64, dropped: Option<String> },
    Skipped { reason: String },
    Failed { code: String, status: FailureStatus, details: String },
}

impl Outcome {
    pub(crate) fn permanent(code: &str, details: impl Into<String>) -> Self {
        Self::Failed { code: code.to_owned(), status: FailureStatus::Permanent, details: details.into() }
    }
}

/// One line of the outbox: where a report goes.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Entity { partition: String, row: String, properties: serde_json::Map<String, serde_json::Value> },
    Queue { queue: String, text: String },
}

/// The names of the status queues and the status table.
pub(crate) const SUCCESS_QUEUE: &str = "successful-ingestions";
pub(crate) const FAILURE_QUEUE: &str = "failed-ingestions";
pub(crate) const STATUS_TABLE: &str = "ingestionsstatus";

/// Records an outcome and what must be reported of it.
pub(crate) fn record(
    connection: &Connection,
    source: i64,
    message: &IngestionMessage,
    operation_id: &str,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    let now = DateTime::now();
    let (state, rows, code, details) = match outcome {
        Outcome::Succeeded { rows, dropped } => (IngestionStatus::Succeeded, *rows, None, dropped.clone()),
        Outcome::Skipped { reason } => (IngestionStatus::Skipped, 0, None, Some(reason.clone())),
        Outcome::Failed { code, details, .. } => {
            (IngestionStatus::Failed, 0, Some(code.clone()), Some(details.clone()))
        }
    };
    connection.execute(
        "UPDATE sources SET state = ?2, finished = ?3, rows = ?4, code = ?5, details = ?6 WHERE id = ?1",
        params![source, state.wire_name(), now.ticks(), rows as i64, code, details],
    )?;
    if let Outcome::Failed { code, status, details } = outcome {
        failure(connection, message, operation_id, code, *status, details)?;
    }
    let failed = matches!(outcome, Outcome::Failed { .. });
    let wanted = match message.report_level {
        ReportLevel::None => false,
        ReportLevel::FailuresOnly => failed,
        ReportLevel::FailuresAndSuccesses => true,
    };
    let to_table = matches!(message.report_method, ReportMethod::Table | ReportMethod::QueueAndTable);
    let to_queue = matches!(message.report_method, ReportMethod::Queue | ReportMethod::QueueAndTable);
    if let Some(pointer) = message.status_in_table.as_ref().filter(|_| to_table) {
        let mut row = StatusRow::pending(
            message.id,
            &message.blob.without_secrets(),
            message.database.as_str(),
            message.table.as_str(),
        );
        row.partition_key = pointer.partition_key.clone();
        row.row_key = pointer.row_key.clone();
        row.status = state;
        row.updated_on = Some(now.to_string());
        row.operation_id = Some(operation_id.to_owned());
        row.activity_id = Some(operation_id.to_owned());
        row.details = details.clone();
        row.originates_from_update_policy = Some(false);
        if let Outcome::Failed { code, status, .. } = outcome {
            row.error_code = Some(code.clone());
            row.failure_status = Some(*status);
        }
        let properties = row.to_entity();
        push(connection, &Report::Entity { partition: row.partition_key, row: row.row_key, properties })?;
    }
    if wanted && to_queue {
        let report = match outcome {
            Outcome::Failed { code, status, details } => Report::Queue {
                queue: FAILURE_QUEUE.to_owned(),
                text: encode(&FailureMessage {
                    operation_id: operation_id.to_owned(),
                    database: message.database.to_string(),
                    table: message.table.to_string(),
                    failed_on: now.to_string(),
                    ingestion_source_id: message.id.to_string(),
                    ingestion_source_path: message.blob.without_secrets(),
                    details: details.clone(),
                    error_code: code.clone(),
                    failure_status: *status,
                    root_activity_id: operation_id.to_owned(),
                    originates_from_update_policy: false,
                    should_retry: *status != FailureStatus::Permanent,
                }),
            },
            Outcome::Succeeded { .. } | Outcome::Skipped { .. } => Report::Queue {
                queue: SUCCESS_QUEUE.to_owned(),
                text: encode(&SuccessMessage {
                    operation_id: operation_id.to_owned(),
                    database: message.database.to_string(),
                    table: message.table.to_string(),
                    succeeded_on: now.to_string(),
                    ingestion_source_id: message.id.to_string(),
                    ingestion_source_path: message.blob.without_secrets(),
                    root_activity_id: operation_id.to_owned(),
                }),
            },
        };
        push(connection, &report)?;
    }
    Ok(())
}

fn failure(
    connection: &Connection,
    message: &IngestionMessage,
    operation_id: &str,
    code: &str,
    status: FailureStatus,
    details: &str,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO failures (operation_id, database, table_name, failed, path, details, kind, activity_id, operation, code, retry, source_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?1, 'DataIngestPull', ?8, ?9, ?10)",
        params![
            operation_id,
            message.database.as_str(),
            message.table.as_str(),
            DateTime::now().ticks(),
            message.blob.without_secrets(),
            details,
            status.wire_name(),
            code,
            status != FailureStatus::Permanent,
            message.id.to_string(),
        ],
    )?;
    Ok(())
}

/// Keeps a message that cannot be read: its text stays with the failure.
pub(crate) fn poison(connection: &Connection, text: &str, details: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO failures (operation_id, database, table_name, failed, path, details, kind, activity_id, operation, code, retry, source_id, raw)
         VALUES (?1, '', '', ?2, '', ?3, 'Permanent', ?1, 'DataIngestPull', 'BadRequest_CorruptedMessage', 0, '', ?4)",
        params![uuid::Uuid::new_v4().to_string(), DateTime::now().ticks(), details, text],
    )?;
    Ok(())
}

fn encode(message: &impl Serialize) -> String {
    use base64::Engine as _;
    // INVARIANT: a struct of texts and booleans always serialises.
    base64::engine::general_purpose::STANDARD.encode(serde_json::to_string(message).unwrap_or_default())
}

fn push(connection: &Connection, report: &Report) -> rusqlite::Result<()> {
    let payload = serde_json::to_string(report).unwrap_or_default();
    connection.execute("INSERT INTO outbox (kind, payload) VALUES ('report', ?1)", [payload])?;
    Ok(())
}

/// The oldest lines of the outbox.
pub(crate) fn waiting(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = connection.prepare_cached("SELECT id, payload FROM outbox ORDER BY id LIMIT 500")?;
    let lines = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    lines.collect()
}

/// Takes a delivered line off.
pub(crate) fn delivered(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM outbox WHERE id = ?1", [id]).map(|_| ())
}

/// Delivers the outbox to the service's own queues and table. Delivery and removal are
/// one transaction, so that no report is lost or doubled. How many there were.
pub(crate) fn drain(connection: &Connection) -> rusqlite::Result<usize> {
    let lines = waiting(connection)?;
    for (id, payload) in &lines {
        match serde_json::from_str(payload) {
            Ok(Report::Entity { partition, row, mut properties }) => {
                // Some clients key their next poll on the source id that they wrote.
                if entities::find(connection, STATUS_TABLE, &partition, &row)?.is_some() {
                    properties.remove("IngestionSourceId");
                }
                entities::merge(connection, STATUS_TABLE, &partition, &row, &properties)?;
            }
            Ok(Report::Queue { queue, text }) => {
                queues::put(connection, &queue, &text, Duration::ZERO)?;
            }
            Err(error) => tracing::error!(%error, "an outbox line cannot be read"),
        }
        delivered(connection, *id)?;
    }
    Ok(lines.len())
}

/// Delivers one line to a storage account. A crash before the line is taken off
/// delivers it again: on the account reports are at-least-once.
pub(crate) async fn deliver(
    account: &crate::external::Account,
    payload: &str,
) -> Result<(), crate::ServiceError> {
    match serde_json::from_str(payload) {
        Ok(Report::Entity { partition, row, mut properties }) => {
            properties.remove("IngestionSourceId");
            account.merge_status(&partition, &row, &properties).await
        }
        Ok(Report::Queue { queue, text }) => account.put_message(&queue, &text).await,
        Err(error) => {
            tracing::error!(%error, "an outbox line cannot be read");
            Ok(())
        }
    }
}
