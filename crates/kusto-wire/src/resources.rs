//! The result of `.get ingestion resources`: two string columns, five known types.

use crate::{ResultTable, SecretUrl};
use kusto_types::ColumnType;

/// The storage that a service hands out for queued ingestion. URLs carry their SAS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestionResources {
    /// `TempStorage`: containers to upload to.
    pub containers: Vec<SecretUrl>,
    /// `SecuredReadyForAggregationQueue`: queues to post messages to.
    pub queues: Vec<SecretUrl>,
    /// `SuccessfulIngestionsQueue`.
    pub success_queues: Vec<SecretUrl>,
    /// `FailedIngestionsQueue`.
    pub failure_queues: Vec<SecretUrl>,
    /// `IngestionsStatusTable`.
    pub status_tables: Vec<SecretUrl>,
}

/// Why a result does not hold ingestion resources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// A column is missing.
    #[error("the ingestion resources have no column {0}")]
    Column(&'static str),
    /// The list lacks something that queued ingestion cannot do without.
    #[error("the service hands out no {0}; is the URL the data-management (ingest-) endpoint?")]
    Missing(&'static str),
}

impl IngestionResources {
    /// Reads the result; unknown types are passed over.
    pub fn decode(table: &ResultTable) -> Result<Self, ResourceError> {
        let kind = table.position("ResourceTypeName").ok_or(ResourceError::Column("ResourceTypeName"))?;
        let root = table.position("StorageRoot").ok_or(ResourceError::Column("StorageRoot"))?;
        let mut resources = Self::default();
        for row in &table.rows {
            let (Some(kind), Some(root)) = (row[kind].as_str(), row[root].as_str()) else { continue };
            let url = SecretUrl::new(root);
            match kind {
                "TempStorage" => resources.containers.push(url),
                "SecuredReadyForAggregationQueue" => resources.queues.push(url),
                "SuccessfulIngestionsQueue" => resources.success_queues.push(url),
                "FailedIngestionsQueue" => resources.failure_queues.push(url),
                "IngestionsStatusTable" => resources.status_tables.push(url),
                _ => {}
            }
        }
        if resources.containers.is_empty() {
            return Err(ResourceError::Missing("container to upload to (TempStorage)"));
        }
        if resources.queues.is_empty() {
            return Err(ResourceError::Missing("ingestion queue (SecuredReadyForAggregationQueue)"));
        }
        Ok(resources)
    }

    /// The result table.
    pub fn encode(&self) -> ResultTable {
        let mut table = ResultTable::new(
            "Table_0",
            [("ResourceTypeName", ColumnType::String), ("StorageRoot", ColumnType::String)],
        );
        for (kind, urls) in [
            ("SecuredReadyForAggregationQueue", &self.queues),
            ("FailedIngestionsQueue", &self.failure_queues),
            ("SuccessfulIngestionsQueue", &self.success_queues),
            ("TempStorage", &self.containers),
            ("IngestionsStatusTable", &self.status_tables),
        ] {
            for url in urls {
                table = table.with_row(vec![kind.into(), url.with_secrets().into()]);
            }
        }
        table
    }
}
