//! Blobs: rows in the database, bytes in files. A block list is stored as the list of
//! its blocks' files, so that committing it copies nothing.

use crate::ServiceError;
use kusto_types::DateTime;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};

/// A committed blob.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) modified: i64,
    /// Its parts in order, relative to the blobs folder.
    pub(crate) files: Vec<String>,
}

fn new_etag() -> String {
    format!("\"0x{}\"", &uuid::Uuid::new_v4().simple().to_string().to_uppercase()[..15])
}

/// A name for new bytes.
pub(crate) fn new_file() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The committed blob of this name.
pub(crate) fn find(connection: &Connection, container: &str, name: &str) -> rusqlite::Result<Option<Blob>> {
    connection
        .prepare_cached("SELECT size, etag, modified, files FROM blobs WHERE container = ?1 AND name = ?2")?
        .query_row(params![container, name], |row| {
            Ok(Blob {
                size: row.get::<_, i64>(0)?.unsigned_abs(),
                etag: row.get(1)?,
                modified: row.get(2)?,
                files: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
            })
        })
        .optional()
}

/// Blobs of a container by their names: those that begin with `prefix` and come after a
/// name, at most so many.
pub(crate) fn list(
    connection: &Connection,
    container: &str,
    prefix: &str,
    after: &str,
    most: usize,
) -> rusqlite::Result<Vec<(String, Blob)>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, size, etag, modified FROM blobs WHERE container = ?1 AND name > ?2 AND name >= ?3
         AND substr(name, 1, length(?3)) = ?3 ORDER BY name LIMIT ?4",
    )?;
    let rows = statement.query_map(params![container, after, prefix, most as i64], |row| {
        let size = row.get::<_, i64>(1)?.unsigned_abs();
        Ok((row.get(0)?, Blob { size, etag: row.get(2)?, modified: row.get(3)?, files: Vec::new() }))
    })?;
    rows.collect()
}

/// Makes files a blob, in place of an earlier one.
pub(crate) fn commit(
    connection: &Connection,
    container: &str,
    name: &str,
    files: &[String],
    size: u64,
) -> rusqlite::Result<Blob> {
    let blob = Blob { size, etag: new_etag(), modified: DateTime::now().ticks(), files: files.to_vec() };
    connection.execute(
        "DELETE FROM committed_blocks WHERE container = ?1 AND name = ?2",
        params![container, name],
    )?;
    connection.execute(
        "INSERT OR REPLACE INTO blobs (container, name, size, etag, modified, files) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![container, name, size as i64, blob.etag, blob.modified, serde_json::Value::from(files.to_vec()).to_string()],
    )?;
    Ok(blob)
}

/// Notes an uncommitted block.
pub(crate) fn stage_block(
    connection: &Connection,
    container: &str,
    name: &str,
    block: &str,
    file: &str,
    size: u64,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO blocks (container, name, block, file, size, staged) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![container, name, block, file, size as i64, DateTime::now().ticks()],
    )?;
    Ok(())
}

/// The staged blocks of a blob with their sizes, by their ids.
pub(crate) fn staged(
    connection: &Connection,
    container: &str,
    name: &str,
) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection
        .prepare_cached("SELECT block, size FROM blocks WHERE container = ?1 AND name = ?2 ORDER BY block")?;
    let rows =
        statement.query_map(params![container, name], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    rows.map(|row| row.map(|(block, size)| (block, size.unsigned_abs()))).collect()
}

/// Forgets the staged blocks of a blob.
pub(crate) fn unstage(connection: &Connection, container: &str, name: &str) -> rusqlite::Result<()> {
    connection
        .execute("DELETE FROM blocks WHERE container = ?1 AND name = ?2", params![container, name])
        .map(|_| ())
}

/// Commits blocks in this order, the latest of each id: staged ones, else those of the
/// blob as it is, so that the same request twice is fine. `None` when one is neither.
pub(crate) fn commit_blocks(
    connection: &Connection,
    container: &str,
    name: &str,
    blocks: &[String],
) -> rusqlite::Result<Option<Blob>> {
    let (mut files, mut sizes) = (Vec::with_capacity(blocks.len()), Vec::with_capacity(blocks.len()));
    for block in blocks {
        let found: Option<(String, i64)> = connection
            .prepare_cached(
                "SELECT file, size FROM blocks WHERE container = ?1 AND name = ?2 AND block = ?3
                 UNION ALL SELECT file, size FROM committed_blocks WHERE container = ?1 AND name = ?2 AND block = ?3
                 LIMIT 1",
            )?
            .query_row(params![container, name, block], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((file, bytes)) = found else { return Ok(None) };
        files.push(file);
        sizes.push(bytes);
    }
    connection.execute("DELETE FROM blocks WHERE container = ?1 AND name = ?2", params![container, name])?;
    let size = sizes.iter().map(|size| size.unsigned_abs()).sum();
    let blob = commit(connection, container, name, &files, size)?;
    for ((block, file), bytes) in blocks.iter().zip(&files).zip(&sizes) {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO committed_blocks (container, name, block, file, size) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![container, name, block, file, bytes])?;
    }
    Ok(Some(blob))
}

/// Forgets a blob; its files fall to the janitor. Whether there was one.
pub(crate) fn delete(connection: &Connection, container: &str, name: &str) -> rusqlite::Result<bool> {
    connection.execute(
        "DELETE FROM committed_blocks WHERE container = ?1 AND name = ?2",
        params![container, name],
    )?;
    Ok(connection
        .execute("DELETE FROM blobs WHERE container = ?1 AND name = ?2", params![container, name])?
        > 0)
}

/// Every file that a blob or block refers to.
pub(crate) fn referenced(connection: &Connection) -> rusqlite::Result<std::collections::HashSet<String>> {
    let mut files = std::collections::HashSet::new();
    let mut statement =
        connection.prepare_cached("SELECT files FROM blobs UNION ALL SELECT json_array(file) FROM blocks")?;
    for list in statement.query_map([], |row| row.get::<_, String>(0))? {
        files.extend(serde_json::from_str::<Vec<String>>(&list?).unwrap_or_default());
    }
    Ok(files)
}

/// The blobs that no unfinished source needs and that are older than `before`.
pub(crate) fn expire(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM blobs WHERE modified < ?1 AND NOT EXISTS (
            SELECT 1 FROM sources WHERE finished IS NULL AND instr(path, '/' || container || '/' || name) > 0)",
        [before],
    )?;
    connection.execute(
        "DELETE FROM committed_blocks WHERE NOT EXISTS (
            SELECT 1 FROM blobs WHERE blobs.container = committed_blocks.container AND blobs.name = committed_blocks.name)",
        [],
    )
}

/// One file with all bytes of a blob: its only part, or a joined copy under `staging`.
/// The second value tells whether the caller must delete it.
pub(crate) fn materialise(root: &Path, blob: &Blob) -> Result<(PathBuf, bool), ServiceError> {
    let blobs = root.join("blobs");
    if let [only] = blob.files.as_slice() {
        return Ok((blobs.join(only), false));
    }
    let path = root.join("staging").join(new_file());
    let mut joined = std::fs::File::create(&path).map_err(ServiceError::file(&path))?;
    for file in &blob.files {
        let part = blobs.join(file);
        let mut part_file = std::fs::File::open(&part).map_err(ServiceError::file(&part))?;
        std::io::copy(&mut part_file, &mut joined).map_err(ServiceError::file(&path))?;
    }
    Ok((path, true))
}
