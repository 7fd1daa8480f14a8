//! Queued ingestion: upload, status row, message.

use crate::handle::{IngestionHandle, Outcome, read_status};
use crate::pack::Packing;
use crate::progress::Progress;
use crate::properties::IngestionProperties;
use crate::resources::ResourceCache;
use crate::source::Source;
use crate::{Error, ErrorKind, KustoClient, SecretUrl, Transport, storage, upload};
use bytes::Bytes;
use kusto_types::{Compression, DateTime, SourceId};
use kusto_wire::{IngestionMessage, IngestionResources, ReportMethod, StatusRow, StatusTablePointer};
use secrecy::ExposeSecret;
use std::path::Path;
use std::sync::Arc;

/// Azure's limit for a queue message, in base64.
const MAX_MESSAGE: usize = 64 * 1024;

/// Ingests through the service's queues. Cheap to clone; clones share resources.
#[derive(Clone)]
pub struct QueuedIngestClient {
    service: KustoClient,
    transport: Transport,
    cache: Arc<ResourceCache>,
}

impl std::fmt::Debug for QueuedIngestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueuedIngestClient").field("service", self.service.endpoint()).finish_non_exhaustive()
    }
}

impl QueuedIngestClient {
    /// A client for a cluster; the data-management endpoint is derived from its URL.
    pub fn new(cluster: &KustoClient) -> Self {
        let service = cluster.ingestion();
        let transport = service.transport().clone();
        Self { cache: Arc::new(ResourceCache::new(service.clone())), service, transport }
    }

    /// Ingests a local file. The file is compressed while it is read; it is never held
    /// in memory as a whole. Returns once the service has *accepted* it.
    pub async fn ingest_file(
        &self,
        path: impl AsRef<Path>,
        properties: &IngestionProperties,
    ) -> Result<IngestionHandle, Error> {
        self.ingest(Source::File(path.as_ref().to_owned()), properties).await
    }

    /// Ingests bytes in memory.
    pub async fn ingest_bytes(
        &self,
        bytes: impl Into<Bytes>,
        properties: &IngestionProperties,
    ) -> Result<IngestionHandle, Error> {
        self.ingest(Source::Bytes(bytes.into()), properties).await
    }

    /// Ingests a blob that the service can read itself; `raw_size` are its uncompressed
    /// bytes, if known.
    pub async fn ingest_blob(
        &self,
        url: SecretUrl,
        raw_size: Option<u64>,
        properties: &IngestionProperties,
    ) -> Result<IngestionHandle, Error> {
        self.ingest(Source::Blob { url, raw_size }, properties).await
    }

    /// Ingests any source with a random source id.
    pub async fn ingest(
        &self,
        source: Source,
        properties: &IngestionProperties,
    ) -> Result<IngestionHandle, Error> {
        self.ingest_as(SourceId::random(), source, properties, &Progress::default()).await
    }

    /// Ingests any source under a given id and counts into `progress`.
    pub async fn ingest_as(
        &self,
        id: SourceId,
        source: Source,
        properties: &IngestionProperties,
        progress: &Progress,
    ) -> Result<IngestionHandle, Error> {
        let inspecting = source.clone();
        let said = properties.format;
        let inspected =
            tokio::task::spawn_blocking(move || inspecting.inspect(said)).await.map_err(|error| {
                Error::new(ErrorKind::Source, "looking at the source failed").caused_by(error)
            })??;
        properties.check(inspected.format)?;
        let (blob, raw_size) = match &source {
            Source::Blob { url, .. } => (url.clone(), inspected.size),
            Source::File(_) | Source::Bytes(_) => {
                let plain = inspected.compression == Compression::None;
                let packing =
                    if plain && inspected.format.is_compressible() { Packing::Gzip } else { Packing::Plain };
                let name = blob_name(id, &source, properties, packing, inspected.compression);
                let blob =
                    upload::upload(&self.transport, &self.cache, &source, packing, &name, progress).await?;
                (blob, if plain { inspected.size } else { None })
            }
        };
        let (resources, token) = self.cache.get().await?;
        let mut message = IngestionMessage {
            id,
            blob,
            raw_data_size: raw_size,
            database: properties.database.clone(),
            table: properties.table.clone(),
            retain_blob_on_success: true,
            flush_immediately: properties.flush_immediately,
            ignore_size_limit: false,
            report_level: properties.report_level,
            report_method: properties.report_method,
            status_in_table: None,
            source_message_creation_time: Some(DateTime::now().to_string()),
            application_for_tracing: Some(self.service.application().to_owned()),
            client_version_for_tracing: Some(
                concat!("Kusto.Rust.Client:{", env!("CARGO_PKG_VERSION"), "}").to_owned(),
            ),
            additional: properties.additional(inspected.format, token.expose_secret()),
        };
        let tracked = matches!(properties.report_method, ReportMethod::Table | ReportMethod::QueueAndTable);
        if tracked {
            message.status_in_table = Some(self.track(&resources, &message).await?);
        }
        self.post(&message).await?;
        Ok(IngestionHandle {
            source_id: id,
            tracked,
            transport: self.transport.clone(),
            cache: self.cache.clone(),
        })
    }

    /// Writes the pending row before the message is posted, so that the service finds it.
    async fn track(
        &self,
        resources: &IngestionResources,
        message: &IngestionMessage,
    ) -> Result<StatusTablePointer, Error> {
        let Some(table) = resources.status_tables.first() else {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the service hands out no status table, so that nothing can be tracked",
            ));
        };
        let row = StatusRow::pending(
            message.id,
            &message.blob.without_secrets(),
            message.database.as_str(),
            message.table.as_str(),
        );
        storage::insert_status(&self.transport, table, &row).await?;
        Ok(StatusTablePointer {
            table: table.clone(),
            partition_key: row.partition_key,
            row_key: row.row_key,
        })
    }

    /// Posts the message to the first queue that takes it. The same id goes to each, so
    /// that a message posted twice by an unlucky retry is ingested once by a service
    /// that looks at ids.
    async fn post(&self, message: &IngestionMessage) -> Result<(), Error> {
        let text = message.encode();
        if text.len() > MAX_MESSAGE {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the queue message would have {} bytes, {MAX_MESSAGE} are allowed; shorten the inline mapping or the tags, or refer to a mapping by name",
                    text.len()
                ),
            ));
        }
        let mut refreshed = false;
        loop {
            let (resources, _) = self.cache.get().await?;
            let mut last = Error::new(ErrorKind::Protocol, "the service hands out no queue");
            let mut expired = false;
            for queue in self.cache.order(&resources.queues) {
                match storage::put_message(&self.transport, &queue, &text).await {
                    Ok(()) => {
                        self.cache.note(&queue, true);
                        return Ok(());
                    }
                    Err(error) => {
                        tracing::warn!(%error, queue = %queue, "posting failed; the next queue is tried");
                        self.cache.note(&queue, false);
                        expired |= storage::is_expired(&error);
                        last = error;
                    }
                }
            }
            if !expired || refreshed {
                return Err(last);
            }
            self.cache.expire(&resources).await;
            refreshed = true;
        }
    }

    /// What the service's status table says about a tracked source: `None` while it is
    /// pending, [`Outcome::Unknown`] when there is no row of this id.
    pub async fn outcome(&self, id: SourceId) -> Result<Option<Outcome>, Error> {
        Ok(match read_status(&self.transport, &self.cache, id).await? {
            Some(row) => Outcome::of(&row),
            None => Some(Outcome::Unknown { reason: format!("the status table has no row for {id}") }),
        })
    }
}

/// The blob's name: target, id and the source's own name, with the extension that tells
/// the service how it is compressed.
fn blob_name(
    id: SourceId,
    source: &Source,
    properties: &IngestionProperties,
    packing: Packing,
    compression: Compression,
) -> String {
    let part = |text: &str| {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect::<String>()
    };
    let mut name = format!(
        "{}__{}__{id}__{}",
        part(properties.database.as_str()),
        part(properties.table.as_str()),
        source.name()
    );
    let gzipped = packing == Packing::Gzip || compression == Compression::Gzip;
    if gzipped && !name.ends_with(".gz") {
        name.push_str(".gz");
    }
    name
}
