//! Where bytes come from: a file or memory, gunzipped when the first bytes say so.

use crate::DecodeError;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use kusto_types::{Compression, sniff_compression};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};

/// A source of bytes.
#[derive(Debug)]
pub enum Input {
    /// An open file, read from its beginning.
    File(File),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// A reader of uncompressed bytes that counts them and knows whether a read error is
/// the decompressor's.
pub struct RawReader {
    inner: Box<dyn BufRead>,
    compressed: bool,
    count: u64,
}

impl RawReader {
    /// Bytes given out so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The decode error that a read error stands for.
    pub(crate) fn fault(&self, error: std::io::Error) -> DecodeError {
        if self.compressed {
            DecodeError::Compression { bytes: self.count, source: error }
        } else {
            DecodeError::Io(error)
        }
    }
}

impl Read for RawReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

impl BufRead for RawReader {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.inner.consume(amount);
    }
}

/// Opens the uncompressed bytes of a source, past a UTF-8 byte order mark.
pub fn open(input: Input) -> Result<RawReader, DecodeError> {
    const BUFFER: usize = 128 * 1024;
    let mut head = [0u8; 4];
    let (length, reader): (usize, Box<dyn Read>) = match input {
        Input::File(mut file) => {
            file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
            let length = read_head(&mut file, &mut head).map_err(DecodeError::Io)?;
            file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
            (length, Box::new(file))
        }
        Input::Bytes(bytes) => {
            let length = bytes.len().min(4);
            head[..length].copy_from_slice(&bytes[..length]);
            (length, Box::new(Cursor::new(bytes)))
        }
    };
    if length == 0 {
        return Err(DecodeError::Empty);
    }
    let (inner, compressed): (Box<dyn BufRead>, bool) = match sniff_compression(&head[..length]) {
        Compression::Gzip => (
            Box::new(BufReader::with_capacity(
                BUFFER,
                MultiGzDecoder::new(BufReader::with_capacity(BUFFER, reader)),
            )),
            true,
        ),
        // Whoever takes archives has unpacked this one.
        Compression::Zip => {
            return Err(DecodeError::InvalidArchive("an archive is not expected here".to_owned()));
        }
        _ => (Box::new(BufReader::with_capacity(BUFFER, reader)), false),
    };
    let mut reader = RawReader { inner, compressed, count: 0 };
    let start = match reader.fill_buf() {
        Ok(start) => start,
        Err(error) => return Err(reader.fault(error)),
    };
    if start.is_empty() {
        return Err(DecodeError::Empty);
    }
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return Err(DecodeError::Malformed {
            record: 1,
            problem: "the source is UTF-16; text must be UTF-8".to_owned(),
        });
    }
    if start.starts_with(&[0xef, 0xbb, 0xbf]) {
        reader.consume(3);
    }
    Ok(reader)
}

/// Most bytes of an unpacked file: what a cluster takes of one source.
pub(crate) const MAX_FILE: u64 = 6 * 1024 * 1024 * 1024;

/// The input as a file that can be read from any place: a gzip stream is unpacked into a
/// file without a name.
pub(crate) fn seekable(mut input: Input) -> Result<Input, DecodeError> {
    let mut head = [0u8; 4];
    let length = match &mut input {
        Input::File(file) => {
            file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
            let length = read_head(file, &mut head).map_err(DecodeError::Io)?;
            file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
            length
        }
        Input::Bytes(bytes) => {
            let length = bytes.len().min(4);
            head[..length].copy_from_slice(&bytes[..length]);
            length
        }
    };
    if sniff_compression(&head[..length]) != Compression::Gzip {
        return Ok(input);
    }
    let mut reader = open(input)?;
    let mut file = tempfile::tempfile().map_err(DecodeError::Io)?;
    let size = match std::io::copy(&mut (&mut reader).take(MAX_FILE + 1), &mut file) {
        Ok(size) => size,
        Err(error) => return Err(reader.fault(error)),
    };
    if size > MAX_FILE {
        return Err(DecodeError::InvalidArchive(format!("it has more than {MAX_FILE} bytes unpacked")));
    }
    file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
    Ok(Input::File(file))
}

fn read_head(file: &mut File, head: &mut [u8; 4]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
