//! Queued ingestion: upload, then hand over to the service, by message (v1) or by
//! request (v2).

mod message;
mod request;

use crate::call::{Call, Ingest, IngestClient, bounded};
use crate::options::{IngestOptions, Shared};
use crate::pack::Packing;
use crate::source::{Content, Source};
use crate::split::Splitter;
use crate::tracking::{IngestionHandle, Method, Outcome, ReportQueue, Standing};
use crate::upload::Upload;
use crate::{Error, ErrorKind, IngestionProperties, KustoClient, Progress, SecretUrl, Transport};
use futures_util::future::BoxFuture;
use kusto_types::{Compression, DataFormat, SourceId};
use kusto_wire::{FailureMessage, SuccessMessage};
use std::path::Path;
use std::sync::Arc;
use tracing::Instrument;

/// Ingests through the service's queue. Cheap to clone; clones share resources, memory
/// budget and poller.
#[derive(Clone)]
pub struct QueuedIngestClient {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for QueuedIngestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueuedIngestClient")
            .field("service", self.shared.service.client.endpoint())
            .finish_non_exhaustive()
    }
}

/// A blob that is ready to be handed over.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) id: SourceId,
    pub(crate) url: SecretUrl,
    pub(crate) raw_size: Option<u64>,
    /// Whether it begins a source: a header is only there.
    pub(crate) first: bool,
}

/// The id of a part of a source: that of the source for the first, and for the others
/// one that the same source always gives.
pub(crate) fn part_id(source: SourceId, part: usize) -> SourceId {
    let mut bytes = *source.0.as_bytes();
    for (byte, change) in bytes[12..].iter_mut().zip((part as u32).to_be_bytes()) {
        *byte ^= change;
    }
    SourceId(uuid::Uuid::from_bytes(bytes))
}

impl QueuedIngestClient {
    /// A client for a cluster; the data-management endpoint is derived from its URL.
    pub fn new(cluster: &KustoClient) -> Self {
        Self::with_options(cluster, IngestOptions::default())
    }

    /// A client with other settings.
    pub fn with_options(cluster: &KustoClient, options: IngestOptions) -> Self {
        Self { shared: Shared::new(cluster, options) }
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Ingests a source. Awaiting it returns once the service has *accepted* the source.
    pub fn ingest(&self, source: impl Into<Source>, properties: &IngestionProperties) -> Ingest<'_> {
        Ingest::new(self, source, properties)
    }

    /// Ingests a local file. It is compressed while it is read; it is never held in memory
    /// as a whole.
    pub fn ingest_file(&self, path: impl AsRef<Path>, properties: &IngestionProperties) -> Ingest<'_> {
        self.ingest(Source::file(path.as_ref()), properties)
    }

    /// The reports of sources that failed (v1).
    pub fn failures(&self) -> ReportQueue<FailureMessage> {
        ReportQueue::failures(self.shared.service.clone())
    }

    /// The reports of sources that succeeded (v1), of ingestions that asked for them.
    pub fn successes(&self) -> ReportQueue<SuccessMessage> {
        ReportQueue::successes(self.shared.service.clone())
    }

    /// What the status table (v1) says of a source, of this process or another; `None`
    /// while it is pending.
    pub async fn outcome(&self, id: SourceId) -> Result<Option<Outcome>, Error> {
        let standing = Standing::Asked { keys: vec![message::key(id)] };
        let details = self.handle(id, standing, Progress::default()).details().await?;
        Ok(details.into_iter().next().and_then(|source| source.outcome))
    }

    fn handle(&self, id: SourceId, standing: Standing, progress: Progress) -> IngestionHandle {
        IngestionHandle::new(
            self.shared.service.client.endpoint(),
            id,
            Method::Queued,
            standing,
            self.shared.tracker.clone(),
            progress,
        )
    }

    pub(crate) async fn run(&self, call: Call, transport: Transport) -> Result<IngestionHandle, Error> {
        let Call { source, properties, progress, .. } = call;
        let (blobs, format) = match &source.content {
            Content::Blobs(_) => self.named(&source, &properties)?,
            _ => self.uploaded(&source, &properties, &progress, &transport).await?,
        };
        let standing = async {
            match self.shared.service.rest().await? {
                Some(settings) => {
                    request::submit(&self.shared, &transport, settings, &blobs, &properties, format).await
                }
                None => message::post(&self.shared, &transport, &blobs, &properties, format).await,
            }
        }
        .instrument(tracing::debug_span!("post", blobs = blobs.len()))
        .await?;
        progress.accepted(source.id);
        Ok(self.handle(source.id, standing, progress))
    }

    /// Blobs that the service reads itself.
    fn named(
        &self,
        source: &Source,
        properties: &IngestionProperties,
    ) -> Result<(Vec<Ready>, DataFormat), Error> {
        let Content::Blobs(blobs) = &source.content else { return Ok((Vec::new(), DataFormat::Csv)) };
        let said = properties.format.or(source.format);
        let mut format = None;
        let mut seen = std::collections::HashSet::new();
        for blob in blobs {
            blob.check()?;
            let own = said.or_else(|| blob.named_format()).unwrap_or(DataFormat::Csv);
            if *format.get_or_insert(own) != own {
                return Err(Error::new(
                    ErrorKind::Usage,
                    "the blobs of one operation must have one format; say it, or ingest them apart",
                ));
            }
            if !seen.insert(blob.url.without_secrets()) {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{} stands twice among the blobs of the operation", blob.url),
                ));
            }
            self.shared.check_size(properties, blob.raw_size.or(source.raw_size))?;
        }
        let Some(format) = format else {
            return Err(Error::new(ErrorKind::Usage, "no blob was named"));
        };
        properties.check(format)?;
        let ready = blobs.iter().enumerate().map(|(index, blob)| Ready {
            id: blob.id.unwrap_or_else(|| part_id(source.id, index)),
            url: blob.url.clone(),
            raw_size: blob.raw_size.or(source.raw_size),
            first: true,
        });
        Ok((ready.collect(), format))
    }

    /// A source of this machine, uploaded in one part or several.
    async fn uploaded(
        &self,
        source: &Source,
        properties: &IngestionProperties,
        progress: &Progress,
        transport: &Transport,
    ) -> Result<(Vec<Ready>, DataFormat), Error> {
        let opened = source.open_at(0).await?;
        let inspected = source.inspect(&opened, properties.format)?;
        properties.check(inspected.format)?;
        let plain = inspected.compression == Compression::None;
        let splits = plain && Splitter::new(inspected.format, self.shared.part).is_some();
        if !splits {
            let known = if plain { source.size()? } else { None };
            self.shared.check_size(properties, source.raw_size.or(known))?;
        }
        let packing = if inspected.gains_by_gzip() { Packing::Gzip } else { Packing::Plain };
        let name = |part: usize| {
            blob_name(part_id(source.id, part), source, properties, packing, inspected.compression)
        };
        let upload = Upload {
            transport,
            source,
            inspected,
            name: &name,
            budget: &self.shared.budget,
            part_limit: self.shared.part,
            progress,
        };
        let parts = upload
            .run(opened, &self.shared.uploading)
            .instrument(tracing::debug_span!("upload", format = %inspected.format))
            .await?;
        let ready = parts.into_iter().enumerate().map(|(index, part)| Ready {
            id: part_id(source.id, index),
            url: part.url,
            raw_size: part.raw_size,
            first: index == 0,
        });
        Ok((ready.collect(), inspected.format))
    }

    /// Uploads a source without handing it over: its blobs.
    pub(crate) async fn upload_only(
        &self,
        source: &Source,
        properties: &IngestionProperties,
        progress: &Progress,
        transport: &Transport,
    ) -> Result<(Vec<Ready>, DataFormat), Error> {
        self.uploaded(source, properties, progress, transport).await
    }
}

impl IngestClient for QueuedIngestClient {
    fn carry_out(&self, call: Call) -> BoxFuture<'_, Result<IngestionHandle, Error>> {
        Box::pin(bounded("queued", self.shared.service.client.transport(), call, |call, transport| {
            self.run(call, transport)
        }))
    }

    fn resume(&self, handle: &str) -> Result<IngestionHandle, Error> {
        IngestionHandle::resume(handle, self.shared.service.client.endpoint(), self.shared.tracker.clone())
    }
}

/// `{db}__{table}__{id}__{file}[.gz]`, as the official clients name blobs; every
/// character that would need escaping is replaced, since signatures are over the path.
fn blob_name(
    id: SourceId,
    source: &Source,
    properties: &IngestionProperties,
    packing: Packing,
    compression: Compression,
) -> String {
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
            .collect()
    };
    let name = source.blob_name();
    let suffix = match (packing, compression) {
        (Packing::Gzip, _) | (Packing::Plain, Compression::Gzip) if !name.ends_with(".gz") => ".gz",
        (Packing::Plain, Compression::Zip) if !name.ends_with(".zip") => ".zip",
        _ => "",
    };
    format!(
        "{}__{}__{id}__{name}{suffix}",
        clean(properties.database.as_str()),
        clean(properties.table.as_str())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_ids_of_their_own_that_do_not_change() {
        let source = SourceId::random();
        let ids: std::collections::HashSet<SourceId> = (0..1000).map(|part| part_id(source, part)).collect();
        assert_eq!(ids.len(), 1000);
        assert_eq!(part_id(source, 0), source);
        assert_eq!(part_id(source, 7), part_id(source, 7));
    }
}
