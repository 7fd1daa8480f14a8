//! The journal: which command changed what, of whom, and how the entity looked before and
//! after. Written behind the change, so that a crash between them loses the entry and not the
//! change.

use kusto_types::DateTime;
use rusqlite::{Connection, params};

/// Where the entries are.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, event TEXT NOT NULL, database TEXT NOT NULL,
    entity TEXT NOT NULL, updated_entity TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
    command TEXT NOT NULL, principal TEXT NOT NULL, client TEXT NOT NULL);
";

/// Most entries that are shown.
const MOST: usize = 10_000;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Change {
    /// `CREATE-TABLE` and the like.
    pub(crate) event: String,
    /// When, in ticks.
    pub(crate) at: i64,
    pub(crate) database: String,
    /// What changed.
    pub(crate) entity: String,
    /// What it is called since.
    pub(crate) updated_entity: String,
    /// How it was.
    pub(crate) before: String,
    /// How it is.
    pub(crate) after: String,
    /// The command, without its secrets.
    pub(crate) command: String,
    /// Who sent it.
    pub(crate) principal: String,
    /// The client's id of the request.
    pub(crate) client: String,
}

pub(crate) fn record(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO journal (at, event, database, entity, updated_entity, before, after, command, principal, client)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            change.at,
            change.event,
            change.database,
            change.entity,
            change.updated_entity,
            change.before,
            change.after,
            change.command,
            change.principal,
            change.client,
        ])
        .map(|_| ())
}

/// The latest changes, the last one first.
pub(crate) fn latest(connection: &Connection) -> rusqlite::Result<Vec<Change>> {
    let mut statement = connection.prepare_cached(
        "SELECT event, at, database, entity, updated_entity, before, after, command, principal, client FROM journal
         ORDER BY id DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([MOST as i64], |row| {
        Ok(Change {
            event: row.get(0)?,
            at: row.get(1)?,
            database: row.get(2)?,
            entity: row.get(3)?,
            updated_entity: row.get(4)?,
            before: row.get(5)?,
            after: row.get(6)?,
            command: row.get(7)?,
            principal: row.get(8)?,
            client: row.get(9)?,
        })
    })?;
    rows.collect()
}

/// Forgets what was before an instant.
pub(crate) fn expire(connection: &Connection, before: DateTime) -> rusqlite::Result<usize> {
    connection.execute("DELETE FROM journal WHERE at < ?1", [before.ticks()])
}
