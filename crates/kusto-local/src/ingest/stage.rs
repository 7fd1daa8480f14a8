//! Decodes sources into extents that nobody sees yet. Small sources share an extent;
//! a large one gets its own, so that a fault found late spoils no other source.

use super::fetch::Fetched;
use super::target::Target;
use crate::ServiceError;
use crate::error::with_causes;
use crate::store::reports::Outcome;
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use kusto_decode::{DecodeError, DecodeReport, Input, decode};
use kusto_engine::{Commit, EngineError, Existing, ExtentFile, ExtentWriter, NewExtent, TableId, row_store};
use kusto_types::DateTime;
use kusto_wire::{AdditionalProperties, FailureStatus};
use std::path::Path;
use std::sync::Arc;

/// Decoded bytes of one source that are kept in memory before it gets its own extent.
const SHARED: usize = 16 * 1024 * 1024;

/// Decoded bytes of a streamed payload that goes into the row store: more become an extent at
/// once.
const SMALL: usize = 4 * 1024 * 1024;

/// A source's rows.
enum Decoded {
    /// In memory.
    Held(Vec<RecordBatch>),
    /// Too many: in a file of their own.
    Written(Box<ExtentWriter>),
}

/// The extents of a batch under construction.
pub(crate) struct Stage {
    root: std::path::PathBuf,
    folder: String,
    shared: Option<ExtentWriter>,
    shared_bytes: u64,
    /// Finished files with the uncompressed bytes that went into each.
    finished: Vec<(ExtentFile, u64)>,
}

impl Stage {
    pub(crate) fn new(root: &Path, folder: String) -> Self {
        Self { root: root.to_owned(), folder, shared: None, shared_bytes: 0, finished: Vec::new() }
    }

    fn writer(&self, stored: &Arc<Schema>) -> Result<ExtentWriter, EngineError> {
        ExtentWriter::create(&self.root, &self.folder, uuid::Uuid::new_v4().to_string(), stored.clone())
    }

    /// Decodes one source. An error of the data is an outcome; only a fault of the
    /// service is an error.
    pub(crate) fn add(
        &mut self,
        input: Input,
        target: &Target,
        location: &str,
    ) -> Result<Result<DecodeReport, Outcome>, ServiceError> {
        let (report, decoded) = match self.decode(input, target, location)? {
            Ok(decoded) => decoded,
            Err(outcome) => return Ok(Err(outcome)),
        };
        self.keep(decoded, target, &report)?;
        Ok(Ok(report))
    }

    /// As [`Stage::add`], for one source that is committed at once: the bytes of a small one
    /// are given back, and no file is written.
    pub(crate) fn add_small(
        &mut self,
        input: Input,
        target: &Target,
        location: &str,
    ) -> Result<Result<(DecodeReport, Option<Vec<u8>>), Outcome>, ServiceError> {
        let (report, decoded) = match self.decode(input, target, location)? {
            Ok(decoded) => decoded,
            Err(outcome) => return Ok(Err(outcome)),
        };
        if let Decoded::Held(batches) = &decoded {
            let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
            if bytes <= SMALL && report.rows > 0 {
                let content = row_store::encode_rows(&target.stored, batches)?;
                return Ok(Ok((report, Some(content))));
            }
        }
        self.keep(decoded, target, &report)?;
        Ok(Ok((report, None)))
    }

    fn keep(&mut self, decoded: Decoded, target: &Target, report: &DecodeReport) -> Result<(), ServiceError> {
        match decoded {
            Decoded::Written(writer) => self.finished.push((writer.finish()?, report.raw_bytes)),
            Decoded::Held(batches) if batches.is_empty() => {}
            Decoded::Held(batches) => {
                if self.shared.is_none() {
                    self.shared = Some(self.writer(&target.stored)?);
                }
                if let Some(writer) = &mut self.shared {
                    for batch in &batches {
                        writer.write(batch)?;
                    }
                }
                self.shared_bytes += report.raw_bytes;
            }
        }
        Ok(())
    }

    fn decode(
        &self,
        input: Input,
        target: &Target,
        location: &str,
    ) -> Result<Result<(DecodeReport, Decoded), Outcome>, ServiceError> {
        let mut held: Vec<RecordBatch> = Vec::new();
        let mut held_bytes = 0;
        let mut own: Option<Box<ExtentWriter>> = None;
        let report = decode(input, &target.request(location), &mut |batch| {
            let sink = |error: EngineError| DecodeError::Sink(Box::new(error));
            if let Some(writer) = &mut own {
                return writer.write(&batch).map_err(sink);
            }
            held_bytes += batch.get_array_memory_size();
            held.push(batch);
            if held_bytes > SHARED {
                let mut writer = self.writer(&target.stored).map_err(sink)?;
                for batch in held.drain(..) {
                    writer.write(&batch).map_err(sink)?;
                }
                own = Some(Box::new(writer));
            }
            Ok(())
        });
        let error = match (report, own) {
            (Ok(report), Some(writer)) => return Ok(Ok((report, Decoded::Written(writer)))),
            (Ok(report), None) => return Ok(Ok((report, Decoded::Held(held)))),
            (Err(error), _) => error,
        };
        let details = with_causes(&error);
        let status = if error.is_permanent() { FailureStatus::Permanent } else { FailureStatus::Transient };
        Ok(Err(Outcome::Failed { code: error.code().to_owned(), status, details }))
    }

    /// Completes the shared extent and gives all files.
    pub(crate) fn finish(mut self) -> Result<Vec<(ExtentFile, u64)>, ServiceError> {
        if let Some(writer) = self.shared.take() {
            self.finished.push((writer.finish()?, self.shared_bytes));
        }
        Ok(self.finished)
    }
}

/// What to commit for finished files: extents with the tags and the creation time of
/// their ingestion properties, unless a tag of `ingestIfNotExists` is there already.
pub(crate) fn commit_of(
    table: TableId,
    files: Vec<(ExtentFile, u64)>,
    properties: &AdditionalProperties,
) -> Commit {
    let created = properties.creation_time.as_deref().and_then(DateTime::parse).map(|at| at.to_string());
    let extents = files
        .into_iter()
        .filter(|(file, _)| file.rows > 0)
        .map(|(file, original_size)| NewExtent {
            file,
            original_size,
            created: created.clone(),
            tags: properties.tags.clone(),
        })
        .collect();
    let unless_tagged =
        properties.ingest_if_not_exists.iter().map(|value| format!("ingest-by:{value}")).collect();
    Commit { table, extents, unless_tagged, existing: Existing::Keep }
}

/// Decodes a fetched file.
pub(crate) async fn add_file(
    stage: Stage,
    fetched: Arc<Fetched>,
    target: Arc<Target>,
    location: String,
) -> Result<(Stage, Result<DecodeReport, Outcome>), ServiceError> {
    tokio::task::spawn_blocking(move || {
        let mut stage = stage;
        let file = std::fs::File::open(&fetched.path).map_err(ServiceError::file(&fetched.path))?;
        let outcome = stage.add(Input::File(file), &target, &location)?;
        Ok((stage, outcome))
    })
    .await?
}
