//! csv, tsv, psv, scsv, sohsv (RFC 4180 quoting), tsve (backslash escapes), txt (a line a
//! record) and raw (the whole source is one value).

use crate::column::Columns;
use crate::input::{Input, RawReader, open};
use crate::origin::origins;
use crate::{DecodeError, DecodeReport, DecodeRequest, LastRecord, MAX_RECORD, Validation};
use arrow_array::RecordBatch;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use kusto_types::{DataFormat, MappingSource};
use std::borrow::Cow;
use std::io::{BufRead, Read};

type Sink<'s> = &'s mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>;

/// Reads records of fields from a stream.
pub(crate) struct Records {
    reader: Reader,
    pub(crate) input: RawReader,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    lines: bool,
    whole: bool,
    escapes: bool,
    /// The line that an escaped record is taken from.
    line: Vec<u8>,
    /// Number of the record last read, from 1.
    pub(crate) record: u64,
}

impl Records {
    pub(crate) fn new(input: RawReader, format: DataFormat) -> Self {
        let delimiter = match format {
            DataFormat::Tsv => b'\t',
            DataFormat::Scsv => b';',
            DataFormat::Psv => b'|',
            DataFormat::Sohsv => 1,
            _ => b',',
        };
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            input,
            buffer: vec![0; 64 * 1024],
            ends: vec![0; 256],
            lines: format == DataFormat::Txt,
            whole: format == DataFormat::Raw,
            escapes: format == DataFormat::Tsve,
            line: Vec::new(),
            record: 0,
        }
    }

    /// The next record's bytes and the end of each field in them; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(&[u8], &[usize])>, DecodeError> {
        if self.whole {
            return self.next_whole();
        }
        if self.lines {
            return self.next_line();
        }
        if self.escapes {
            return self.next_escaped();
        }
        let (mut written, mut fields) = (0, 0);
        let mut pending = false;
        let mut at_end = false;
        loop {
            let chunk: &[u8] = if at_end {
                // A line feed after the last byte ends an open record; inside a quoted
                // field it does not, which is how a missing quote shows.
                b"\n"
            } else {
                match self.input.fill_buf() {
                    Ok(chunk) => chunk,
                    Err(error) => return Err(self.input.fault(error)),
                }
            };
            if chunk.is_empty() {
                if !pending {
                    return Ok(None);
                }
                at_end = true;
                continue;
            }
            let (result, read, bytes, ends) =
                self.reader.read_record(chunk, &mut self.buffer[written..], &mut self.ends[fields..]);
            pending |= chunk[..read].iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
            if !at_end {
                self.input.consume(read);
            }
            written += bytes;
            fields += ends;
            match result {
                ReadRecordResult::Record => {
                    self.record += 1;
                    return Ok(Some((&self.buffer[..written], &self.ends[..fields])));
                }
                ReadRecordResult::InputEmpty if at_end => {
                    return if pending {
                        Err(DecodeError::ClosingQuote { record: self.record + 1 })
                    } else {
                        Ok(None)
                    };
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    if self.buffer.len() >= MAX_RECORD {
                        return Err(DecodeError::RecordTooLarge { record: self.record + 1 });
                    }
                    self.buffer.resize(self.buffer.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<(&[u8], &[usize])>, DecodeError> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.input).take(MAX_RECORD as u64 + 1);
            match limited.read_until(b'\n', &mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(self.input.fault(error)),
            }
            if self.buffer.len() > MAX_RECORD {
                return Err(DecodeError::RecordTooLarge { record: self.record + 1 });
            }
            while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
                self.buffer.pop();
            }
            if !self.buffer.is_empty() {
                self.record += 1;
                self.ends[0] = self.buffer.len();
                return Ok(Some((&self.buffer, &self.ends[..1])));
            }
        }
    }

    /// A line of fields between tabs; `\t`, `\n`, `\r` and `\0` are what they say, and a
    /// backslash before any other byte, a tab or a line end too, makes it part of the value.
    fn next_escaped(&mut self) -> Result<Option<(&[u8], &[usize])>, DecodeError> {
        self.line.clear();
        loop {
            let left = (MAX_RECORD + 1).saturating_sub(self.line.len());
            let read = (&mut self.input).take(left as u64).read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| self.input.fault(error))?;
            if self.line.len() > MAX_RECORD {
                return Err(DecodeError::RecordTooLarge { record: self.record + 1 });
            }
            let backslashes = match self.line.strip_suffix(b"\n") {
                Some(line) => line.iter().rev().take_while(|byte| **byte == b'\\').count(),
                None => 0,
            };
            if read > 0 && backslashes % 2 == 1 {
                continue;
            }
            if self.line.is_empty() {
                return Ok(None);
            }
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                self.line.clear();
                continue;
            }
            self.buffer.clear();
            let mut fields = 0;
            let mut bytes = line.iter();
            loop {
                match bytes.next() {
                    Some(b'\\') => self.buffer.push(match bytes.next() {
                        Some(b't') => b'\t',
                        Some(b'n') => b'\n',
                        Some(b'r') => b'\r',
                        Some(b'0') => 0,
                        Some(other) => *other,
                        None => b'\\',
                    }),
                    Some(byte) if *byte != b'\t' => self.buffer.push(*byte),
                    end => {
                        if self.ends.len() <= fields {
                            self.ends.resize(fields * 2, 0);
                        }
                        self.ends[fields] = self.buffer.len();
                        fields += 1;
                        if end.is_none() {
                            break;
                        }
                    }
                }
            }
            self.record += 1;
            return Ok(Some((&self.buffer, &self.ends[..fields])));
        }
    }

    fn next_whole(&mut self) -> Result<Option<(&[u8], &[usize])>, DecodeError> {
        if self.record > 0 {
            return Ok(None);
        }
        self.buffer.clear();
        let mut limited = (&mut self.input).take(MAX_RECORD as u64 + 1);
        if let Err(error) = limited.read_to_end(&mut self.buffer) {
            return Err(self.input.fault(error));
        }
        if self.buffer.len() > MAX_RECORD {
            return Err(DecodeError::RecordTooLarge { record: 1 });
        }
        self.record = 1;
        self.ends[0] = self.buffer.len();
        Ok(Some((&self.buffer, &self.ends[..1])))
    }
}

/// The field at a position; invalid UTF-8 is replaced, as on a cluster.
pub(crate) fn field<'r>(bytes: &'r [u8], ends: &[usize], index: usize) -> Option<Cow<'r, str>> {
    let end = *ends.get(index)?;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    Some(String::from_utf8_lossy(&bytes[start..end]))
}

pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: Sink<'_>,
) -> Result<DecodeReport, DecodeError> {
    let origins = origins(
        request,
        |index, _| index,
        |source| match source {
            MappingSource::Ordinal(ordinal) => Some(*ordinal),
            _ => None,
        },
    );
    let mut columns = Columns::new(request.schema);
    let mut records = Records::new(open(input)?, request.format);
    let mut report = DecodeReport::default();
    let mut expected = None;
    let mut number = 0;
    let forgives = request.last_record == LastRecord::MayBeInvalid;
    // The fault of a record that is forgiven if no other comes.
    let mut held: Option<DecodeError> = None;
    loop {
        let (bytes, ends) = match (records.next(), held.take()) {
            (Ok(None), fault) => {
                if let Some(fault) = fault {
                    report.drop_record(fault);
                }
                break;
            }
            (_, Some(fault)) => return Err(fault),
            // That a quote is open is known at the end of the source.
            (Err(fault @ DecodeError::ClosingQuote { .. }), None) if forgives => {
                report.drop_record(fault);
                break;
            }
            (Err(fault), None) => return Err(fault),
            (Ok(Some(record)), None) => record,
        };
        number += 1;
        let width = *expected.get_or_insert(ends.len());
        if number == 1 && request.ignore_first_record {
            report.header_only = true;
            continue;
        }
        if ends.len() != width {
            let fault = DecodeError::FieldCount { record: number, expected: width, found: ends.len() };
            match request.validation {
                Validation::Fail if forgives => {
                    held = Some(fault);
                    continue;
                }
                Validation::Fail => return Err(fault),
                Validation::DropRecord => {
                    report.drop_record(fault);
                    continue;
                }
                Validation::Ignore => {}
            }
        }
        report.header_only = false;
        for (column, origin) in columns.columns.iter_mut().zip(&origins) {
            origin.fill(column, request, number, |index| field(bytes, ends, *index));
        }
        report.rows += 1;
        if columns.row_done(bytes.len()) {
            sink(columns.finish()?)?;
        }
    }
    if !columns.is_empty() {
        sink(columns.finish()?)?;
    }
    report.raw_bytes = records.input.count();
    Ok(report)
}
