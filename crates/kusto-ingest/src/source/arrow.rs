//! Record batches as a source, written as Parquet while they are sent (feature `arrow`),
//! and mappings from their schemas.

use super::{Source, Writing};
use crate::mapping::{ColumnMapping, Mapping};
use crate::{Error, ErrorKind};
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use futures_util::{Stream, StreamExt};
use kusto_types::{DataFormat, MappingKind};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::io;

/// Encoded bytes after which a row group is written: what the writer holds in memory.
const ROW_GROUP: usize = 8 * 1024 * 1024;

fn write(
    out: &mut Writing<'_>,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> io::Result<()> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(io::Error::other)?;
    for batch in batches {
        writer.write(&batch.map_err(io::Error::other)?).map_err(io::Error::other)?;
        if writer.in_progress_size() >= ROW_GROUP {
            writer.flush().map_err(io::Error::other)?;
        }
    }
    writer.close().map(|_| ()).map_err(io::Error::other)
}

impl Source {
    /// Record batches of one schema. Columns are matched by name. The batches are written
    /// as Parquet while they are sent, and once more when an upload must begin anew.
    ///
    /// # Errors
    /// When there is no batch, since nothing then tells the schema.
    ///
    /// ```
    /// # fn run(batch: arrow_array::RecordBatch) -> Result<(), kusto_ingest::Error> {
    /// use kusto_ingest::{Mapping, Source};
    /// let mapping = Mapping::of_arrow_schema(&batch.schema())?; // only where types differ from the table's
    /// let source = Source::record_batches(vec![batch])?;
    /// # let _unused = (mapping, source);
    /// # Ok(())
    /// # }
    /// ```
    pub fn record_batches(batches: Vec<RecordBatch>) -> Result<Self, Error> {
        let schema = batches
            .first()
            .map(RecordBatch::schema)
            .ok_or_else(|| Error::new(ErrorKind::Source, "there are no record batches to ingest"))?;
        let source = Self::written(move |out| write(out, schema.clone(), batches.iter().cloned().map(Ok)));
        Ok(source.with_format(DataFormat::Parquet))
    }

    /// The batches of a reader, written as Parquet while they are sent. They are read once.
    ///
    /// ```
    /// # fn run(batch: arrow_array::RecordBatch) {
    /// let schema = batch.schema();
    /// let reader = arrow_array::RecordBatchIterator::new([Ok(batch)], schema);
    /// let source = kusto_ingest::Source::record_batch_reader(reader);
    /// # }
    /// ```
    pub fn record_batch_reader(reader: impl RecordBatchReader + Send + 'static) -> Self {
        let schema = reader.schema();
        Self::written_once(move |out| write(out, schema, reader)).with_format(DataFormat::Parquet)
    }

    /// The batches of a stream, written as Parquet while they are sent. They are read once.
    ///
    /// ```
    /// # fn run(batch: arrow_array::RecordBatch) {
    /// let schema = batch.schema();
    /// let batches = futures_util::stream::iter([Ok::<_, arrow_schema::ArrowError>(batch)]);
    /// let source = kusto_ingest::Source::record_batch_stream(schema, batches);
    /// # }
    /// ```
    pub fn record_batch_stream(
        schema: SchemaRef,
        stream: impl Stream<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
    ) -> Self {
        let source = Self::written_once(move |out| {
            // The thread that writes belongs to the runtime that the upload runs on.
            let runtime = tokio::runtime::Handle::current();
            let cancelled = out.cancelled.clone();
            let mut stream = Box::pin(stream);
            let batches = std::iter::from_fn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = cancelled.cancelled() => {
                            Some(Err(ArrowError::from(io::Error::from(io::ErrorKind::BrokenPipe))))
                        }
                        batch = stream.next() => batch,
                    }
                })
            });
            write(out, schema, batches)
        });
        source.with_format(DataFormat::Parquet)
    }
}

/// The Kusto type that holds values of an Arrow type; `dynamic` for nested ones.
fn kusto_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => "int",
        DataType::Int64 | DataType::UInt32 => "long",
        // Values over 2^63 have no place in a long.
        DataType::UInt64 => "decimal",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "real",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "decimal",
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => "datetime",
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => "timespan",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => "string",
        DataType::Dictionary(_, value) => kusto_type(value),
        _ => "dynamic",
    }
}

impl Mapping {
    /// An inline Parquet mapping that takes each column of an Arrow schema by its name and
    /// says the Kusto type that holds it.
    ///
    /// # Errors
    /// When the schema has no column, or two of one name.
    pub fn of_arrow_schema(schema: &Schema) -> Result<Self, Error> {
        let columns = schema.fields().iter().map(|field| {
            let path = format!("$['{}']", field.name().replace('\\', "\\\\").replace('\'', "\\'"));
            ColumnMapping::path(field.name().as_str(), path).typed(kusto_type(field.data_type()))
        });
        Self::inline(MappingKind::Parquet, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Field, TimeUnit};

    #[test]
    fn a_schema_becomes_a_mapping_that_the_service_reads() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("at time", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
        ]);
        let Mapping::Inline { json, .. } = Mapping::of_arrow_schema(&schema).unwrap() else { panic!() };
        let read = kusto_types::IngestionMapping::parse(MappingKind::Parquet, &json).unwrap();
        let types: Vec<&str> =
            read.elements.iter().map(|element| element.column_type.unwrap().kql_name()).collect();
        assert_eq!(types, ["long", "datetime", "dynamic"]);
        assert!(Mapping::of_arrow_schema(&Schema::empty()).is_err());
    }
}
