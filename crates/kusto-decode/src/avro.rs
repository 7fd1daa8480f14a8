//! Avro object container files, a block after the other; gunzipped when the first bytes say
//! so. `avro` and `apacheavro` are read alike, with logical types.

use crate::column::Columns;
use crate::input::{Input, RawReader, open};
use crate::{DecodeError, DecodeReport, DecodeRequest, record_batch};
use arrow_array::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use std::collections::VecDeque;
use std::io::{BufRead, Read};

/// Rows that are read at once.
const ROWS: usize = 4096;

/// Remembers the last bytes that were read. A file ends with the marker that its header
/// names; the reader takes the end of a cut file for the end of the rows.
struct Tail<'r> {
    inner: &'r mut RawReader,
    last: VecDeque<u8>,
}

/// Bytes of a marker.
const MARKER: usize = 16;

impl Tail<'_> {
    fn ends_with(&self, marker: [u8; MARKER]) -> bool {
        self.last.iter().eq(&marker)
    }
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Tail<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        if let Ok(bytes) = self.inner.fill_buf() {
            let read = &bytes[..amount.min(bytes.len())];
            self.last.extend(&read[read.len().saturating_sub(MARKER)..]);
            self.last.drain(..self.last.len().saturating_sub(MARKER));
        }
        self.inner.consume(amount);
    }
}

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
    let whole = {
        let mut tail = Tail { inner: &mut raw, last: VecDeque::with_capacity(2 * MARKER) };
        let reader = ReaderBuilder::new().with_batch_size(ROWS).build(&mut tail).map_err(wrong)?;
        let marker = reader.avro_header().sync();
        for batch in reader {
            let batch = batch.map_err(wrong)?;
            record_batch::push(&mut columns, &batch, request, report.rows);
            report.rows += batch.num_rows() as u64;
            if !columns.is_empty() {
                sink(columns.finish()?)?;
            }
        }
        tail.ends_with(marker)
    };
    if !whole {
        return Err(DecodeError::WrongFormat {
            format: request.format,
            problem: format!("it is cut off after {} rows", report.rows),
        });
    }
    report.raw_bytes = raw.count();
    Ok(report)
}
