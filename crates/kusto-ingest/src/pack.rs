//! Reads a source and cuts it into blocks, gzipping on the way where that pays, and
//! into parts where it is very large. Runs on a blocking thread that a bounded channel
//! keeps one block ahead of the upload, and that ends when the upload does.

use crate::progress::Progress;
use crate::source::open::Opened;
use crate::split::Splitter;
use crate::{Error, ErrorKind};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Whether the client compresses what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As it is.
    Plain,
    /// gzip.
    Gzip,
}

/// What comes out of the packer.
#[derive(Debug)]
pub(crate) enum Packed {
    /// The next block of the part; shorter than the block size only at its end.
    Block(Bytes),
    /// The part is complete.
    PartEnd(PartEnd),
}

/// What is known of a complete part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartEnd {
    /// Bytes of the source in it.
    pub(crate) read: u64,
    /// Bytes that were packed into blocks.
    pub(crate) packed: u64,
    /// The last four bytes of the source so far: of gzip, its uncompressed size modulo 4 GiB.
    pub(crate) tail: [u8; 4],
    /// Whether it is the last.
    pub(crate) last: bool,
}

/// Blocks on their way from the source.
pub(crate) struct Feed {
    blocks: Receiver<Result<Packed, Error>>,
    thread: JoinHandle<()>,
    _cancel: DropGuard,
}

impl Feed {
    /// Begins to read.
    pub(crate) fn start(
        opened: Opened,
        packing: Packing,
        block: usize,
        splitter: Option<Splitter>,
        size: Option<u64>,
        progress: &Progress,
    ) -> Self {
        let (sender, blocks) = mpsc::channel(1);
        let cancelled = CancellationToken::new();
        let guard = cancelled.clone().drop_guard();
        let (runtime, progress) = (Handle::current(), progress.clone());
        // A small source needs no large buffers.
        let expected = size.map_or(block, |size| usize::try_from(size).unwrap_or(block));
        let buffer = expected.clamp(4 * 1024, 256 * 1024);
        let first = (expected + expected / 64 + 1024).min(block);
        let thread = tokio::task::spawn_blocking(move || {
            let blocks = Blocks { sender: &sender, filling: Vec::with_capacity(first), block, packed: 0 };
            let mut packer = Packer {
                blocks: Some(Stage::new(packing, blocks)),
                packing,
                splitter,
                read: 0,
                tail: [0; 4],
                progress,
            };
            let result =
                opened.write_to(&mut packer, buffer, &runtime, &cancelled).and_then(|()| packer.end(true));
            if let Err(error) = result {
                let error =
                    Error::new(ErrorKind::Source, "the source cannot be read to its end").caused_by(error);
                // When the receiver is gone, nobody needs the error.
                let _unheard = sender.blocking_send(Err(error));
            }
        });
        Self { blocks, thread, _cancel: guard }
    }

    /// The next block or the end of a part.
    pub(crate) async fn next(&mut self) -> Result<Packed, Error> {
        match self.blocks.recv().await {
            Some(packed) => packed,
            None => {
                // The thread ended without a word: it panicked.
                let cause = (&mut self.thread).await.err();
                let error = Error::new(ErrorKind::Source, "reading the source ended early");
                Err(match cause {
                    Some(cause) => error.caused_by(cause),
                    None => error,
                })
            }
        }
    }
}

/// Collects bytes and sends full blocks on.
struct Blocks<'s> {
    sender: &'s Sender<Result<Packed, Error>>,
    filling: Vec<u8>,
    block: usize,
    packed: u64,
}

impl Blocks<'_> {
    fn put(&self, packed: Packed) -> io::Result<()> {
        // The receiver is gone when the upload failed or was cancelled.
        self.sender.blocking_send(Ok(packed)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn send(&mut self) -> io::Result<()> {
        let full = std::mem::take(&mut self.filling);
        self.packed += full.len() as u64;
        self.put(Packed::Block(Bytes::from(full)))
    }
}

impl Write for Blocks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.block - self.filling.len());
        if self.filling.len() + taken > self.filling.capacity() {
            // Exactly a block at most: doubling would go past the budget.
            self.filling.reserve_exact(self.block - self.filling.len());
        }
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == self.block {
            self.send()?;
        }
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Blocks, with or without gzip in front.
enum Stage<'s> {
    Plain(Blocks<'s>),
    Gzip(GzEncoder<Blocks<'s>>),
}

impl<'s> Stage<'s> {
    fn new(packing: Packing, blocks: Blocks<'s>) -> Self {
        match packing {
            Packing::Plain => Self::Plain(blocks),
            // Level 2 of zlib-rs: near the ratio of level 6 at several times its speed.
            Packing::Gzip => Self::Gzip(GzEncoder::new(blocks, Compression::new(2))),
        }
    }

    fn finish(self) -> io::Result<Blocks<'s>> {
        match self {
            Self::Plain(blocks) => Ok(blocks),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl Write for Stage<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(blocks) => blocks.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the source's bytes.
struct Packer<'s> {
    /// `None` only after a failed end.
    blocks: Option<Stage<'s>>,
    packing: Packing,
    splitter: Option<Splitter>,
    read: u64,
    tail: [u8; 4],
    progress: Progress,
}

impl Packer<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stage) = &mut self.blocks else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stage.write_all(bytes)?;
        self.read += bytes.len() as u64;
        self.progress.add_read(bytes.len());
        for byte in &bytes[bytes.len().saturating_sub(4)..] {
            self.tail.rotate_left(1);
            self.tail[3] = *byte;
        }
        Ok(())
    }

    fn end(&mut self, last: bool) -> io::Result<()> {
        let Some(stage) = self.blocks.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut blocks = match stage {
            // A cut behind the very last byte leaves an empty part: no blocks, and no gzip
            // stream of nothing.
            Stage::Gzip(encoder) if self.read == 0 => {
                let mut blocks = encoder.finish()?;
                blocks.filling.clear();
                blocks
            }
            stage => stage.finish()?,
        };
        if !blocks.filling.is_empty() {
            blocks.send()?;
        }
        let end = PartEnd { read: self.read, packed: blocks.packed, tail: self.tail, last };
        blocks.put(Packed::PartEnd(end))?;
        blocks.packed = 0;
        self.read = 0;
        self.blocks = Some(Stage::new(self.packing, blocks));
        Ok(())
    }
}

impl Write for Packer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(cut) = self.splitter.as_mut().and_then(|splitter| splitter.cut(rest)) {
            self.put(&rest[..cut])?;
            rest = &rest[cut..];
            self.end(false)?;
        }
        self.put(rest)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
