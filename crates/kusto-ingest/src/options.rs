//! What the clients of a cluster share, and how it is set.

use crate::budget::Budget;
use crate::resources::{Protocol, Service};
use crate::tracking::{PollPolicy, StatusLookup, Tracker};
use crate::upload::{ContainerUploader, ManagedUploader, UploadMethod, Uploader, Uploading};
use crate::{Error, ErrorKind, IngestionProperties, KustoClient};
use std::sync::Arc;

/// Raw bytes after which a source is split: what the service recommends for one blob.
const PART: u64 = 1 << 30;
/// Most uncompressed bytes of one blob that the service takes.
const LARGEST: u64 = 6_442_450_944;

/// Settings of the clients. Clones of a client share its budget, caches and poller.
#[derive(Clone)]
pub struct IngestOptions {
    protocol: Protocol,
    method: UploadMethod,
    uploading: Option<Uploading>,
    memory: usize,
    part: u64,
    poll: PollPolicy,
}

impl std::fmt::Debug for IngestOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IngestOptions")
            .field("protocol", &self.protocol)
            .field("memory", &self.memory)
            .field("part", &self.part)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Preferred,
            method: UploadMethod::Default,
            uploading: None,
            memory: Budget::DEFAULT,
            part: PART,
            poll: PollPolicy::default(),
        }
    }
}

impl IngestOptions {
    /// How sources are queued. Default: as the service prefers.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Which of the service's storage is uploaded to. Default: as the service prefers.
    #[must_use]
    pub fn upload_method(mut self, method: UploadMethod) -> Self {
        self.method = method;
        self
    }

    /// Uploads to containers of the caller's own.
    #[must_use]
    pub fn containers(mut self, containers: ContainerUploader) -> Self {
        self.uploading = Some(Uploading::Places(Arc::new(containers)));
        self
    }

    /// Uploads in a way of the caller's own.
    #[must_use]
    pub fn uploader(mut self, uploader: impl Uploader + 'static) -> Self {
        self.uploading = Some(Uploading::Custom(Arc::new(uploader)));
        self
    }

    /// Most bytes of sources in memory at once, over everything that the client does.
    /// Default 64 MiB, at least 4 MiB. It does not count what the caller holds: bytes in
    /// memory, record batches, rows.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Splits sources over so many raw bytes, at the end of a record, where the format
    /// allows it. Default 1 GiB.
    #[must_use]
    pub fn split_over(mut self, bytes: u64) -> Self {
        self.part = bytes.max(1);
        self
    }

    /// How often the service is asked about waiting ingestions.
    #[must_use]
    pub fn polling(mut self, policy: PollPolicy) -> Self {
        self.poll = policy;
        self
    }
}

/// What the clients of one cluster share.
pub(crate) struct Shared {
    pub(crate) service: Arc<Service>,
    pub(crate) engine: KustoClient,
    pub(crate) tracker: Tracker,
    pub(crate) budget: Budget,
    pub(crate) uploading: Uploading,
    pub(crate) part: u64,
}

impl Shared {
    pub(crate) fn new(cluster: &KustoClient, options: IngestOptions) -> Arc<Self> {
        let service = Arc::new(Service::new(cluster.ingestion(), options.protocol));
        let engine = cluster.engine();
        let lookup = StatusLookup { service: service.clone(), engine: engine.clone() };
        let managed =
            ManagedUploader { service: service.clone(), client: cluster.ingestion(), method: options.method };
        Arc::new(Self {
            tracker: Tracker::new(Arc::new(lookup), options.poll),
            budget: Budget::new(options.memory),
            uploading: options.uploading.unwrap_or(Uploading::Places(Arc::new(managed))),
            part: options.part,
            service,
            engine,
        })
    }

    /// Refuses what is over the service's limit and cannot be split.
    pub(crate) fn check_size(
        &self,
        properties: &IngestionProperties,
        raw_size: Option<u64>,
    ) -> Result<(), Error> {
        match raw_size {
            Some(size) if size > LARGEST && !properties.ignore_size_limit => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the source has {size} uncompressed bytes; the service takes {LARGEST} in one piece, and the format cannot be split here; split it, or send it all the same with ignoring_size_limit()"
                ),
            )),
            _ => Ok(()),
        }
    }
}
