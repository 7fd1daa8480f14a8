//! What a service is started with.

use kusto_batch::BatchingPolicy;
use kusto_types::ByteSize;
use std::path::PathBuf;
use std::time::Duration;

/// How to run a service.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The folder of the database, the blobs and the extents. Made when missing; one
    /// service at a time.
    pub data_dir: PathBuf,
    /// The batching policy of tables and databases that have none. [`BatchingPolicy::LAPTOP`]
    /// seals after a second, [`BatchingPolicy::KUSTO`] behaves as a cluster does.
    pub default_batching: BatchingPolicy,
    /// A storage account that containers, queues and the status table live on, instead
    /// of the service's own.
    pub storage: Option<crate::StorageAccount>,
    /// Hosts that sources are read from by their URLs. By default any: fit for a service
    /// that only this machine reaches.
    pub source_hosts: crate::SourceHosts,
    /// Who is let in. By default everyone is, as the administrator.
    pub access: crate::AccessConfig,
    /// Further names that clients know the service by: its certificates have them even
    /// when a client does not say whom it wants. `localhost` and its addresses are there.
    pub host_names: Vec<String>,
    /// Ingestion commands that run at once before more are refused with 429; `None`
    /// means three quarters of the cores, but at least 4.
    pub ingestion_capacity: Option<usize>,
    /// How long a streamed payload waits for others in the row store before they become an
    /// extent; many, or much, do not wait. By default two seconds.
    pub seal_after: Duration,
    /// Bytes that stay free on the disk of the data folder: with less, no data is taken, and
    /// clients are told to come again. By default 256 MiB; 0 switches it off.
    pub min_free: ByteSize,
    /// Where to crash on purpose: the name of a step in `ingest/failpoint.rs`. For the
    /// crash tests; `None` in every other use.
    pub crash_at: Option<String>,
}

impl ServiceConfig {
    /// A service on a folder, with defaults fit for one machine.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            default_batching: BatchingPolicy::LAPTOP,
            storage: None,
            source_hosts: crate::SourceHosts::Any,
            access: crate::AccessConfig::open(),
            host_names: Vec::new(),
            ingestion_capacity: None,
            seal_after: Duration::from_secs(2),
            min_free: ByteSize(256 * 1024 * 1024),
            crash_at: None,
        }
    }

    /// The same with a cluster's batching default (5 minutes, 500 sources, 1 GiB).
    #[must_use]
    pub fn with_exact_batching(mut self) -> Self {
        self.default_batching = BatchingPolicy::KUSTO;
        self
    }
}
