//! Zip archives: each file in one is read like a source of its own, one after the other.
//! A file is unpacked to the disk first, since a damaged one must not leave half its rows.

use crate::input::MAX_FILE;
use crate::{DecodeError, DecodeReport, DecodeRequest, Input};
use arrow_array::RecordBatch;
use kusto_types::{Compression, sniff_compression};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use zip::ZipArchive;

fn invalid(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::InvalidArchive(error.to_string())
}

/// Whether the bytes are an archive's; the input stands at its beginning afterwards.
pub(crate) fn is_archive(input: &mut Input) -> Result<bool, DecodeError> {
    let mut head = Vec::with_capacity(4);
    match input {
        Input::File(file) => {
            file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
            file.take(4).read_to_end(&mut head).map_err(DecodeError::Io)?;
            file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
        }
        Input::Bytes(bytes) => head.extend_from_slice(&bytes[..bytes.len().min(4)]),
    }
    // An archive of no files begins with its end.
    Ok(sniff_compression(&head) == Compression::Zip || head == b"PK\x05\x06")
}

trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

fn open(input: Input) -> Result<ZipArchive<Box<dyn Bytes>>, DecodeError> {
    let bytes: Box<dyn Bytes> = match input {
        Input::File(file) => Box::new(std::io::BufReader::new(file)),
        Input::Bytes(bytes) => Box::new(Cursor::new(bytes)),
    };
    ZipArchive::new(bytes).map_err(invalid)
}

/// The numbers of the files that are wanted: no folders, nothing that a Mac adds.
fn wanted(
    archive: &ZipArchive<Box<dyn Bytes>>,
    pattern: Option<&regex::Regex>,
) -> Result<Vec<usize>, DecodeError> {
    let is_wanted = |name: &str| {
        !name.ends_with('/')
            && !name.starts_with("__MACOSX/")
            && pattern.is_none_or(|pattern| pattern.is_match(name))
    };
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let name = archive.name_for_index(index).transpose().map_err(invalid)?;
        if name.is_some_and(|name| is_wanted(&name)) {
            found.push(index);
        }
    }
    if found.is_empty() { Err(DecodeError::EmptyArchive) } else { Ok(found) }
}

/// A file of the archive, unpacked into a file without a name, and its name there.
fn unpack(archive: &mut ZipArchive<Box<dyn Bytes>>, index: usize) -> Result<(String, Input), DecodeError> {
    let entry = archive.by_index(index).map_err(invalid)?;
    let name = entry.name().map_err(invalid)?.into_owned();
    let mut file: File = tempfile::tempfile().map_err(DecodeError::Io)?;
    let size = std::io::copy(&mut entry.take(MAX_FILE + 1), &mut file)
        .map_err(|error| invalid(format!("{name}: {error}")))?;
    if size > MAX_FILE {
        return Err(invalid(format!("{name} has more than {MAX_FILE} bytes")));
    }
    file.seek(SeekFrom::Start(0)).map_err(DecodeError::Io)?;
    Ok((name, Input::File(file)))
}

/// The first file of an archive, or the input when it is none.
pub(crate) fn first(mut input: Input) -> Result<Input, DecodeError> {
    if !is_archive(&mut input)? {
        return Ok(input);
    }
    let mut archive = open(input)?;
    let first = wanted(&archive, None)?[0];
    Ok(unpack(&mut archive, first)?.1)
}

/// Decodes every file of an archive that the request's pattern takes.
pub(crate) fn decode(
    input: Input,
    request: &DecodeRequest<'_>,
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), DecodeError>,
) -> Result<DecodeReport, DecodeError> {
    let mut archive = open(input)?;
    let mut total = DecodeReport { header_only: true, ..DecodeReport::default() };
    for index in wanted(&archive, request.zip_pattern)? {
        let (name, mut file) = unpack(&mut archive, index)?;
        let within = |fault| DecodeError::InArchive { file: name.clone(), fault: Box::new(fault) };
        if is_archive(&mut file)? {
            return Err(within(invalid("an archive in an archive is not read")));
        }
        let report = crate::decode_one(file, request, sink).map_err(within)?;
        total.rows += report.rows;
        total.dropped += report.dropped;
        total.raw_bytes += report.raw_bytes;
        total.first_fault = total.first_fault.or(report.first_fault);
        total.header_only &= report.header_only;
    }
    Ok(total)
}
