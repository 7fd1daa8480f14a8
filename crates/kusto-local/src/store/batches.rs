//! Sources and batches. Invariant L-1: a source row exists from the transaction that
//! takes its message off the queue until its outcome, and its dedup key stays after.

use crate::ServiceError;
use kusto_batch::{Action, OpenBatch};
use kusto_types::{ByteSize, DateTime, SourceId};
use kusto_wire::IngestionMessage;
use rusqlite::{Connection, OptionalExtension, params};

/// What may share a batch: the JSON array of everything that must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BatchKey(pub(crate) String);

impl BatchKey {
    pub(crate) fn of(message: &IngestionMessage) -> Self {
        let mut tags = message.additional.tags.clone();
        tags.sort();
        let additional = &message.additional;
        Self(
            serde_json::json!([
                message.database,
                message.table,
                additional.format.map(String::from),
                additional.ingestion_mapping,
                additional.ingestion_mapping_reference,
                additional.ignore_first_record,
                additional.validation_policy,
                additional.creation_time,
                tags,
                additional.other,
            ])
            .to_string(),
        )
    }

    /// Database and table of the key.
    pub(crate) fn target(&self) -> (String, String) {
        let parts: Vec<serde_json::Value> = serde_json::from_str(&self.0).unwrap_or_default();
        let text =
            |index: usize| parts.get(index).and_then(|part| part.as_str()).unwrap_or_default().to_owned();
        (text(0), text(1))
    }
}

/// A source on its way.
#[derive(Debug, Clone)]
pub(crate) struct SourceRow {
    pub(crate) id: i64,
    pub(crate) message: IngestionMessage,
    pub(crate) received: i64,
}

/// A sealed batch to load.
#[derive(Debug, Clone)]
pub(crate) struct SealedBatch {
    pub(crate) id: i64,
    pub(crate) attempts: u32,
    pub(crate) operation_id: String,
    pub(crate) sources: Vec<SourceRow>,
}

/// The dedup key of a message: the same post twice has it, another ingestion of the
/// same blob has not.
pub(crate) fn dedup(message: &IngestionMessage) -> String {
    format!("{}|{}|{}|{}", message.database, message.table, message.id, message.blob.without_secrets())
}

/// Records a source; `None` when the same one was recorded before.
pub(crate) fn add_source(
    connection: &Connection,
    message: &IngestionMessage,
) -> rusqlite::Result<Option<i64>> {
    let made = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO sources (source_id, dedup, database, table_name, path, message, state, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Accepted', ?7)",
        )?
        .execute(params![
            message.id.to_string(),
            dedup(message),
            message.database.as_str(),
            message.table.as_str(),
            message.blob.without_secrets(),
            message.to_json().to_string(),
            DateTime::now().ticks(),
        ])?;
    Ok((made == 1).then(|| connection.last_insert_rowid()))
}

/// The dedup key of a streamed source: a retry of the same request has it.
fn streamed_key(database: &str, table: &str, id: SourceId) -> String {
    format!("{database}|{table}|{id}|streamed")
}

/// Records a source that is streamed in this transaction; `None` when it was streamed
/// before.
pub(crate) fn add_streamed(
    connection: &Connection,
    database: &str,
    table: &str,
    id: SourceId,
    rows: u64,
) -> rusqlite::Result<bool> {
    let made = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO sources (source_id, dedup, database, table_name, path, message, state, received, finished, rows)
             VALUES (?1, ?2, ?3, ?4, '', '', 'Succeeded', ?5, ?5, ?6)",
        )?
        .execute(params![
            id.to_string(),
            streamed_key(database, table, id),
            database,
            table,
            DateTime::now().ticks(),
            rows as i64,
        ])?;
    Ok(made == 1)
}

/// Whether a message's source is in the table already because it was streamed.
pub(crate) fn was_streamed(connection: &Connection, message: &IngestionMessage) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sources WHERE dedup = ?1)")?
        .query_row([streamed_key(message.database.as_str(), message.table.as_str(), message.id)], |row| {
            row.get(0)
        })
}

/// Carries out what the batcher decided for a source.
pub(crate) fn apply(
    connection: &Connection,
    key: &BatchKey,
    source: Option<(i64, ByteSize)>,
    actions: &[Action<i64>],
) -> rusqlite::Result<()> {
    let (database, table) = key.target();
    for action in actions {
        match action {
            Action::Open(batch) => {
                connection.execute(
                    "INSERT INTO batches (id, batch_key, database, table_name, state, opened, operation_id) VALUES (?1, ?2, ?3, ?4, 'Open', ?5, ?6)",
                    params![batch, key.0, database, table, DateTime::now().ticks(), uuid::Uuid::new_v4().to_string()],
                )?;
            }
            Action::Assign(batch) => {
                if let Some((source, size)) = source {
                    connection.execute(
                        "UPDATE sources SET batch = ?2, state = 'Batched' WHERE id = ?1",
                        params![source, batch],
                    )?;
                    connection.execute(
                        "UPDATE batches SET items = items + 1, bytes = bytes + ?2 WHERE id = ?1",
                        params![batch, size.0 as i64],
                    )?;
                }
            }
            Action::Seal(batch, cause) => {
                connection.execute(
                    "UPDATE batches SET state = 'Sealed', cause = ?2 WHERE id = ?1 AND state = 'Open'",
                    params![batch, cause.wire_name()],
                )?;
            }
        }
    }
    Ok(())
}

/// An id that no batch has.
pub(crate) fn next_batch_id(connection: &Connection) -> rusqlite::Result<i64> {
    let last: Option<i64> = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'batches'", [], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0) + 1)
}

/// The batches that were open when the service stopped.
pub(crate) fn open_batches(connection: &Connection) -> rusqlite::Result<Vec<(BatchKey, OpenBatch<i64>)>> {
    let mut statement =
        connection.prepare("SELECT id, batch_key, opened, items, bytes FROM batches WHERE state = 'Open'")?;
    let rows = statement.query_map([], |row| {
        let opened = DateTime::from_ticks(row.get(2)?).unwrap_or_else(DateTime::now);
        let raw_size = ByteSize(row.get::<_, i64>(4)?.unsigned_abs());
        Ok((BatchKey(row.get(1)?), OpenBatch { id: row.get(0)?, items: row.get(3)?, raw_size, opened }))
    })?;
    rows.collect()
}

/// The next batch to load: counts the attempt before it is made, so that a load that
/// kills the process is known to have been tried.
pub(crate) fn begin_load(connection: &Connection) -> Result<Option<SealedBatch>, ServiceError> {
    let now = DateTime::now().ticks();
    let found: Option<(i64, u32, String)> = connection
        .query_row(
            "SELECT id, attempts, operation_id FROM batches WHERE state = 'Sealed' AND not_before <= ?1 ORDER BY id LIMIT 1",
            [now],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((id, attempts, operation_id)) = found else { return Ok(None) };
    connection.execute("UPDATE batches SET attempts = attempts + 1 WHERE id = ?1", [id])?;
    let mut statement = connection.prepare_cached(
        "SELECT id, message, received FROM sources WHERE batch = ?1 AND finished IS NULL ORDER BY id",
    )?;
    let rows = statement
        .query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let sources = rows
        .into_iter()
        .filter_map(|(id, message, received)| {
            IngestionMessage::decode(&message).ok().map(|message| SourceRow { id, message, received })
        })
        .collect();
    Ok(Some(SealedBatch { id, attempts: attempts + 1, operation_id, sources }))
}

/// Puts a batch back for a later attempt.
pub(crate) fn postpone(connection: &Connection, batch: i64, until: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE batches SET not_before = ?2 WHERE id = ?1", params![batch, until]).map(|_| ())
}

/// Marks a batch as done.
pub(crate) fn finish_batch(connection: &Connection, batch: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE batches SET state = 'Done' WHERE id = ?1", [batch]).map(|_| ())
}

/// When the next postponed batch is due, in ticks.
pub(crate) fn next_due(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT min(not_before) FROM batches WHERE state = 'Sealed'", [], |row| row.get(0))
}
