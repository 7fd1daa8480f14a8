//! What an accepted ingestion leads to.

use crate::resources::ResourceCache;
use crate::{Error, Transport, storage};
use kusto_types::SourceId;
use kusto_wire::{FailureStatus, IngestionStatus, StatusRow};
use std::sync::Arc;
use std::time::Duration;

/// What became of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its rows are in the table.
    Succeeded,
    /// Some of its rows are in the table.
    PartiallySucceeded {
        /// What the service says about the rest.
        details: String,
    },
    /// The service left it out on purpose (ingestIfNotExists).
    Skipped {
        /// Why.
        details: String,
    },
    /// It is not in the table.
    Failed {
        /// The service's error code.
        code: String,
        /// Whether the same source can never succeed.
        permanent: bool,
        /// What happened.
        details: String,
    },
    /// Nothing is known: not tracked, or no answer in time. The rows may or may not be
    /// in the table.
    Unknown {
        /// Why nothing is known.
        reason: String,
    },
}

impl Outcome {
    /// The outcome that a final status row tells; `None` while it is pending.
    pub(crate) fn of(row: &StatusRow) -> Option<Self> {
        let details = row.details.clone().unwrap_or_default();
        Some(match row.status {
            IngestionStatus::Pending => return None,
            IngestionStatus::Queued => {
                Self::Unknown { reason: "the service reports nothing about this source".to_owned() }
            }
            IngestionStatus::Succeeded => Self::Succeeded,
            IngestionStatus::Skipped => Self::Skipped { details },
            IngestionStatus::PartiallySucceeded => Self::PartiallySucceeded { details },
            IngestionStatus::Failed => Self::Failed {
                code: row.error_code.clone().unwrap_or_else(|| "Unknown".to_owned()),
                permanent: row.failure_status == Some(FailureStatus::Permanent),
                details,
            },
        })
    }
}

/// An accepted ingestion: its message is in the service's queue.
pub struct IngestionHandle {
    pub(crate) source_id: SourceId,
    pub(crate) tracked: bool,
    pub(crate) transport: Transport,
    pub(crate) cache: Arc<ResourceCache>,
}

impl std::fmt::Debug for IngestionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IngestionHandle")
            .field("source_id", &self.source_id)
            .field("tracked", &self.tracked)
            .finish_non_exhaustive()
    }
}

impl IngestionHandle {
    /// The id that every status of the source has.
    pub fn source_id(&self) -> SourceId {
        self.source_id
    }

    /// Waits until the service has decided. Needs [`IngestionProperties::tracked`];
    /// without it the outcome is [`Outcome::Unknown`] at once.
    ///
    /// [`IngestionProperties::tracked`]: crate::IngestionProperties::tracked
    pub async fn ingested(&self) -> Result<Outcome, Error> {
        if !self.tracked {
            let reason = "the ingestion was not asked to report to the status table".to_owned();
            return Ok(Outcome::Unknown { reason });
        }
        let mut pause = Duration::from_millis(100);
        loop {
            match self.status().await? {
                Some(row) => {
                    if let Some(outcome) = Outcome::of(&row) {
                        return Ok(outcome);
                    }
                }
                None => return Ok(Outcome::Unknown { reason: "the status row is gone".to_owned() }),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(5));
        }
    }

    /// Like [`ingested`](Self::ingested), but gives up after a time: the outcome is then
    /// [`Outcome::Unknown`], and asking again is fine.
    pub async fn ingested_within(&self, limit: Duration) -> Result<Outcome, Error> {
        match tokio::time::timeout(limit, self.ingested()).await {
            Ok(outcome) => outcome,
            Err(_) => Ok(Outcome::Unknown {
                reason: format!("the service has not decided within {} s", limit.as_secs()),
            }),
        }
    }

    async fn status(&self) -> Result<Option<StatusRow>, Error> {
        read_status(&self.transport, &self.cache, self.source_id).await
    }
}

/// The status row of a source that this library posted.
pub(crate) async fn read_status(
    transport: &Transport,
    cache: &ResourceCache,
    id: SourceId,
) -> Result<Option<StatusRow>, Error> {
    let (resources, _) = cache.get().await?;
    let Some(table) = resources.status_tables.first() else { return Ok(None) };
    let key = id.to_string();
    match storage::status(transport, table, &key, &key).await {
        Err(error) if storage::is_expired(&error) => {
            cache.expire(&resources).await;
            let (resources, _) = cache.get().await?;
            match resources.status_tables.first() {
                Some(table) => storage::status(transport, table, &key, &key).await,
                None => Ok(None),
            }
        }
        other => other,
    }
}
