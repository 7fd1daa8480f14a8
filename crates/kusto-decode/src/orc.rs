//! ORC files, a stripe after the other. `orc-rust` stands on an older Arrow than the rest of
//! this project, so that its batches are carried over by Arrow's own stream format.

use crate::column::Columns;
use crate::input::{Input, seekable};
use crate::{DecodeError, DecodeReport, DecodeRequest, record_batch};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_of_orc::datatypes as old;
use bytes::Bytes;
use kusto_types::{DataFormat, DateTime};
use orc_rust::ArrowReaderBuilder;
use orc_rust::arrow_reader::ArrowReader;
use orc_rust::reader::ChunkReader;
use std::sync::Arc;

type Sink<'s> = &'s mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>;

/// A time as a decimal: seconds with nine places, which has room for every time that a file
/// can have. A time of 64 bits in nanoseconds ends in 2262.
const TIME: old::DataType = old::DataType::Decimal128(38, 9);

fn wrong(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::WrongFormat { format: DataFormat::Orc, problem: error.to_string() }
}

pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: Sink<'_>,
) -> Result<DecodeReport, DecodeError> {
    match seekable(input)? {
        Input::File(file) => read(file, request, sink),
        Input::Bytes(bytes) => read(bytes, request, sink),
    }
}

/// The columns of a file and their types.
pub(crate) fn schema(input: Input) -> Result<arrow_schema::SchemaRef, DecodeError> {
    let schema = match seekable(input)? {
        Input::File(file) => builder(file)?.schema(),
        Input::Bytes(bytes) => builder(bytes)?.schema(),
    };
    let empty = arrow_of_orc::record_batch::RecordBatch::new_empty(schema);
    Ok(carry_over(&empty)?.schema())
}

/// A source of which no more is asked for than it has: lengths are numbers of the file, and
/// the library asks for memory of any length.
struct Bounded<R>(R);

impl<R: ChunkReader> ChunkReader for Bounded<R> {
    type T = R::T;

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn get_read(&self, offset: u64) -> std::io::Result<Self::T> {
        self.0.get_read(offset)
    }

    fn get_bytes(&self, offset: u64, length: u64) -> std::io::Result<Bytes> {
        match offset.checked_add(length) {
            Some(end) if end <= self.len() => self.0.get_bytes(offset, length),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn builder<R: ChunkReader>(source: R) -> Result<ArrowReaderBuilder<Bounded<R>>, DecodeError> {
    let source = Bounded(source);
    if source.len() == 0 {
        return Err(DecodeError::Empty);
    }
    crate::orc_tail::check(&source).map_err(wrong)?;
    ArrowReaderBuilder::try_new(source).map_err(wrong)
}

/// The reader, and whether each column is one of times.
fn reader<R: ChunkReader>(source: R) -> Result<(ArrowReader<Bounded<R>>, Vec<bool>), DecodeError> {
    let builder = builder(source)?;
    let schema = builder.schema();
    let is_time = |field: &Arc<old::Field>| matches!(field.data_type(), old::DataType::Timestamp(_, _));
    let times = schema.fields().iter().map(is_time).collect();
    let fields: Vec<old::FieldRef> = schema
        .fields()
        .iter()
        .map(|field| match is_time(field) {
            true => Arc::new(field.as_ref().clone().with_data_type(TIME)),
            false => field.clone(),
        })
        .collect();
    let schema = old::Schema::new_with_metadata(fields, schema.metadata().clone());
    Ok((builder.with_schema(Arc::new(schema)).build(), times))
}

fn read<R: ChunkReader>(
    source: R,
    request: &DecodeRequest<'_>,
    sink: Sink<'_>,
) -> Result<DecodeReport, DecodeError> {
    let mut report = DecodeReport { raw_bytes: source.len(), ..DecodeReport::default() };
    let (reader, times) = reader(source)?;
    let mut columns = Columns::new(request.schema);
    for batch in reader {
        let batch = with_times(&carry_over(&batch.map_err(wrong)?)?, &times)?;
        record_batch::push(&mut columns, &batch, request, report.rows);
        report.rows += batch.num_rows() as u64;
        if !columns.is_empty() {
            sink(columns.finish()?)?;
        }
    }
    Ok(report)
}

/// A batch in the Arrow of this project.
fn carry_over(batch: &arrow_of_orc::record_batch::RecordBatch) -> Result<RecordBatch, DecodeError> {
    let mut bytes = Vec::with_capacity(batch.get_array_memory_size());
    let mut writer =
        arrow_of_orc::ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).map_err(wrong)?;
    writer.write(batch).and_then(|()| writer.finish()).map_err(wrong)?;
    drop(writer);
    let mut reader = arrow_ipc::reader::StreamReader::try_new(bytes.as_slice(), None).map_err(wrong)?;
    let schema = reader.schema();
    reader
        .next()
        .transpose()
        .map(|batch| batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))
        .map_err(wrong)
}

/// The batch with its times as text, which every column type reads.
fn with_times(batch: &RecordBatch, times: &[bool]) -> Result<RecordBatch, DecodeError> {
    let as_text = |column: &ArrayRef| -> ArrayRef {
        let nanos = arrow_array::cast::as_primitive_array::<arrow_array::types::Decimal128Type>(column);
        Arc::new(
            nanos
                .iter()
                .map(|nanos| nanos.and_then(DateTime::from_unix_nanos).map(|at| at.to_string()))
                .collect::<StringArray>(),
        )
    };
    let schema = batch.schema();
    RecordBatch::try_from_iter(batch.columns().iter().zip(times).zip(schema.fields()).map(
        |((column, is_time), field)| {
            (field.name().as_str(), if *is_time { as_text(column) } else { column.clone() })
        },
    ))
    .map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_there_is() {
        let source = Bounded(Bytes::from_static(b"abc"));
        assert_eq!(source.get_bytes(1, 2).unwrap(), "bc");
        for (offset, length) in [(0, 4), (3, 1), (0, 1 << 50), (u64::MAX, 2)] {
            source.get_bytes(offset, length).unwrap_err();
        }
    }
}
