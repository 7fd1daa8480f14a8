//! Queue messages with Azure's rules: visibility time-outs, pop receipts that rotate,
//! time to live.

use kusto_types::{DateTime, TICKS_PER_DAY};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;
use uuid::Uuid;

/// A stored message.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub(crate) row: i64,
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) inserted: i64,
    pub(crate) expires: i64,
    pub(crate) visible: i64,
    pub(crate) receipt: String,
    pub(crate) dequeued: u32,
}

const COLUMNS: &str = "id, message_id, text, inserted, expires, visible, receipt, dequeued";

fn message(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredMessage> {
    Ok(StoredMessage {
        row: row.get(0)?,
        id: row.get(1)?,
        text: row.get(2)?,
        inserted: row.get(3)?,
        expires: row.get(4)?,
        visible: row.get(5)?,
        receipt: row.get(6)?,
        dequeued: row.get(7)?,
    })
}

fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX / 4)
}

/// Puts a message.
pub(crate) fn put(
    connection: &Connection,
    queue: &str,
    text: &str,
    hidden: Duration,
) -> rusqlite::Result<StoredMessage> {
    let now = DateTime::now().ticks();
    let stored = StoredMessage {
        row: 0,
        id: Uuid::new_v4().to_string(),
        text: text.to_owned(),
        inserted: now,
        expires: now + 7 * TICKS_PER_DAY,
        visible: now.saturating_add(ticks(hidden)),
        receipt: Uuid::new_v4().simple().to_string(),
        dequeued: 0,
    };
    connection.prepare_cached(
        "INSERT INTO queue_messages (queue, message_id, text, inserted, expires, visible, receipt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![queue, stored.id, stored.text, stored.inserted, stored.expires, stored.visible, stored.receipt])?;
    Ok(stored)
}

/// The visible messages of a queue, unchanged.
pub(crate) fn peek(connection: &Connection, queue: &str, count: u32) -> rusqlite::Result<Vec<StoredMessage>> {
    let now = DateTime::now().ticks();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM queue_messages WHERE queue = ?1 AND visible <= ?2 AND expires > ?2 ORDER BY id LIMIT ?3"
    ))?;
    statement.query_map(params![queue, now, count], message)?.collect()
}

/// Takes visible messages: hides them for a while and gives each a new receipt.
pub(crate) fn receive(
    connection: &Connection,
    queue: &str,
    count: u32,
    hidden: Duration,
) -> rusqlite::Result<Vec<StoredMessage>> {
    let mut messages = peek(connection, queue, count)?;
    for message in &mut messages {
        message.visible = DateTime::now().ticks().saturating_add(ticks(hidden));
        message.receipt = Uuid::new_v4().simple().to_string();
        message.dequeued += 1;
        connection.execute(
            "UPDATE queue_messages SET visible = ?2, receipt = ?3, dequeued = ?4 WHERE id = ?1",
            params![message.row, message.visible, message.receipt, message.dequeued],
        )?;
    }
    Ok(messages)
}

/// What became of a delete or update by receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByReceipt {
    Done,
    NotFound,
    WrongReceipt,
}

/// Deletes a message by id and receipt.
pub(crate) fn delete(
    connection: &Connection,
    queue: &str,
    id: &str,
    receipt: &str,
) -> rusqlite::Result<ByReceipt> {
    let found: Option<String> = connection
        .query_row(
            "SELECT receipt FROM queue_messages WHERE queue = ?1 AND message_id = ?2",
            params![queue, id],
            |row| row.get(0),
        )
        .optional()?;
    match found {
        None => Ok(ByReceipt::NotFound),
        Some(current) if current != receipt => Ok(ByReceipt::WrongReceipt),
        Some(_) => {
            connection.execute(
                "DELETE FROM queue_messages WHERE queue = ?1 AND message_id = ?2",
                params![queue, id],
            )?;
            Ok(ByReceipt::Done)
        }
    }
}

/// Deletes a message by its row, as the service's own consumer does.
pub(crate) fn remove(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM queue_messages WHERE id = ?1", [row]).map(|_| ())
}
