//! Reads a source and cuts it into blocks, gzipping on the way where that pays. Runs on
//! a blocking thread; a bounded channel keeps it a few blocks ahead of the upload.

use crate::progress::Progress;
use crate::source::Source;
use crate::{Error, ErrorKind};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use tokio::sync::mpsc::Sender;

/// Bytes of one block.
pub(crate) const BLOCK: usize = 4 * 1024 * 1024;

/// Whether the client compresses what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As it is.
    Plain,
    /// gzip.
    Gzip,
}

/// Collects bytes and sends full blocks on.
struct Blocks {
    sender: Sender<Result<Bytes, Error>>,
    buffer: Vec<u8>,
}

impl Blocks {
    fn send(&mut self) -> std::io::Result<()> {
        let block = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(BLOCK)));
        // The receiver is gone when the upload failed or was cancelled.
        self.sender.blocking_send(Ok(block)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == BLOCK {
            self.send()?;
        }
        Ok(taken)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads the whole source into blocks. An error goes down the channel.
pub(crate) fn pack(
    source: &Source,
    packing: Packing,
    progress: &Progress,
    sender: Sender<Result<Bytes, Error>>,
) {
    if let Err(error) = run(source, packing, progress, &sender) {
        // When the receiver is gone, nobody needs the error.
        let _unheard = sender.blocking_send(Err(error));
    }
}

fn run(
    source: &Source,
    packing: Packing,
    progress: &Progress,
    sender: &Sender<Result<Bytes, Error>>,
) -> Result<(), Error> {
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorKind::Source, "the source cannot be read to its end").caused_by(error)
    };
    let mut reader = source.open()?;
    let blocks = Blocks { sender: sender.clone(), buffer: Vec::with_capacity(BLOCK) };
    let mut buffer = vec![0; 256 * 1024];
    let mut blocks = match packing {
        Packing::Plain => {
            let mut blocks = blocks;
            copy(&mut reader, &mut blocks, &mut buffer, progress).map_err(unreadable)?;
            blocks
        }
        Packing::Gzip => {
            // Level 2 of zlib-rs: near the ratio of level 6 at several times its speed.
            let mut encoder = GzEncoder::new(blocks, Compression::new(2));
            copy(&mut reader, &mut encoder, &mut buffer, progress).map_err(unreadable)?;
            encoder.finish().map_err(unreadable)?
        }
    };
    if !blocks.buffer.is_empty() {
        blocks.send().map_err(unreadable)?;
    }
    Ok(())
}

fn copy(
    reader: &mut dyn Read,
    writer: &mut dyn Write,
    buffer: &mut [u8],
    progress: &Progress,
) -> std::io::Result<()> {
    loop {
        match reader.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                writer.write_all(&buffer[..read])?;
                progress.add_read(read);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
