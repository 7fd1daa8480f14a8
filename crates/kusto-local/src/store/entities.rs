//! Table entities: the status rows that clients write and the service updates.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};

/// A stored entity with its etag.
pub(crate) struct Entity {
    pub(crate) properties: Map<String, Value>,
    pub(crate) etag: String,
}

fn new_etag() -> String {
    format!("W/\"datetime'{}'\"", kusto_types::DateTime::now().to_string().replace(':', "%3A"))
}

/// Reads an entity.
pub(crate) fn find(
    connection: &Connection,
    table: &str,
    partition: &str,
    row: &str,
) -> rusqlite::Result<Option<Entity>> {
    connection
        .prepare_cached(
            "SELECT json, etag FROM entities WHERE table_name = ?1 AND partition = ?2 AND row = ?3",
        )?
        .query_row(params![table, partition, row], |row| {
            let json: String = row.get(0)?;
            Ok(Entity { properties: serde_json::from_str(&json).unwrap_or_default(), etag: row.get(1)? })
        })
        .optional()
}

/// Inserts an entity; `None` when there is one already.
pub(crate) fn insert(
    connection: &Connection,
    table: &str,
    partition: &str,
    row: &str,
    properties: &Map<String, Value>,
) -> rusqlite::Result<Option<String>> {
    let etag = new_etag();
    let made = connection.execute(
        "INSERT OR IGNORE INTO entities (table_name, partition, row, json, etag) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![table, partition, row, Value::Object(properties.clone()).to_string(), etag],
    )?;
    Ok((made == 1).then_some(etag))
}

/// Sets properties of an entity, making it when it is missing; others stay.
pub(crate) fn merge(
    connection: &Connection,
    table: &str,
    partition: &str,
    row: &str,
    properties: &Map<String, Value>,
) -> rusqlite::Result<String> {
    let mut merged =
        find(connection, table, partition, row)?.map(|entity| entity.properties).unwrap_or_default();
    merged.extend(properties.clone());
    let etag = new_etag();
    connection.execute(
        "INSERT OR REPLACE INTO entities (table_name, partition, row, json, etag) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![table, partition, row, Value::Object(merged).to_string(), etag],
    )?;
    Ok(etag)
}
