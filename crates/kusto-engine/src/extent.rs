//! Writes one extent: a Parquet file, complete and synced before anyone is told of it.

use crate::EngineError;
use arrow_array::RecordBatch;
use arrow_schema::Schema;
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

/// Streams batches into a Parquet file; drops the file if it is not finished.
pub struct ExtentWriter {
    id: String,
    relative: String,
    absolute: PathBuf,
    writer: Option<ArrowWriter<File>>,
    schema: Arc<Schema>,
    rows: u64,
}

/// Encoded bytes after which a row group is written out: bounds the writer's memory.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

impl ExtentWriter {
    /// Begins a file `<folder>/<id>.parquet` under the extents root.
    pub fn create(root: &Path, folder: &str, id: String, schema: Arc<Schema>) -> Result<Self, EngineError> {
        let relative = format!("{folder}/{id}.parquet");
        let absolute = root.join(&relative);
        if let Some(parent) = absolute.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(1_048_576))
            .set_created_by("kusto-local".to_owned())
            .build();
        let file = File::create(&absolute)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
        Ok(Self { id, relative, absolute, writer: Some(writer), schema, rows: 0 })
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
        writer.write(&RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())?)?;
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
