//! Puts a source into storage: in blocks several at a time, each retried alone; into
//! another container when one fails. What has not left this machine's memory is sent
//! again from there; else the source is opened anew, or, when it can be read only once,
//! the upload fails and says so. It never sends what is left of a half-read source.

mod containers;
mod lake;
mod managed;

use crate::budget::{Budget, PARALLEL};
use crate::pack::{Feed, Packed, Packing, PartEnd};
use crate::progress::Progress;
use crate::source::open::{Inspected, Opened};
use crate::source::{Reading, Source};
use crate::split::Splitter;
use crate::{Error, ErrorKind, SecretUrl, Transport, storage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, StreamExt};
use kusto_types::Compression;
use std::collections::BTreeMap;

pub use containers::ContainerUploader;
pub(crate) use managed::ManagedUploader;
pub use managed::UploadMethod;

/// Where one upload goes.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A blob container with its signature.
    Container(SecretUrl),
    /// A folder of a data lake, written with tokens of the cluster's credential.
    Lake(SecretUrl),
}

impl Place {
    pub(crate) fn url(&self) -> &SecretUrl {
        match self {
            Self::Container(url) | Self::Lake(url) => url,
        }
    }
}

/// Gives places to upload to, best first, and hears how it went.
pub(crate) trait Places: Send + Sync {
    /// The places to try, in order.
    fn places(&self) -> BoxFuture<'_, Result<Vec<Place>, Error>>;
    /// Notes how an upload to a place ended.
    fn note(&self, place: &Place, succeeded: bool);
    /// Forgets the places after a refused signature; whether others may be had.
    fn renew(&self) -> BoxFuture<'_, bool>;
    /// A bearer token for lakes.
    fn lake_token(&self) -> BoxFuture<'_, Result<Option<secrecy::SecretString>, Error>>;
}

/// Uploads in a way of the caller's own.
///
/// The library hands over each part of a source as a name and a stream of blocks, and
/// gets back the URL that the service can read. A transient error makes the library try
/// again with a new stream, when the source can be read again.
pub trait Uploader: Send + Sync {
    /// Uploads the body under a name; the URL must carry whatever the service needs to
    /// read it.
    fn upload<'u>(
        &'u self,
        name: &'u str,
        body: BoxStream<'u, Result<Bytes, Error>>,
    ) -> BoxFuture<'u, Result<SecretUrl, Error>>;
}

/// Who uploads.
#[derive(Clone)]
pub(crate) enum Uploading {
    Places(std::sync::Arc<dyn Places>),
    Custom(std::sync::Arc<dyn Uploader>),
}

/// One uploaded part.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) url: SecretUrl,
    /// Its uncompressed bytes: counted, or for compressed sources estimated.
    pub(crate) raw_size: Option<u64>,
}

/// What an upload needs to know.
pub(crate) struct Upload<'u> {
    pub(crate) transport: &'u Transport,
    pub(crate) source: &'u Source,
    pub(crate) inspected: Inspected,
    /// Names a part's blob.
    pub(crate) name: &'u (dyn Fn(usize) -> String + Send + Sync),
    pub(crate) budget: &'u Budget,
    /// Raw bytes after which a part ends, where the format can be cut.
    pub(crate) part_limit: u64,
    pub(crate) progress: &'u Progress,
}

/// Blocks that may still be needed: they are on the way, or wait for another place.
#[derive(Default)]
struct Held {
    blocks: BTreeMap<usize, Bytes>,
    /// Blocks taken from the feed so far.
    taken: usize,
    /// Whether a block was let go after it arrived.
    let_go: bool,
    end: Option<PartEnd>,
}

impl Upload<'_> {
    fn packing(&self) -> Packing {
        if self.inspected.gains_by_gzip() { Packing::Gzip } else { Packing::Plain }
    }

    fn feed(&self, opened: Opened, size: Option<u64>) -> Feed {
        let splittable = self.inspected.compression == Compression::None;
        let splitter = splittable.then(|| Splitter::new(self.inspected.format, self.part_limit)).flatten();
        // The splitter looks at each byte; a source known to be small is spared that.
        let splitter = splitter.filter(|_| size.is_none_or(|size| size > self.part_limit));
        Feed::start(opened, self.packing(), self.budget.block(), splitter, size, self.progress)
    }

    /// Uploads everything; the parts in order.
    pub(crate) async fn run(&self, opened: Opened, uploading: &Uploading) -> Result<Vec<Part>, Error> {
        let size = self.source.size()?;
        let _admitted = self.budget.admit(size).await?;
        let mut feed = self.feed(opened, size);
        let mut parts: Vec<Part> = Vec::new();
        let mut offset = 0;
        loop {
            let name = (self.name)(parts.len());
            let (url, end) = match uploading {
                Uploading::Places(places) => {
                    self.part(places.as_ref(), &mut feed, offset, size, &name).await?
                }
                Uploading::Custom(uploader) => {
                    self.custom_part(uploader.as_ref(), &mut feed, offset, size, &name).await?
                }
            };
            offset += end.read;
            // A cut behind the very last record leaves an empty part.
            if end.read > 0 || parts.is_empty() {
                parts.push(Part { url, raw_size: self.raw_size(&end) });
            }
            if end.last {
                break;
            }
        }
        if offset == 0 {
            return Err(Error::new(ErrorKind::Source, "the source is empty: there is nothing to ingest"));
        }
        Ok(parts)
    }

    /// Uncompressed bytes of a part. gzip says them at its end, modulo 4 GiB; a size that
    /// cannot be right is replaced by eleven times the compressed one, as the official
    /// clients estimate it.
    fn raw_size(&self, end: &PartEnd) -> Option<u64> {
        match self.inspected.compression {
            _ if self.source.raw_size.is_some() => self.source.raw_size,
            Compression::None => Some(end.read),
            Compression::Gzip => {
                let said = u64::from(u32::from_le_bytes(end.tail));
                let sure = end.read < (4 << 30) / 40 && said >= end.read / 2;
                Some(if sure { said } else { end.read.saturating_mul(11) })
            }
            _ => Some(end.read.saturating_mul(11)),
        }
    }

    /// Begins to read anew at the start of a part.
    async fn reopen(&self, offset: u64, size: Option<u64>, because: &Error) -> Result<Feed, Error> {
        if self.source.reading() != Reading::Again {
            return Err(Error::new(
                ErrorKind::Source,
                format!(
                    "the upload failed ({because}) and the source can be read only once; give a source that can be read again"
                ),
            ));
        }
        self.progress.restart();
        Ok(self.feed(self.source.open_at(offset).await?, size))
    }

    /// Uploads one part to the first place that takes it.
    async fn part(
        &self,
        places: &dyn Places,
        feed: &mut Feed,
        offset: u64,
        size: Option<u64>,
        name: &str,
    ) -> Result<(SecretUrl, PartEnd), Error> {
        let mut held = Held::default();
        let mut renewed = false;
        loop {
            let mut last = Error::new(ErrorKind::Protocol, "the service hands out no place to upload to");
            let mut expired = false;
            for place in places.places().await? {
                let url = storage::blob_url(place.url(), name);
                let sent = match &place {
                    Place::Container(_) => self.blocks(&url, feed, &mut held).await,
                    Place::Lake(_) => {
                        let token = places.lake_token().await?;
                        lake::file(self, &url, token.as_ref(), feed, &mut held).await
                    }
                };
                match sent {
                    Ok(end) => {
                        places.note(&place, true);
                        return Ok((url, end));
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::Source | ErrorKind::Usage | ErrorKind::Deadline
                        ) =>
                    {
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::warn!(%error, place = %place.url(), "an upload failed; the next place is tried");
                        places.note(&place, false);
                        expired |= storage::is_expired(&error);
                        if held.let_go {
                            *feed = self.reopen(offset, size, &error).await?;
                            held = Held::default();
                        }
                        last = error;
                    }
                }
            }
            // Signatures run out; fresh places are asked for once.
            if !expired || renewed || !places.renew().await {
                return Err(last);
            }
            renewed = true;
        }
    }

    /// Sends a part's blocks to a blob and makes them the blob.
    async fn blocks(&self, blob: &SecretUrl, feed: &mut Feed, held: &mut Held) -> Result<PartEnd, Error> {
        let mut on_the_way = FuturesUnordered::new();
        let mut waiting: Vec<usize> = held.blocks.keys().rev().copied().collect();
        if held.taken == 0 {
            waiting.extend(self.take(feed, held).await?);
        }
        if let (0, Some(end)) = (held.taken, held.end) {
            return Ok(end);
        }
        // A short first block is all there is: one request makes the blob.
        if held.taken == 1 && held.blocks.get(&0).is_some_and(|block| block.len() < self.budget.block()) {
            while held.end.is_none() {
                self.take(feed, held).await?;
            }
            if let (Some(block), Some(end)) = (held.blocks.get(&0).cloned(), held.end) {
                let size = block.len();
                storage::put_blob(self.transport, blob, block).await?;
                self.progress.add_uploaded(size);
                return Ok(end);
            }
        }
        loop {
            while on_the_way.len() < PARALLEL {
                let next = match waiting.pop() {
                    Some(index) => Some(index),
                    None => self.take(feed, held).await?,
                };
                let Some(index) = next else { break };
                let Some(block) = held.blocks.get(&index).cloned() else { continue };
                on_the_way.push(async move {
                    // Azure wants ids of one length within a blob.
                    storage::put_block(self.transport, blob, &block_id(index), block).await.map(|()| index)
                });
            }
            let Some(done) = on_the_way.next().await else { break };
            if let Some(block) = held.blocks.remove(&done?) {
                held.let_go = true;
                self.progress.add_uploaded(block.len());
            }
        }
        let ids: Vec<String> = (0..held.taken).map(block_id).collect();
        storage::put_block_list(self.transport, blob, &ids).await?;
        held.end.ok_or_else(|| Error::new(ErrorKind::Source, "reading the source ended early"))
    }

    /// Takes the next block of the part into `held`; `None` at the end of the part.
    async fn take(&self, feed: &mut Feed, held: &mut Held) -> Result<Option<usize>, Error> {
        if held.end.is_some() {
            return Ok(None);
        }
        match feed.next().await? {
            Packed::Block(block) => {
                let index = held.taken;
                held.blocks.insert(index, block);
                held.taken += 1;
                Ok(Some(index))
            }
            Packed::PartEnd(end) => {
                held.end = Some(end);
                Ok(None)
            }
        }
    }

    /// Hands a part to the caller's uploader, at most three times.
    async fn custom_part(
        &self,
        uploader: &dyn Uploader,
        feed: &mut Feed,
        offset: u64,
        size: Option<u64>,
        name: &str,
    ) -> Result<(SecretUrl, PartEnd), Error> {
        let mut attempt = 1;
        loop {
            let mut end = None;
            let (seen, source) = (&mut end, &mut *feed);
            let body = futures_util::stream::unfold((source, seen, self), async |(feed, seen, upload)| {
                match feed.next().await {
                    Ok(Packed::Block(block)) => {
                        upload.progress.add_uploaded(block.len());
                        Some((Ok(block), (feed, seen, upload)))
                    }
                    Ok(Packed::PartEnd(end)) => {
                        *seen = Some(end);
                        None
                    }
                    Err(error) => Some((Err(error), (feed, seen, upload))),
                }
            });
            let uploaded = uploader.upload(name, body.boxed()).await;
            match (uploaded, end) {
                (Ok(url), Some(end)) => return Ok((url, end)),
                (Ok(_), None) => {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        "the uploader reported success before it had read the whole body",
                    ));
                }
                (Err(error), _) if error.is_retryable() && attempt < 3 => {
                    *feed = self.reopen(offset, size, &error).await?;
                    attempt += 1;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }
}

/// The base64 id of a block: of one length for every index.
fn block_id(index: usize) -> String {
    STANDARD.encode(format!("{index:012}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn block_ids_are_base64_of_one_length() {
        assert_eq!(super::block_id(0), "MDAwMDAwMDAwMDAw");
        assert_eq!(super::block_id(7).len(), super::block_id(49_999).len());
    }
}
