//! Avro object container files, a block after the other; gunzipped when the first bytes say
//! so. `avro` and `apacheavro` are read alike, with logical types.

use crate::column::Columns;
use crate::input::{Input, open};
use crate::{DecodeError, DecodeReport, DecodeRequest, record_batch};
use arrow_array::RecordBatch;
use arrow_avro::reader::ReaderBuilder;

/// Rows that are read at once.
const ROWS: usize = 4096;

pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>,
) -> Result<DecodeReport, DecodeError> {
    let wrong = |error: arrow_schema::ArrowError| DecodeError::WrongFormat {
        format: request.format,
        problem: error.to_string(),
    };
    let mut raw = open(input)?;
    let mut report = DecodeReport::default();
    let mut columns = Columns::new(request.schema);
    {
        let reader = ReaderBuilder::new().with_batch_size(ROWS).build(&mut raw).map_err(wrong)?;
        for batch in reader {
            let batch = batch.map_err(wrong)?;
            record_batch::push(&mut columns, &batch, request, report.rows);
            report.rows += batch.num_rows() as u64;
            if !columns.is_empty() {
                sink(columns.finish()?)?;
            }
        }
    }
    report.raw_bytes = raw.count();
    Ok(report)
}
