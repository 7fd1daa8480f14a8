//! What every part of a running service shares.

use crate::ServiceConfig;
use crate::sas::Signer;
use crate::store::Store;
use kusto_batch::BatchingPolicy;
use kusto_engine::{Catalog, EngineError};
use kusto_kql::{PolicyEntity, PolicyKind};
use kusto_types::DatabaseName;
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::Notify;

/// The storage account in every path-style URL.
pub(crate) const ACCOUNT: &str = "kinstore";
/// The containers that are handed out.
pub(crate) const CONTAINERS: [&str; 3] = ["ingest0", "ingest1", "ingest2"];
/// The queues that are handed out; several names give clients several tries.
pub(crate) const QUEUES: [&str; 3] = ["ready0", "ready1", "ready2"];

/// The parts of a running service.
pub(crate) struct State {
    pub(crate) store: Arc<Store>,
    pub(crate) config: ServiceConfig,
    pub(crate) signer: Signer,
    /// The storage account of external-storage mode.
    pub(crate) account: Option<Arc<crate::external::Account>>,
    /// Rung when a message was put or a flush was asked for.
    pub(crate) arrivals: Notify,
    /// Rung when a batch was sealed.
    pub(crate) sealed: Notify,
    /// Rung when an outcome was recorded.
    pub(crate) outcomes: Notify,
    /// Tables whose open batches are to be sealed now.
    pub(crate) flushes: std::sync::Mutex<Vec<(String, String)>>,
    /// Streaming requests that may run at once.
    pub(crate) streaming: tokio::sync::Semaphore,
    /// Ingestion commands that may run at once, and how many that are.
    pub(crate) capacity: Arc<tokio::sync::Semaphore>,
    pub(crate) capacity_total: usize,
    /// Commands that run on after their answer.
    pub(crate) background: tokio_util::task::TaskTracker,
    /// Who checks the tokens of issuers.
    pub(crate) issuers: crate::access::Issuers,
    /// What was asked for lately.
    pub(crate) requests: crate::requests::Requests,
    /// Whether the disk has room for more.
    pub(crate) room: crate::room::Room,
    /// Who waits for copies of what an ingestion reads.
    pub(crate) duplicates: crate::ingest::duplicate::Duplicates,
    /// What runs now and can be stopped.
    pub(crate) running: crate::running::Running,
    /// What was streamed lately.
    pub(crate) streaming_log: crate::streaming_log::StreamingRecords,
    /// For fetching blobs that are not ours.
    pub(crate) http: reqwest::Client,
}

impl State {
    /// The batching policy of a table: its own, else the database's, else the default.
    pub(crate) fn batching(
        &self,
        connection: &Connection,
        database: &str,
        table: &str,
    ) -> Result<BatchingPolicy, EngineError> {
        let catalog = Catalog(connection);
        let Ok(database) = DatabaseName::new(database) else { return Ok(self.config.default_batching) };
        for entity in [PolicyEntity::Table(table.to_owned()), PolicyEntity::Database(String::new())] {
            if let Some(json) = catalog.policy(&database, &entity, PolicyKind::IngestionBatching)? {
                return BatchingPolicy::parse_over(BatchingPolicy::KUSTO, &json)
                    .map_err(|error| EngineError::Corrupt(error.to_string()));
            }
        }
        Ok(self.config.default_batching)
    }
}
