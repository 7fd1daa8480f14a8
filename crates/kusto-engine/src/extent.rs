//! Writes one extent: a Parquet file, complete and synced before anyone is told of it.

use crate::EngineError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, TimeUnit};
use kusto_types::{ColumnType, KUSTO_TYPE};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A finished extent file.
#[derive(Debug, Clone)]
pub struct ExtentFile {
    /// The extent's id.
    pub id: String,
    /// Path relative to the extents folder.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub size: u64,
}

/// Ends the name of the column that holds the last digit of a datetime's ticks. No column of
/// a user can have a # in its name.
pub(crate) const DIGIT: &str = "#ticks";

/// Ticks of a microsecond.
const PER_MICROSECOND: i64 = 10;
/// Ticks from year 1 to 1970.
const EPOCH: i64 = 621_355_968_000_000_000;

fn is_datetime(field: &Field) -> bool {
    field.metadata().get(KUSTO_TYPE).is_some_and(|name| name == ColumnType::DateTime.kql_name())
}

/// The schema of a file of rows of a schema: a datetime is a timestamp of microseconds,
/// which every reader of Parquet knows, and the digit that a timestamp has no room for
/// stands in a column of its own behind all others.
pub(crate) fn file_schema(schema: &Schema) -> Schema {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(schema.fields().len());
    let mut digits: Vec<FieldRef> = Vec::new();
    for field in schema.fields() {
        if is_datetime(field) {
            let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            fields.push(Arc::new(Field::clone(field).with_data_type(timestamp)));
            digits.push(Arc::new(Field::new(format!("{}{DIGIT}", field.name()), DataType::Int8, true)));
        } else {
            fields.push(field.clone());
        }
    }
    fields.extend(digits);
    Schema::new(fields)
}

/// Columns as a file has them.
fn file_columns(schema: &Schema, columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let mut stored: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    let mut digits: Vec<ArrayRef> = Vec::new();
    for (field, column) in schema.fields().iter().zip(columns) {
        if is_datetime(field) {
            let ticks = column.as_primitive::<Int64Type>();
            let micros =
                ticks.iter().map(|ticks| ticks.map(|ticks| (ticks - EPOCH).div_euclid(PER_MICROSECOND)));
            stored.push(Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")));
            let digit = ticks
                .iter()
                .map(|ticks| ticks.map(|ticks| (ticks - EPOCH).rem_euclid(PER_MICROSECOND) as i8));
            digits.push(Arc::new(digit.collect::<Int8Array>()));
        } else {
            stored.push(column.clone());
        }
    }
    stored.extend(digits);
    stored
}

/// A column of a file as rows have it; `None` when the file does not have it. Files of
/// earlier versions have ticks for datetimes.
pub(crate) fn column_of(batch: &RecordBatch, name: &str) -> Option<ArrayRef> {
    let column = batch.column_by_name(name)?;
    if !matches!(column.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
        return Some(column.clone());
    }
    let micros = column.as_primitive::<TimestampMicrosecondType>();
    let digits = batch.column_by_name(&format!("{name}{DIGIT}"));
    let digit =
        |row: usize| digits.map_or(0, |digits| i64::from(digits.as_primitive::<Int8Type>().value(row)));
    let ticks = micros.iter().enumerate().map(|(row, micros)| {
        micros?.checked_mul(PER_MICROSECOND)?.checked_add(EPOCH)?.checked_add(digit(row))
    });
    Some(Arc::new(ticks.collect::<Int64Array>()))
}

/// Streams batches into a Parquet file; drops the file if it is not finished.
pub struct ExtentWriter {
    id: String,
    relative: String,
    absolute: PathBuf,
    writer: Option<ArrowWriter<File>>,
    /// Of the rows, and of the file.
    schema: Arc<Schema>,
    stored: Arc<Schema>,
    rows: u64,
}

/// Encoded bytes after which a row group is written out: bounds the writer's memory.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

fn properties() -> Result<WriterProperties, EngineError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(1_048_576))
        .set_created_by("kusto-local".to_owned())
        .build())
}

/// Rows as the bytes of a file of `stored`, the [`file_schema`] of `schema`.
pub(crate) fn encode(
    schema: &Schema,
    stored: &Schema,
    batches: &[RecordBatch],
) -> Result<Vec<u8>, EngineError> {
    let stored = Arc::new(stored.clone());
    let mut writer = ArrowWriter::try_new(Vec::new(), stored.clone(), Some(properties()?))?;
    for batch in batches {
        writer.write(&RecordBatch::try_new(stored.clone(), file_columns(schema, batch.columns()))?)?;
    }
    Ok(writer.into_inner()?)
}

impl ExtentWriter {
    /// Begins a file `<folder>/<id>.parquet` under the extents root.
    pub fn create(root: &Path, folder: &str, id: String, schema: Arc<Schema>) -> Result<Self, EngineError> {
        let relative = format!("{folder}/{id}.parquet");
        let absolute = root.join(&relative);
        if let Some(parent) = absolute.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let properties = properties()?;
        let file = File::create(&absolute)?;
        let stored = Arc::new(file_schema(&schema));
        let writer = ArrowWriter::try_new(file, stored.clone(), Some(properties))?;
        Ok(Self { id, relative, absolute, writer: Some(writer), schema, stored, rows: 0 })
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a batch: its columns are those of the file by position, whatever their names.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        let Some(writer) = self.writer.as_mut() else {
            return Err(EngineError::Extent("the writer is closed".into()));
        };
        let columns = file_columns(&self.schema, batch.columns());
        writer.write(&RecordBatch::try_new(self.stored.clone(), columns)?)?;
        self.rows += batch.num_rows() as u64;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush()?;
        }
        Ok(())
    }

    /// Completes and syncs the file and its folder.
    pub fn finish(mut self) -> Result<ExtentFile, EngineError> {
        let Some(writer) = self.writer.take() else {
            return Err(EngineError::Extent("the writer is closed".into()));
        };
        let finished = writer.into_inner().map_err(EngineError::from).and_then(|file| {
            file.sync_all()?;
            let size = file.metadata()?.len();
            if let Some(parent) = self.absolute.parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok(size)
        });
        match finished {
            Ok(size) => {
                Ok(ExtentFile { id: self.id.clone(), path: self.relative.clone(), rows: self.rows, size })
            }
            Err(error) => {
                let _removed = std::fs::remove_file(&self.absolute);
                Err(error)
            }
        }
    }
}

impl Drop for ExtentWriter {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // An unfinished file belongs to nobody; the janitor removes it if this fails.
            let _removed = std::fs::remove_file(&self.absolute);
        }
    }
}
