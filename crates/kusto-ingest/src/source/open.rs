//! Opens a source, at its beginning or further on, and finds out what it holds.

use super::{Content, OnceWriter, Reader, Source, Writer, Writing};
use crate::{Error, ErrorKind};
use kusto_types::{Compression, DataFormat, sniff_compression};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("{} cannot be read", path.display())).caused_by(error)
}

/// Bytes that tell formats and compressions.
const HEAD: usize = 8;

/// An open source.
pub(crate) struct Opened {
    /// Its first bytes, read already.
    head: Vec<u8>,
    rest: Rest,
}

enum Rest {
    Nothing,
    Read(Box<dyn Read + Send>),
    Async(Reader),
    Write(Writer),
    WriteOnce(OnceWriter),
}

/// What was found out about a source before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inspected {
    pub(crate) format: DataFormat,
    pub(crate) compression: Compression,
}

impl Inspected {
    /// Whether the client gzips it on the way.
    pub(crate) fn gains_by_gzip(self) -> bool {
        self.compression == Compression::None && self.format.is_compressible()
    }
}

fn gone() -> Error {
    Error::new(
        ErrorKind::Source,
        "the stream is used up: it can be read only once, and part of it was sent already; give a source that can be read again",
    )
}

impl Source {
    /// Opens the source at a byte of it.
    pub(crate) async fn open_at(&self, offset: u64) -> Result<Opened, Error> {
        let once = |rest| if offset == 0 { Ok(Opened { head: Vec::new(), rest }) } else { Err(gone()) };
        let mut opened = match &self.content {
            Content::File(path) => {
                let path = path.clone();
                let open = move || {
                    let mut file = std::fs::File::open(&path).map_err(|error| unreadable(&path, error))?;
                    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                        return Err(Error::new(
                            ErrorKind::Source,
                            format!("{} is a folder; give its files one by one", path.display()),
                        ));
                    }
                    if offset > 0 {
                        file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(&path, error))?;
                    }
                    let mut head = Vec::with_capacity(HEAD);
                    (&mut file)
                        .take(HEAD as u64)
                        .read_to_end(&mut head)
                        .map_err(|error| unreadable(&path, error))?;
                    Ok(Opened { head, rest: Rest::Read(Box::new(file)) })
                };
                return tokio::task::spawn_blocking(open).await.map_err(|error| {
                    Error::new(ErrorKind::Source, "opening the source failed").caused_by(error)
                })?;
            }
            Content::Bytes(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let bytes = bytes.slice(from..);
                let head = bytes[..HEAD.min(bytes.len())].to_vec();
                let rest = bytes.slice(head.len()..);
                return Ok(Opened { head, rest: Rest::Read(Box::new(Cursor::new(rest))) });
            }
            Content::Written(writer) => {
                let writer = writer.clone();
                let skipping: Writer = std::sync::Arc::new(move |writing: &mut Writing<'_>| {
                    let cancelled = writing.cancelled;
                    let mut skip = Skip { out: writing.out, left: offset };
                    writer(&mut Writing { out: &mut skip, cancelled })
                });
                return Ok(Opened { head: Vec::new(), rest: Rest::Write(skipping) });
            }
            Content::WrittenOnce(writer) => {
                let writer = writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                return once(Rest::WriteOnce(writer.ok_or_else(gone)?));
            }
            Content::Opened(opened) => {
                let opened = opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                return if offset == 0 { opened.ok_or_else(gone) } else { Err(gone()) };
            }
            Content::Once(reader) => {
                let reader = reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                once(Rest::Async(reader.ok_or_else(gone)?))?
            }
            Content::Blobs(_) => {
                return Err(Error::new(ErrorKind::Usage, "a blob is not read by the client"));
            }
        };
        if let Rest::Async(reader) = &mut opened.rest {
            let mut head = [0; HEAD];
            let mut filled = 0;
            while filled < HEAD {
                let read = reader.read(&mut head[filled..]).await.map_err(|error| {
                    Error::new(ErrorKind::Source, "the stream cannot be read").caused_by(error)
                })?;
                if read == 0 {
                    opened.rest = Rest::Nothing;
                    break;
                }
                filled += read;
            }
            opened.head = head[..filled].to_vec();
        }
        Ok(opened)
    }

    /// Settles format and compression: what the caller said, else the first bytes, else
    /// the name, else CSV. A `.json` name means multijson, which takes records of one
    /// line and of several, as the official clients do.
    pub(crate) fn inspect(&self, opened: &Opened, said: Option<DataFormat>) -> Result<Inspected, Error> {
        let written = matches!(opened.rest, Rest::Write(_) | Rest::WriteOnce(_));
        if opened.head.is_empty() && !written {
            let what = self.named().unwrap_or_else(|| "the source".to_owned());
            return Err(Error::new(
                ErrorKind::Source,
                format!("{what} is empty: there is nothing to ingest"),
            ));
        }
        let named = self.named().as_deref().and_then(DataFormat::from_path);
        let by_name = if named == Some(DataFormat::Json) { Some(DataFormat::MultiJson) } else { named };
        let format = said
            .or(self.format)
            .or_else(|| DataFormat::from_magic(&opened.head))
            .or(by_name)
            .unwrap_or(DataFormat::Csv);
        let compression = self.compression.unwrap_or_else(|| sniff_compression(&opened.head));
        Ok(Inspected { format, compression })
    }
}

impl Opened {
    /// Writes everything to `out`, on a blocking thread. Waiting for an async reader ends
    /// when `cancelled` is set.
    pub(crate) fn write_to(
        self,
        out: &mut (dyn Write + Send),
        buffer: usize,
        runtime: &Handle,
        cancelled: &CancellationToken,
    ) -> io::Result<()> {
        out.write_all(&self.head)?;
        match self.rest {
            Rest::Nothing => Ok(()),
            Rest::Read(mut reader) => copy(&mut reader, out, buffer),
            Rest::Async(reader) => copy(
                &mut Bridge { reader, runtime: runtime.clone(), cancelled: cancelled.clone() },
                out,
                buffer,
            ),
            Rest::Write(writer) => writer(&mut Writing { out, cancelled }),
            Rest::WriteOnce(writer) => writer(&mut Writing { out, cancelled }),
        }
    }

    /// The whole source as it is sent, gzipped or not, when that is at most `limit` bytes;
    /// `None` when it is more. The source is used up either way.
    pub(crate) async fn encode_within(self, gzip: bool, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Source, "the source cannot be read to its end").caused_by(error)
        };
        let (runtime, cancelled) = (Handle::current(), CancellationToken::new());
        let guard = cancelled.clone().drop_guard();
        let (result, over, bytes) = tokio::task::spawn_blocking(move || {
            let mut out = Bounded { bytes: Vec::new(), limit, over: false };
            let result = if gzip {
                let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(2));
                self.write_to(&mut encoder, 64 * 1024, &runtime, &cancelled)
                    .and_then(|()| encoder.finish().map(|_| ()))
            } else {
                self.write_to(&mut out, 64 * 1024, &runtime, &cancelled)
            };
            (result, out.over, out.bytes)
        })
        .await
        .map_err(|error| failed(io::Error::other(error)))?;
        drop(guard);
        match result {
            _ if over => Ok(None),
            Ok(()) => Ok(Some(bytes)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Reads at most `limit` bytes and one more. `Ok` is all of them; `Err` is the source
    /// with what was read put back in front.
    pub(crate) async fn read_within(self, limit: usize) -> Result<Result<Vec<u8>, Self>, Error> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Source, "the source cannot be read to its end").caused_by(error)
        };
        match self.rest {
            Rest::Nothing => Ok(Ok(self.head)),
            Rest::Async(mut reader) => {
                let mut bytes = self.head;
                loop {
                    let mut chunk = vec![0; (64 * 1024).min(limit + 1 - bytes.len().min(limit))];
                    let read = reader.read(&mut chunk).await.map_err(failed)?;
                    bytes.extend_from_slice(&chunk[..read]);
                    if read == 0 {
                        return Ok(Ok(bytes));
                    }
                    if bytes.len() > limit {
                        return Ok(Err(Self { head: bytes, rest: Rest::Async(reader) }));
                    }
                }
            }
            Rest::Read(reader) => {
                let head = self.head;
                tokio::task::spawn_blocking(move || {
                    let mut reader = reader;
                    let mut bytes = head;
                    let left = (limit + 1).saturating_sub(bytes.len()) as u64;
                    (&mut reader).take(left).read_to_end(&mut bytes)?;
                    if bytes.len() > limit {
                        return Ok(Err(Self { head: bytes, rest: Rest::Read(reader) }));
                    }
                    Ok(Ok(bytes))
                })
                .await
                .map_err(|error| failed(io::Error::other(error)))?
                .map_err(failed)
            }
            // What writes is asked for its bytes by `encode_within`.
            rest @ (Rest::Write(_) | Rest::WriteOnce(_)) => Ok(Err(Self { head: self.head, rest })),
        }
    }
}

/// Keeps what fits.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Drops the bytes in front of an offset.
struct Skip<'w> {
    out: &'w mut (dyn Write + Send),
    left: u64,
}

impl Write for Skip<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= skipped as u64;
        self.out.write_all(&bytes[skipped..])?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads an async reader from a blocking thread, until cancelled.
struct Bridge {
    reader: Reader,
    runtime: Handle,
    cancelled: CancellationToken,
}

impl Read for Bridge {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(async {
            tokio::select! {
                // What was read when the cancellation comes is of no use to anybody.
                () = self.cancelled.cancelled() => Err(io::ErrorKind::BrokenPipe.into()),
                read = self.reader.read(buffer) => read,
            }
        })
    }
}

fn copy(reader: &mut dyn Read, out: &mut (dyn Write + Send), buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
