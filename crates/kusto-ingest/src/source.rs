//! What is ingested. Every source can be opened again, so that a retry never sends one
//! that is half read.

use crate::{Error, ErrorKind, SecretUrl};
use bytes::Bytes;
use kusto_types::{Compression, DataFormat, sniff_compression};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

/// A source that can be read any number of times.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// A local file.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
    /// A blob that the service can read: nothing is uploaded.
    Blob {
        /// Its URL with its credential.
        url: SecretUrl,
        /// Its uncompressed bytes, if known.
        raw_size: Option<u64>,
    },
}

/// What was found out about a source before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspected {
    pub(crate) format: DataFormat,
    pub(crate) compression: Compression,
    pub(crate) size: Option<u64>,
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("{} cannot be read", path.display())).caused_by(error)
}

impl Source {
    /// Opens the bytes, from the beginning.
    pub(crate) fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
        match self {
            Self::File(path) => {
                Ok(Box::new(std::fs::File::open(path).map_err(|error| unreadable(path, error))?))
            }
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Self::Blob { .. } => Err(Error::new(ErrorKind::Usage, "a blob is not read by the client")),
        }
    }

    /// A name for the blob, from the file's.
    pub(crate) fn name(&self) -> String {
        let name = match self {
            Self::File(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Self::Bytes(_) | Self::Blob { .. } => "stream".to_owned(),
        };
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
            .take(200)
            .collect()
    }

    /// Settles format and compression: what the caller said, else the first bytes, else
    /// the name, else CSV. A `.json` name means multijson, which takes records of one
    /// line and of several, as the official clients do.
    pub(crate) fn inspect(&self, said: Option<DataFormat>) -> Result<Inspected, Error> {
        if let Self::Blob { url, raw_size } = self {
            let path = url.without_secrets();
            let format = said.or_else(|| DataFormat::from_path(&path)).unwrap_or(DataFormat::Csv);
            return Ok(Inspected { format, compression: Compression::from_path(&path), size: *raw_size });
        }
        let mut head = Vec::with_capacity(8);
        let path = match self {
            Self::File(path) => Some(path.as_path()),
            _ => None,
        };
        self.open()?.take(8).read_to_end(&mut head).map_err(|error| match path {
            Some(path) => unreadable(path, error),
            None => Error::new(ErrorKind::Source, "the bytes cannot be read").caused_by(error),
        })?;
        if head.is_empty() {
            let what = path.map_or_else(|| "the buffer".to_owned(), |path| path.display().to_string());
            return Err(Error::new(
                ErrorKind::Source,
                format!("{what} is empty: there is nothing to ingest"),
            ));
        }
        let size = match self {
            Self::File(path) => Some(std::fs::metadata(path).map_err(|error| unreadable(path, error))?.len()),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Blob { .. } => None,
        };
        let named = path.and_then(|path| DataFormat::from_path(&path.to_string_lossy()));
        let by_name = if named == Some(DataFormat::Json) { Some(DataFormat::MultiJson) } else { named };
        let format = said.or_else(|| DataFormat::from_magic(&head)).or(by_name).unwrap_or(DataFormat::Csv);
        Ok(Inspected { format, compression: sniff_compression(&head), size })
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}
