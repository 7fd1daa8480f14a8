//! Cuts a stream into JSON records: by lines, or by the braces of values that stand in
//! an array or one after another. Looks only at quotes and brackets; whether a record
//! is valid JSON is the parser's business.

use crate::input::RawReader;
use crate::{DecodeError, MAX_RECORD};
use std::io::{BufRead, Read};

/// Cuts records by lines (`json`).
pub(crate) struct Lines {
    pub(crate) input: RawReader,
    buffer: Vec<u8>,
    pub(crate) record: u64,
}

impl Lines {
    pub(crate) fn new(input: RawReader) -> Self {
        Self { input, buffer: Vec::new(), record: 0 }
    }

    /// The next line that is not blank.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, DecodeError> {
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
            if !self.buffer.trim_ascii().is_empty() {
                self.record += 1;
                return Ok(Some(self.buffer.trim_ascii()));
            }
        }
    }
}

/// Cuts records by their brackets (`multijson`, `singlejson`).
pub(crate) struct Values {
    pub(crate) input: RawReader,
    buffer: Vec<u8>,
    in_array: bool,
    array_closed: bool,
    pub(crate) record: u64,
}

impl Values {
    pub(crate) fn new(input: RawReader) -> Self {
        Self { input, buffer: Vec::new(), in_array: false, array_closed: false, record: 0 }
    }

    fn cut_off(&self, problem: &str) -> DecodeError {
        DecodeError::CutOff { record: self.record + 1, problem: problem.to_owned() }
    }

    fn malformed(&self, problem: &str) -> DecodeError {
        DecodeError::Malformed { record: self.record + 1, problem: problem.to_owned() }
    }

    /// The next object.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        self.buffer.clear();
        let (mut depth, mut in_string, mut escaped, mut done) = (0usize, false, false, false);
        while !done {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) => return Err(self.input.fault(error)),
            };
            if chunk.is_empty() {
                if depth > 0 {
                    return Err(self.cut_off("the source ends inside a JSON object"));
                }
                if self.in_array && !self.array_closed {
                    return Err(self.cut_off("the source ends before the ] of its array"));
                }
                return Ok(None);
            }
            let mut used = 0;
            let mut start = if depth > 0 { Some(0) } else { None };
            let mut fault = None;
            for &byte in chunk {
                used += 1;
                if depth == 0 {
                    match byte {
                        b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
                        b'[' if !self.in_array && self.record == 0 => self.in_array = true,
                        b']' if self.in_array && !self.array_closed => self.array_closed = true,
                        b'{' if !self.array_closed => {
                            depth = 1;
                            start = Some(used - 1);
                        }
                        _ => {
                            fault = Some("expected a JSON object");
                            break;
                        }
                    }
                } else if in_string {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_string = false,
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => {
                            depth -= 1;
                            if depth == 0 {
                                done = true;
                                break;
                            }
                        }
                        _ => {}
                    }
                }
            }
            if let Some(start) = start {
                self.buffer.extend_from_slice(&chunk[start..used]);
            }
            self.input.consume(used);
            if let Some(fault) = fault {
                return Err(self.malformed(fault));
            }
            if self.buffer.len() > MAX_RECORD {
                return Err(DecodeError::RecordTooLarge { record: self.record + 1 });
            }
        }
        self.record += 1;
        Ok(Some(&self.buffer))
    }
}
