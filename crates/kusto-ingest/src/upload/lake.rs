//! Uploads to a folder of OneLake or Azure Data Lake Storage Gen2: create, append,
//! flush, as the "Path" operations of its REST API are documented.

use super::{Held, Upload};
use crate::pack::{Feed, PartEnd};
use crate::{Error, ErrorKind, SecretUrl, storage};
use secrecy::SecretString;

/// Sends a part to a file. Blocks go one after another: each names its position.
pub(super) async fn file(
    upload: &Upload<'_>,
    url: &SecretUrl,
    token: Option<&SecretString>,
    feed: &mut Feed,
    held: &mut Held,
) -> Result<PartEnd, Error> {
    storage::create_file(upload.transport, url, token).await?;
    let mut position = 0;
    // What another place had not taken goes first; it begins at the part's first block,
    // since nothing was let go.
    let waiting: Vec<usize> = held.blocks.keys().copied().collect();
    let mut waiting = waiting.into_iter();
    loop {
        let next = match waiting.next() {
            Some(index) => Some(index),
            None => upload.take(feed, held).await?,
        };
        let Some(index) = next else { break };
        let Some(block) = held.blocks.get(&index).cloned() else { continue };
        let size = block.len();
        storage::append(upload.transport, url, token, position, block).await?;
        position += size as u64;
        upload.progress.add_uploaded(size);
        if held.end.is_none() {
            held.blocks.remove(&index);
            held.let_go = true;
        }
    }
    storage::flush(upload.transport, url, token, position).await?;
    held.end.ok_or_else(|| Error::new(ErrorKind::Source, "reading the source ended early"))
}
