//! Parquet files, a row group after the other.

use crate::column::Columns;
use crate::input::{Input, seekable};
use crate::{DecodeError, DecodeReport, DecodeRequest, record_batch};
use arrow_array::RecordBatch;
use kusto_types::DataFormat;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

type Sink<'s> = &'s mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>;

fn wrong(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::WrongFormat { format: DataFormat::Parquet, problem: error.to_string() }
}

/// Opens a Parquet file, with its size; one in a gzip stream is unpacked first.
pub(crate) fn reader(input: Input) -> Result<(ParquetRecordBatchReader, u64), DecodeError> {
    let (reader, size) = match seekable(input)? {
        Input::File(file) => {
            let size = file.metadata().map_err(DecodeError::Io)?.len();
            if size == 0 {
                return Err(DecodeError::Empty);
            }
            (
                ParquetRecordBatchReaderBuilder::try_new(file).map_err(wrong)?.with_batch_size(8192).build(),
                size,
            )
        }
        Input::Bytes(bytes) => {
            if bytes.is_empty() {
                return Err(DecodeError::Empty);
            }
            let size = bytes.len() as u64;
            (
                ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(wrong)?.with_batch_size(8192).build(),
                size,
            )
        }
    };
    Ok((reader.map_err(wrong)?, size))
}

pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: Sink<'_>,
) -> Result<DecodeReport, DecodeError> {
    let (reader, size) = reader(input)?;
    let mut report = DecodeReport { raw_bytes: size, ..DecodeReport::default() };
    let mut columns = Columns::new(request.schema);
    for batch in reader {
        let batch = batch.map_err(wrong)?;
        record_batch::push(&mut columns, &batch, request, report.rows);
        report.rows += batch.num_rows() as u64;
        if !columns.is_empty() {
            sink(columns.finish()?)?;
        }
    }
    Ok(report)
}
