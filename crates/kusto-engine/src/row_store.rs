//! The row store: small streamed payloads are kept in the catalog's own database, durable
//! with the transaction that takes them, and read with the table's extents. They are sealed
//! into extents later, many at once.
//!
//! Invariant R-1: a streamed row is in the row store or in one extent, never in both and
//! never in neither: sealing is one transaction.

use crate::extent::{encode, file_schema};
use crate::scan::INGESTED;
use crate::{Catalog, CommitOutcome, EngineError, ExtentFile, ExtentRecord, ExtentScan, ExtentWriter};
use crate::{StoredSchema, TableId};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, Schema};
use bytes::Bytes;
use kusto_kql::plan::HIDDEN_COLUMNS;
use kusto_types::{ColumnType, DateTime, KUSTO_TYPE};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Payloads that are sealed at once.
const MOST: usize = 1000;
/// Bytes of payloads that are sealed at once.
const MOST_BYTES: usize = 64 * 1024 * 1024;

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS streamed (
    id INTEGER PRIMARY KEY AUTOINCREMENT, table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    ingested TEXT NOT NULL, added TEXT NOT NULL, rows INTEGER NOT NULL, original_size INTEGER NOT NULL,
    content BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS streamed_by_table ON streamed (table_id, ingested);
";

/// A streamed payload: rows that are not in an extent yet.
#[derive(Debug, Clone)]
pub struct StreamedRows {
    pub(crate) id: i64,
    /// When it was committed.
    pub(crate) ingested: String,
    pub(crate) original_size: u64,
    /// The rows as Parquet.
    pub(crate) content: Bytes,
}

impl StreamedRows {
    /// A payload that is about to be taken in, for queries over it alone.
    pub fn pending(content: Vec<u8>) -> Self {
        Self { id: 0, ingested: DateTime::now().to_string(), original_size: 0, content: Bytes::from(content) }
    }
}

/// What a table has in the row store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowStoreUse {
    /// The table.
    pub table: TableId,
    /// Payloads.
    pub payloads: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest was taken.
    pub oldest: DateTime,
}

/// The bytes of some rows as the row store keeps them; `schema` is that of the table's files.
pub fn encode_rows(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>, EngineError> {
    encode(schema, &file_schema(schema), batches)
}

impl Catalog<'_> {
    /// Takes a payload in, within a caller's transaction: its rows are visible once the
    /// transaction commits.
    pub fn append_streamed(
        &self,
        table: TableId,
        rows: u64,
        original_size: u64,
        content: &[u8],
    ) -> Result<CommitOutcome, EngineError> {
        let exists: bool = self
            .0
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM tables WHERE id = ?1)")?
            .query_row([table.0], |row| row.get(0))?;
        if !exists {
            return Ok(CommitOutcome::TableGone);
        }
        let ingested = self.ingestion_time(table)?;
        self.0
            .prepare_cached(
                "INSERT INTO streamed (table_id, ingested, added, rows, original_size, content)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                table.0,
                ingested,
                DateTime::now().to_string(),
                rows as i64,
                original_size as i64,
                content
            ])?;
        Ok(CommitOutcome::Committed)
    }

    /// The payloads of a table that are in no extent yet, oldest first.
    pub fn streamed(&self, table: TableId) -> Result<Vec<StreamedRows>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, ingested, original_size, content FROM streamed WHERE table_id = ?1 ORDER BY id",
        )?;
        let rows = statement.query_map([table.0], |row| {
            Ok(StreamedRows {
                id: row.get(0)?,
                ingested: row.get(1)?,
                original_size: row.get::<_, i64>(2)?.unsigned_abs(),
                content: Bytes::from(row.get::<_, Vec<u8>>(3)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What each table has in the row store; tables without any are left out.
    pub fn row_store_use(&self) -> Result<Vec<RowStoreUse>, EngineError> {
        let mut statement = self.0.prepare_cached(
            "SELECT table_id, COUNT(*), SUM(LENGTH(content)), MIN(added) FROM streamed GROUP BY table_id",
        )?;
        let rows = statement.query_map([], |row| {
            let oldest: String = row.get(3)?;
            Ok(RowStoreUse {
                table: TableId(row.get(0)?),
                payloads: row.get::<_, i64>(1)?.unsigned_abs(),
                bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                oldest: DateTime::parse(&oldest).unwrap_or_else(DateTime::now),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// The payloads that become the next extent: the oldest, within bounds.
pub fn choose_to_seal(mut rows: Vec<StreamedRows>) -> Vec<StreamedRows> {
    let mut bytes = 0;
    let fits = |streamed: &StreamedRows, bytes: &mut usize| {
        *bytes += streamed.content.len();
        *bytes <= MOST_BYTES
    };
    let count = rows.iter().take(MOST).take_while(|streamed| fits(streamed, &mut bytes)).count();
    rows.truncate(count.max(1));
    rows
}

/// Writes payloads into one new file, complete and synced; each row keeps its time of
/// ingestion.
pub fn write_sealed(
    root: &Path,
    schema: &StoredSchema,
    rows: &[StreamedRows],
    id: String,
) -> Result<ExtentFile, EngineError> {
    let scan = ExtentScan {
        root: root.to_owned(),
        schema: schema.clone(),
        extents: Vec::new(),
        streamed: rows.to_vec(),
    };
    write_with_times(&scan, "streamed", id)
}

/// Writes what a scan reads into one file, with the time of ingestion of each row in a
/// column that the schema has not.
pub(crate) fn write_with_times(
    scan: &ExtentScan,
    folder: &str,
    id: String,
) -> Result<ExtentFile, EngineError> {
    let count = scan.schema.names.len();
    let mut fields: Vec<FieldRef> = scan.schema.arrow().fields().iter().cloned().collect();
    let datetime = HashMap::from([(KUSTO_TYPE.to_owned(), ColumnType::DateTime.kql_name().to_owned())]);
    fields.push(Arc::new(Field::new(INGESTED, DataType::Int64, true).with_metadata(datetime)));
    let arrow = Arc::new(Schema::new(fields));
    let mut writer = ExtentWriter::create(&scan.root, folder, id, arrow.clone())?;
    let mut needed = vec![true; count + 1];
    needed.resize(count + HIDDEN_COLUMNS.len(), false);
    scan.read(&needed, &mut |mut chunk| {
        chunk.columns.truncate(count + 1);
        writer.write(&RecordBatch::try_new(arrow.clone(), chunk.columns)?)?;
        Ok(true)
    })?;
    writer.finish()
}

/// Puts an extent in the place of the payloads it was made of, within a caller's
/// transaction; `false` when one of them is gone, and nothing was done.
pub fn seal(
    transaction: &Connection,
    table: TableId,
    rows: &[StreamedRows],
    file: &ExtentFile,
) -> Result<bool, EngineError> {
    let mut is_there = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM streamed WHERE id = ?1 AND table_id = ?2)")?;
    for streamed in rows {
        if !is_there.query_row(params![streamed.id, table.0], |row| row.get::<_, bool>(0))? {
            return Ok(false);
        }
    }
    for streamed in rows {
        transaction.prepare_cached("DELETE FROM streamed WHERE id = ?1")?.execute([streamed.id])?;
    }
    let latest = rows.iter().map(|streamed| streamed.ingested.as_str()).max().unwrap_or_default();
    let created = if latest.is_empty() { DateTime::now().to_string() } else { latest.to_owned() };
    let record = ExtentRecord {
        id: file.id.clone(),
        path: file.path.clone(),
        rows: file.rows,
        original_size: rows.iter().map(|streamed| streamed.original_size).sum(),
        size: file.size,
        created,
        tags: Vec::new(),
        ingested: latest.to_owned(),
    };
    Catalog(transaction).insert_extent(table, &record)?;
    Ok(true)
}
