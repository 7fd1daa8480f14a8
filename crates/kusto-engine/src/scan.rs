//! Reads the extents of a table as chunks of its current schema, only the columns that
//! a plan needs.

use crate::extent::{DIGIT, column_of};
use crate::{EngineError, ExtentRecord, StoredSchema, StreamedRows};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use kusto_types::{ColumnType, DateTime, arrow_type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Some rows, column by column.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// How many rows.
    pub rows: usize,
    /// One array a column, each with that many rows.
    pub columns: Vec<ArrayRef>,
}

/// The extents of one table, ready to be read.
#[derive(Debug, Clone)]
pub struct ExtentScan {
    /// The extents folder.
    pub root: PathBuf,
    /// The table's columns, and what they are called in the files.
    pub schema: StoredSchema,
    /// What to read.
    pub extents: Vec<ExtentRecord>,
    /// What else to read: rows that are in no extent yet.
    pub streamed: Vec<StreamedRows>,
}

/// An array of rows without a value: nulls, or empty texts for string.
pub(crate) fn absent(column_type: ColumnType, rows: usize) -> ArrayRef {
    if column_type == ColumnType::String {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n("", rows)))
    } else {
        new_null_array(&arrow_type(column_type), rows)
    }
}

/// The column of a merged extent that has the time at which each row was ingested; in an
/// extent of one ingestion it is the same for all, and the catalog has it.
pub(crate) const INGESTED: &str = "#IngestionTime";

/// The columns that no operator shows, in the order of
/// [`HIDDEN_COLUMNS`](kusto_kql::plan::HIDDEN_COLUMNS).
fn hidden_columns(origin: &Origin<'_>, batch: &RecordBatch) -> [ArrayRef; 3] {
    let rows = batch.num_rows();
    let ingested = match column_of(batch, INGESTED) {
        Some(stored) => stored,
        None => {
            let ticks = DateTime::parse(origin.ingested).map(DateTime::ticks);
            Arc::new(Int64Array::from(vec![ticks; rows]))
        }
    };
    let text =
        |text: Option<&str>| Arc::new(std::iter::repeat_n(text, rows).collect::<StringArray>()) as ArrayRef;
    let tags = serde_json::Value::from(origin.tags.to_vec()).to_string();
    [ingested, text(origin.extent), text(Some(&tags))]
}

/// Where rows come from: an extent, or the row store, which has neither id nor tags.
struct Origin<'e> {
    extent: Option<&'e str>,
    ingested: &'e str,
    tags: &'e [String],
}

impl ExtentScan {
    /// Reads the needed columns (by position; the others come absent) and hands each
    /// chunk on until `sink` says that it has enough. Behind the schema's columns come the
    /// hidden ones, if `needed` has places for them.
    pub(crate) fn read(
        &self,
        needed: &[bool],
        sink: &mut dyn FnMut(Chunk) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        for extent in &self.extents {
            let file = File::open(self.root.join(&extent.path))
                .map_err(|error| EngineError::Extent(format!("{}: {error}", extent.path)))?;
            let origin = Origin { extent: Some(&extent.id), ingested: &extent.ingested, tags: &extent.tags };
            if !self.read_one(file, &origin, needed, sink)? {
                return Ok(());
            }
        }
        for streamed in &self.streamed {
            let origin = Origin { extent: None, ingested: &streamed.ingested, tags: &[] };
            if !self.read_one(streamed.content.clone(), &origin, needed, sink)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads one file; whether more is wanted.
    fn read_one(
        &self,
        file: impl ChunkReader + 'static,
        origin: &Origin<'_>,
        needed: &[bool],
        sink: &mut dyn FnMut(Chunk) -> Result<bool, EngineError>,
    ) -> Result<bool, EngineError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let stored = builder.schema().clone();
        let leaves: Vec<usize> = self
            .schema
            .names
            .iter()
            .zip(needed)
            .filter(|(_, needed)| **needed)
            .map(|(name, _)| name.as_str())
            .chain(needed.get(self.schema.names.len()).copied().unwrap_or(false).then_some(INGESTED))
            .flat_map(|name| [stored.index_of(name).ok(), stored.index_of(&format!("{name}{DIGIT}")).ok()])
            .flatten()
            .collect();
        // Every stored column is flat, so that a column's position is its leaf's.
        let mask = ProjectionMask::leaves(builder.parquet_schema(), leaves);
        let reader = builder.with_projection(mask).with_batch_size(16_384).build()?;
        for batch in reader {
            let batch = batch?;
            let rows = batch.num_rows();
            let columns = self.schema.columns.columns().iter().zip(&self.schema.names);
            let mut columns: Vec<ArrayRef> = columns
                .map(|(column, name)| {
                    column_of(&batch, name).unwrap_or_else(|| absent(column.column_type, rows))
                })
                .collect();
            if needed.len() > columns.len() {
                columns.extend(hidden_columns(origin, &batch));
            }
            if !sink(Chunk { rows, columns })? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
