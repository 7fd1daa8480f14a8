//! Bytes + format + mapping → Arrow record batches of a table's schema.
//!
//! Kusto's rules for values: one that does not fit its column becomes null (for a
//! string column the empty text), it does not fail the source. Faults of structure
//! (a quote that never closes, rows of different widths, a cut gzip stream) do.
//! Streams: memory is bounded by one batch and one record.

mod archive;
mod avro;
mod column;
mod delimited;
mod error;
mod infer;
mod input;
mod json;
mod json_frame;
mod orc;
mod orc_tail;
mod origin;
mod parquet;
mod record_batch;
mod request;
mod transform;
mod w3c;

pub use error::DecodeError;
pub use infer::{InferError, Inferred, infer};
pub use input::{Input, open};
pub use request::{DecodeReport, DecodeRequest, LastRecord, Validation};

use arrow_array::RecordBatch;
use kusto_types::DataFormat;

/// Most bytes of one record, as on a cluster.
pub const MAX_RECORD: usize = 64 * 1024 * 1024;
/// Most bytes of one string or dynamic value, as on a cluster.
pub const MAX_VALUE: usize = 1024 * 1024;

/// Decodes a whole source and hands each batch to `sink`, in the order of the source.
/// A source without a single record is an error, as on a cluster.
pub fn decode(
    mut input: Input,
    request: &DecodeRequest<'_>,
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>,
) -> Result<DecodeReport, DecodeError> {
    request.check()?;
    guarded(request.format, || {
        if archive::is_archive(&mut input)? {
            return archive::decode(input, request, sink);
        }
        decode_one(input, request, sink)
    })
}

/// Runs a reader. The library of a binary format may panic over a damaged file: that is the
/// file's fault alone, and nothing of the reader is used afterwards.
fn guarded<T>(format: DataFormat, read: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    caught.unwrap_or_else(|_| {
        Err(DecodeError::WrongFormat { format, problem: "it makes the reader of the format fail".to_owned() })
    })
}

/// Decodes a source that is no archive.
fn decode_one(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>,
) -> Result<DecodeReport, DecodeError> {
    let report = match request.format {
        DataFormat::Csv
        | DataFormat::Tsv
        | DataFormat::Tsve
        | DataFormat::Scsv
        | DataFormat::Sohsv
        | DataFormat::Psv
        | DataFormat::Txt
        | DataFormat::Raw => delimited::decode(input, request, sink)?,
        DataFormat::Json | DataFormat::MultiJson | DataFormat::SingleJson => {
            json::decode(input, request, sink)?
        }
        DataFormat::Avro | DataFormat::ApacheAvro => avro::decode(input, request, sink)?,
        DataFormat::Parquet => parquet::decode(input, request, sink)?,
        DataFormat::Orc => orc::decode(input, request, sink)?,
        DataFormat::W3cLogFile => w3c::decode(input, request, sink)?,
        other => return Err(DecodeError::FormatNotSupported(other)),
    };
    if report.rows == 0 && !report.header_only {
        return Err(DecodeError::NoRecords { first_fault: report.first_fault.clone() });
    }
    Ok(report)
}
