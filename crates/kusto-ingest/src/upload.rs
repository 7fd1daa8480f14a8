//! Uploads a source to one of the service's containers: one request when it is small,
//! blocks several at a time when it is not. When a container fails, the source is
//! opened again and sent to another.

use crate::pack::{BLOCK, Packing, pack};
use crate::progress::Progress;
use crate::resources::ResourceCache;
use crate::source::Source;
use crate::storage;
use crate::{Error, ErrorKind, SecretUrl, Transport};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};

/// Blocks on their way at once.
const PARALLEL: usize = 3;

/// Uploads to the first container that takes it; the blob's URL with its signature.
pub(crate) async fn upload(
    transport: &Transport,
    cache: &ResourceCache,
    source: &Source,
    packing: Packing,
    name: &str,
    progress: &Progress,
) -> Result<SecretUrl, Error> {
    let mut refreshed = false;
    loop {
        let (resources, _) = cache.get().await?;
        let mut last = Error::new(ErrorKind::Protocol, "the service hands out no container");
        let mut expired = false;
        for container in cache.order(&resources.containers) {
            progress.restart();
            let blob = storage::blob_url(&container, name);
            match to_blob(transport, &blob, source, packing, progress).await {
                Ok(()) => {
                    cache.note(&container, true);
                    return Ok(blob);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Source | ErrorKind::Usage) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, container = %container, "an upload failed; the next container is tried");
                    cache.note(&container, false);
                    expired |= storage::is_expired(&error);
                    last = error;
                }
            }
        }
        if !expired || refreshed {
            return Err(last);
        }
        // Signatures run out; fresh resources are asked for once.
        cache.expire(&resources).await;
        refreshed = true;
    }
}

async fn to_blob(
    transport: &Transport,
    blob: &SecretUrl,
    source: &Source,
    packing: Packing,
    progress: &Progress,
) -> Result<(), Error> {
    let (sender, mut blocks) = tokio::sync::mpsc::channel(2);
    let (reader_source, reader_progress) = (source.clone(), progress.clone());
    // Ends by itself when the receiver is dropped.
    let reader = tokio::task::spawn_blocking(move || pack(&reader_source, packing, &reader_progress, sender));
    let first: Bytes = match blocks.recv().await {
        Some(block) => block?,
        None => return Err(Error::new(ErrorKind::Source, "the source is empty: there is nothing to ingest")),
    };
    let second = match blocks.recv().await {
        Some(block) => Some(block?),
        None => None,
    };
    let ended = |error: tokio::task::JoinError| {
        Error::new(ErrorKind::Source, "reading the source ended early").caused_by(error)
    };
    let Some(second) = second else {
        reader.await.map_err(ended)?;
        let size = first.len();
        storage::put_blob(transport, blob, first).await?;
        progress.add_uploaded(size);
        return Ok(());
    };
    let mut ids: Vec<String> = Vec::new();
    let mut on_the_way = FuturesUnordered::new();
    let mut waiting = vec![second, first];
    loop {
        let next = match waiting.pop() {
            Some(block) => Some(block),
            None => blocks.recv().await.transpose()?,
        };
        let Some(block) = next else { break };
        debug_assert!(block.len() <= BLOCK);
        // Azure wants ids of one length within a blob.
        let id = block_id(ids.len());
        ids.push(id.clone());
        on_the_way.push(async move {
            let size = block.len();
            storage::put_block(transport, blob, &id, block).await.map(|()| size)
        });
        if on_the_way.len() >= PARALLEL
            && let Some(done) = on_the_way.next().await
        {
            progress.add_uploaded(done?);
        }
    }
    while let Some(done) = on_the_way.next().await {
        progress.add_uploaded(done?);
    }
    reader.await.map_err(ended)?;
    storage::put_block_list(transport, blob, &ids).await
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
