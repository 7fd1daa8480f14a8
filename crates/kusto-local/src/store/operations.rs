//! Operations that are asked after by id: `async` commands, and the blobs of one REST
//! v2 request.

use super::batches;
use kusto_types::{DateTime, SourceId};
use kusto_wire::{
    BlobStatus, DataSetV1, FailureStatus, IngestionMessage, OperationCounts, OperationStatus, ResultTable,
};
use rusqlite::{Connection, OptionalExtension, params};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    Completed,
    Failed,
    Canceled,
}

impl CommandEnd {
    pub(crate) fn wire_name(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

/// Records a command that begins.
pub(crate) fn begin(
    connection: &Connection,
    id: &str,
    kind: &str,
    database: &str,
    table: &str,
) -> rusqlite::Result<()> {
    let now = DateTime::now().ticks();
    connection
        .execute(
            "INSERT INTO operations (id, kind, database, table_name, started, updated, state, status, retry)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, 'InProgress', '', 0)",
            params![id, kind, database, table, now],
        )
        .map(|_| ())
}

/// Records how a command ended.
pub(crate) fn end(
    connection: &Connection,
    id: &str,
    state: CommandEnd,
    status: &str,
    retry: bool,
    result: Option<&ResultTable>,
) -> rusqlite::Result<()> {
    let result = result.map(|table| DataSetV1::single(table.clone()).encode().to_string());
    connection
        .execute(
            "UPDATE operations SET updated = ?2, state = ?3, status = ?4, retry = ?5, result = ?6 WHERE id = ?1",
            params![id, DateTime::now().ticks(), state.wire_name(), status, retry, result],
        )
        .map(|_| ())
}

/// Commands that a stopped process left unfinished: nothing of theirs was committed, or
/// their end would have been recorded with it.
pub(crate) fn abandon(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute(
        "UPDATE operations SET state = 'Abandoned', status = 'the service stopped while the command ran', retry = 1, updated = ?1
         WHERE state = 'InProgress'",
        [DateTime::now().ticks()],
    )
}

/// The stored result of a finished command.
pub(crate) fn result(connection: &Connection, id: &str) -> rusqlite::Result<Option<ResultTable>> {
    let json: Option<Option<String>> = connection
        .query_row("SELECT result FROM operations WHERE id = ?1", [id], |row| row.get(0))
        .optional()?;
    let decoded = json.flatten().and_then(|json| DataSetV1::decode(json.as_bytes()).ok());
    Ok(decoded.and_then(|set| set.tables.into_iter().next()))
}

/// Records which blobs a REST v2 request asked for.
pub(crate) fn begin_rest(
    connection: &Connection,
    id: &str,
    database: &str,
    table: &str,
    messages: &[IngestionMessage],
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO rest_operations (id, database, table_name, started) VALUES (?1, ?2, ?3, ?4)",
        params![id, database, table, DateTime::now().ticks()],
    )?;
    for message in messages {
        connection
            .prepare_cached(
                "INSERT INTO rest_blobs (operation, source_id, dedup, url) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                id,
                message.id.to_string(),
                batches::dedup(message),
                message.blob.without_secrets()
            ])?;
    }
    Ok(())
}

/// What a command's operation does, and when it began.
pub(crate) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<(String, DateTime)>> {
    connection
        .query_row("SELECT kind, started FROM operations WHERE id = ?1", [id.to_lowercase()], |row| {
            let started = DateTime::from_ticks(row.get(1)?).unwrap_or_else(DateTime::now);
            Ok((row.get(0)?, started))
        })
        .optional()
}

/// Database and table of a REST v2 request or a queued load.
pub(crate) fn place_of(connection: &Connection, id: &str) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .prepare_cached("SELECT database, table_name FROM rest_operations WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Cancels the sources of an operation that are not being loaded: those of sealed batches
/// whose load has begun may finish. How many.
pub(crate) fn cancel_rest(connection: &Connection, id: &str) -> rusqlite::Result<usize> {
    let now = DateTime::now().ticks();
    // Their messages are on a queue still: when they are taken, they are known already.
    let waiting = connection.execute(
        "INSERT OR IGNORE INTO sources (source_id, dedup, database, table_name, path, message, state, received, finished)
         SELECT b.source_id, b.dedup, o.database, o.table_name, b.url, '', 'Canceled', ?2, ?2
         FROM rest_blobs b JOIN rest_operations o ON o.id = b.operation
         WHERE b.operation = ?1 AND NOT EXISTS (SELECT 1 FROM sources s WHERE s.dedup = b.dedup)",
        params![id, now],
    )?;
    let taken = connection.execute(
        "UPDATE sources SET state = 'Canceled', finished = ?2
         WHERE finished IS NULL AND dedup IN (SELECT dedup FROM rest_blobs WHERE operation = ?1)
         AND (batch IS NULL OR batch IN (SELECT id FROM batches
              WHERE state = 'Open' OR (state = 'Sealed' AND (attempts = 0 OR not_before > ?2))))",
        params![id, now],
    )?;
    Ok(waiting + taken)
}

fn instant(ticks: Option<i64>) -> Option<String> {
    ticks.and_then(DateTime::from_ticks).map(|at| at.to_string())
}

/// What is known of a REST v2 request; `None` when the table has no such operation.
pub(crate) fn rest_status(
    connection: &Connection,
    id: &str,
    database: &str,
    table: &str,
) -> rusqlite::Result<Option<OperationStatus>> {
    let started: Option<i64> = connection
        .query_row(
            "SELECT started FROM rest_operations WHERE id = ?1 AND database = ?2 AND table_name = ?3",
            params![id, database, table],
            |row| row.get(0),
        )
        .optional()?;
    let Some(started) = started else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT b.source_id, b.url, s.state, s.received, s.finished, s.code, s.details,
                (SELECT f.kind FROM failures f WHERE f.source_id = b.source_id ORDER BY f.id DESC LIMIT 1)
         FROM rest_blobs b LEFT JOIN sources s ON s.dedup = b.dedup WHERE b.operation = ?1 ORDER BY b.rowid",
    )?;
    let mut rows = statement.query([id])?;
    let mut counts = OperationCounts::default();
    let mut details = Vec::new();
    let mut last = started;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let state: Option<String> = row.get(2)?;
        let (received, finished): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        last = [Some(last), received, finished].into_iter().flatten().max().unwrap_or(last);
        let status = match (state.as_deref(), finished) {
            (None, _) => "Queued",
            (Some(_), None) => "InProgress",
            (Some("Failed"), Some(_)) => "Failed",
            (Some("Canceled"), Some(_)) => "Canceled",
            (Some(_), Some(_)) => "Succeeded",
        };
        match status {
            "Succeeded" => counts.succeeded += 1,
            "Failed" => counts.failed += 1,
            "Canceled" => counts.canceled += 1,
            _ => counts.in_progress += 1,
        }
        let kind: Option<String> = row.get(7)?;
        details.push(BlobStatus {
            source_id: id.parse().unwrap_or_else(|_| SourceId::random()),
            url: row.get(1)?,
            status: status.to_owned(),
            started_at: instant(received),
            last_update_time: instant(finished.or(received)),
            error_code: row.get(5)?,
            failure_status: kind
                .filter(|_| status == "Failed")
                .and_then(|kind| serde_json::from_value::<FailureStatus>(kind.into()).ok()),
            details: row.get(6)?,
        });
    }
    Ok(Some(OperationStatus {
        start_time: instant(Some(started)),
        last_updated: instant(Some(last)),
        status: counts,
        details,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_being_loaded_is_cancelled() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::store::SCHEMA).unwrap();
        let later = DateTime::now().ticks() + kusto_types::TICKS_PER_DAY;
        connection
            .execute_batch("INSERT INTO rest_operations VALUES ('o', 'D', 'T', 1), ('other', 'D', 'T', 1)")
            .unwrap();
        let batches = [
            (1, "Open", 0, 0),
            (2, "Sealed", 0, 0),
            (3, "Sealed", 1, 0),
            (4, "Sealed", 1, later),
            (5, "Done", 1, 0),
        ];
        for (id, state, attempts, not_before) in batches {
            connection
                .execute(
                    "INSERT INTO batches (id, batch_key, database, table_name, state, opened, attempts, not_before, operation_id)
                     VALUES (?1, '', 'D', 'T', ?2, 1, ?3, ?4, '')",
                    params![id, state, attempts, not_before],
                )
                .unwrap();
        }
        // The place of each source, and what becomes of it.
        let sources = [
            ("queue", None, None, "Canceled"),
            ("accepted", Some(None), None, "Canceled"),
            ("open", Some(Some(1)), None, "Canceled"),
            ("sealed", Some(Some(2)), None, "Canceled"),
            ("loading", Some(Some(3)), None, "Batched"),
            ("postponed", Some(Some(4)), None, "Canceled"),
            ("done", Some(Some(5)), Some(1), "Batched"),
        ];
        for (name, taken, finished, _) in sources {
            let operation =
                "INSERT INTO rest_blobs (operation, source_id, dedup, url) VALUES (?2, ?1, ?1, ?1)";
            connection.execute(operation, [name, "o"]).unwrap();
            if let Some(batch) = taken {
                connection
                    .execute(
                        "INSERT INTO sources (source_id, dedup, database, table_name, path, message, state, batch, received, finished)
                         VALUES (?1, ?1, 'D', 'T', ?1, '', 'Batched', ?2, 1, ?3)",
                        params![name, batch, finished],
                    )
                    .unwrap();
            }
        }
        connection
            .execute(
                "INSERT INTO rest_blobs (operation, source_id, dedup, url) VALUES ('other', 'x', 'x', 'x')",
                [],
            )
            .unwrap();
        assert_eq!(cancel_rest(&connection, "o").unwrap(), 5);
        for (name, _, _, expected) in sources {
            let state: String = connection
                .query_row("SELECT state FROM sources WHERE dedup = ?1", [name], |row| row.get(0))
                .unwrap();
            assert_eq!(state, expected, "{name}");
        }
        let others: i64 = connection
            .query_row("SELECT count(*) FROM sources WHERE dedup = 'x'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(others, 0);
        assert_eq!(cancel_rest(&connection, "o").unwrap(), 0, "once is enough");
    }
}
