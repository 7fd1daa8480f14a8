//! What is ingested. A source says in its type how often it can be read: files, bytes
//! and what a function writes can be begun anew, a stream only once, and a blob is read
//! by the service. A retry never sends what is left of a half-read stream.

mod blob;
pub(crate) mod open;

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "serde")]
mod rows;

use crate::{Error, SecretUrl};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use kusto_types::{Compression, DataFormat, SourceId};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

pub use blob::Blob;

/// Where a writing source writes to, on a thread of its own.
pub struct Writing<'w> {
    pub(crate) out: &'w mut (dyn Write + Send),
    pub(crate) cancelled: &'w CancellationToken,
}

impl Writing<'_> {
    /// Whether nobody needs the bytes any more. Writing then fails anyway; a writer that
    /// waits for something else should look.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}

impl Write for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A one-pass reader.
pub(crate) type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// Writes the source's bytes; may be called again.
pub(crate) type Writer = Arc<dyn Fn(&mut Writing<'_>) -> io::Result<()> + Send + Sync>;
/// Writes the source's bytes once.
pub(crate) type OnceWriter = Box<dyn FnOnce(&mut Writing<'_>) -> io::Result<()> + Send>;

/// How often a source can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As often as needed: an upload that fails half-way begins anew.
    Again,
    /// Once: an upload that fails after bytes are gone is an error, not a half-sent source.
    Once,
    /// Not by the client at all.
    ByService,
}

pub(crate) enum Content {
    File(PathBuf),
    Bytes(Bytes),
    Written(Writer),
    Once(Mutex<Option<Reader>>),
    WrittenOnce(Mutex<Option<OnceWriter>>),
    /// A stream whose beginning was read and put back.
    Opened(Mutex<Option<open::Opened>>),
    Blobs(Vec<Blob>),
}

/// What is ingested, under one id.
///
/// ```
/// use kusto_ingest::{Blob, DataFormat, Source};
/// use std::io::Write;
/// // Read as often as an upload needs it.
/// let file = Source::file("rows.csv.gz");
/// let bytes = Source::bytes("1,one\n").with_format(DataFormat::Csv);
/// let written = Source::written(|out| out.write_all(b"1,one\n"));
/// // Read once.
/// let reader = Source::reader(tokio::io::empty());
/// let chunks = [Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"1,one\n"))];
/// let stream = Source::stream(futures_util::stream::iter(chunks));
/// // Read by the service.
/// let blob = Source::blob("https://account.blob.core.windows.net/c/rows.parquet?sig=...");
/// let s3 = Source::blob("https://bucket.s3.eu-west-1.amazonaws.com/rows.json?X-Amz-Signature=...");
/// let with_identity = Blob::new("https://account.blob.core.windows.net/c/rows.csv").with_managed_identity("system");
/// let several = Source::blobs([with_identity, Blob::new("https://example.com/more.csv")]);
/// ```
pub struct Source {
    pub(crate) content: Content,
    pub(crate) id: SourceId,
    pub(crate) format: Option<DataFormat>,
    pub(crate) compression: Option<Compression>,
    pub(crate) raw_size: Option<u64>,
    pub(crate) name: Option<String>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("id", &self.id)
            .field("name", &self.blob_name())
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn of(content: Content) -> Self {
        Self { content, id: SourceId::random(), format: None, compression: None, raw_size: None, name: None }
    }

    /// A local file: plain, gzip or zip, told by its first bytes.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Content::File(path.into()))
    }

    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Bytes(bytes.into()))
    }

    /// A reader that is read once.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::of(Content::Once(Mutex::new(Some(Box::pin(reader)))))
    }

    /// A stream of byte chunks that is read once.
    pub fn stream<E>(stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        Self::reader(tokio_util::io::StreamReader::new(stream.map_err(io::Error::other)))
    }

    /// Bytes that a function writes, on a thread of its own; it is called again when an
    /// upload must begin anew, and must write the same bytes.
    pub fn written(writer: impl Fn(&mut Writing<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::of(Content::Written(Arc::new(writer)))
    }

    /// Bytes that a function writes once, on a thread of its own.
    pub fn written_once(writer: impl FnOnce(&mut Writing<'_>) -> io::Result<()> + Send + 'static) -> Self {
        Self::of(Content::WrittenOnce(Mutex::new(Some(Box::new(writer)))))
    }

    /// A blob, an S3 object or any other http(s) URL that the *service* reads: nothing
    /// goes through this machine. See [`Blob`] for the credentials that a URL may carry.
    pub fn blob(url: impl Into<SecretUrl>) -> Self {
        Self::of(Content::Blobs(vec![Blob::new(url)]))
    }

    /// Several blobs as one operation.
    pub fn blobs(blobs: impl IntoIterator<Item = Blob>) -> Self {
        Self::of(Content::Blobs(blobs.into_iter().collect()))
    }

    /// The same source under this id instead of a random one: every status, trace and
    /// retry carries it.
    #[must_use]
    pub fn with_id(mut self, id: SourceId) -> Self {
        self.id = id;
        self
    }

    /// The same source with its format said, instead of told by its first bytes or name.
    #[must_use]
    pub fn with_format(mut self, format: DataFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// The same source with its compression said, instead of told by its first bytes.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// The same source with its uncompressed bytes said: the service batches by them.
    #[must_use]
    pub fn with_raw_size(mut self, bytes: u64) -> Self {
        self.raw_size = Some(bytes);
        self
    }

    /// The same source with a name: it becomes part of the blob's and tells the format.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The id.
    pub fn id(&self) -> SourceId {
        self.id
    }

    /// How often it can be read.
    pub fn reading(&self) -> Reading {
        match &self.content {
            Content::File(_) | Content::Bytes(_) | Content::Written(_) => Reading::Again,
            Content::Once(_) | Content::WrittenOnce(_) | Content::Opened(_) => Reading::Once,
            Content::Blobs(_) => Reading::ByService,
        }
    }

    /// The name that tells the format: said, or the file's.
    pub(crate) fn named(&self) -> Option<String> {
        match (&self.name, &self.content) {
            (Some(name), _) => Some(name.clone()),
            (None, Content::File(path)) => Some(path.to_string_lossy().into_owned()),
            _ => None,
        }
    }

    /// The last part of the blob's name: letters, digits, `.`, `_` and `-`.
    pub(crate) fn blob_name(&self) -> String {
        let name = match self.named() {
            Some(name) => Path::new(&name)
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            None => "stream".to_owned(),
        };
        let kept: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
            .take(200)
            .collect();
        if kept.is_empty() { "stream".to_owned() } else { kept }
    }

    /// The same source once more, when it can be read again.
    pub(crate) fn reusable(&self) -> Option<Self> {
        let content = match &self.content {
            Content::File(path) => Content::File(path.clone()),
            Content::Bytes(bytes) => Content::Bytes(bytes.clone()),
            Content::Written(writer) => Content::Written(writer.clone()),
            Content::Blobs(blobs) => Content::Blobs(blobs.clone()),
            Content::Once(_) | Content::WrittenOnce(_) | Content::Opened(_) => return None,
        };
        Some(Self { content, name: self.name.clone(), ..*self })
    }

    /// The source with an open one in its place, of which only the beginning was read.
    pub(crate) fn reopened(self, opened: open::Opened, inspected: open::Inspected) -> Self {
        Self {
            content: Content::Opened(Mutex::new(Some(opened))),
            format: Some(inspected.format),
            compression: Some(inspected.compression),
            ..self
        }
    }

    /// The bytes of a single blob as far as they are said.
    pub(crate) fn blob_size(&self) -> Option<u64> {
        match &self.content {
            Content::Blobs(blobs) => blobs.first().and_then(|blob| blob.raw_size).or(self.raw_size),
            _ => None,
        }
    }

    /// The bytes that can be known without reading: of the source as it is.
    pub(crate) fn size(&self) -> Result<Option<u64>, Error> {
        match &self.content {
            Content::File(path) => {
                Ok(Some(std::fs::metadata(path).map_err(|error| open::unreadable(path, error))?.len()))
            }
            Content::Bytes(bytes) => Ok(Some(bytes.len() as u64)),
            Content::Written(_) | Content::Once(_) | Content::WrittenOnce(_) | Content::Opened(_) => {
                Ok(self.raw_size)
            }
            Content::Blobs(_) => Ok(None),
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Blob> for Source {
    fn from(blob: Blob) -> Self {
        Self::blobs([blob])
    }
}
