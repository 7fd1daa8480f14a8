//! Asks the service what became of an ingestion: a row of the status table, a v2
//! operation, or a command that runs on its own.

use super::outcome::{Outcome, SourceOutcome};
use crate::resources::Service;
use crate::{Error, ErrorKind, KustoClient, storage};
use futures_util::future::BoxFuture;
use kusto_client::{Resend, ServiceRequest, escape_segment};
use kusto_types::SourceId;
use kusto_wire::OperationStatus;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Key {
    /// A row of the status table (v1).
    Row { source_id: SourceId },
    /// A v2 operation.
    Operation { database: String, table: String, id: String },
    /// An `async` command.
    Command { database: String, id: String, source_id: SourceId },
}

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The sources so far; some may have no outcome yet.
    Sources(Vec<SourceOutcome>),
    /// Nothing can be known.
    Unknown(String),
}

impl Found {
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Sources(sources) => {
                !sources.is_empty() && sources.iter().all(|source| source.outcome.is_some())
            }
            Self::Unknown(_) => true,
        }
    }
}

/// Answers questions about ingestions.
pub(crate) trait Lookup: Send + Sync {
    fn look<'l>(&'l self, key: &'l Key) -> BoxFuture<'l, Result<Found, Error>>;
}

/// Asks the cluster.
pub(crate) struct StatusLookup {
    pub(crate) service: Arc<Service>,
    pub(crate) engine: KustoClient,
}

fn one(source_id: SourceId, outcome: Option<Outcome>) -> Found {
    Found::Sources(vec![SourceOutcome { source_id, outcome }])
}

impl Lookup for StatusLookup {
    fn look<'l>(&'l self, key: &'l Key) -> BoxFuture<'l, Result<Found, Error>> {
        Box::pin(async move {
            match key {
                Key::Row { source_id } => self.row(*source_id).await,
                Key::Operation { database, table, id } => self.operation(database, table, id).await,
                Key::Command { database, id, source_id } => self.command(database, id, *source_id).await,
            }
        })
    }
}

impl StatusLookup {
    async fn row(&self, id: SourceId) -> Result<Found, Error> {
        let transport = self.service.client.transport();
        let key = id.to_string();
        let mut renewed = false;
        let row = loop {
            let queues = self.service.queues().await?;
            let Some(table) = queues.resources.status_tables.first() else {
                return Ok(Found::Unknown("the service hands out no status table".to_owned()));
            };
            match storage::status(transport, table, &key, &key).await {
                Err(error) if storage::is_expired(&error) && !renewed => {
                    self.service.expire().await;
                    renewed = true;
                }
                other => break other?,
            }
        };
        Ok(match row {
            Some(row) => one(id, Outcome::of_row(&row)),
            None => Found::Unknown("there is no status row for this source".to_owned()),
        })
    }

    async fn operation(&self, database: &str, table: &str, id: &str) -> Result<Found, Error> {
        let answer = self
            .service
            .client
            .send(&ServiceRequest {
                method: http::Method::GET,
                path: format!(
                    "/v1/rest/ingestion/queued/{}/{}/{}?details=true",
                    escape_segment(database),
                    escape_segment(table),
                    escape_segment(id)
                ),
                activity: "getIngestionStatus",
                source: None,
                headers: Vec::new(),
                body: bytes::Bytes::new(),
                limit: Duration::from_secs(60),
                resend: Resend::ByPolicy,
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(404) => {
                return Ok(Found::Unknown("the service does not know the operation any more".to_owned()));
            }
            Err(error) => return Err(error),
        };
        let status: OperationStatus = serde_json::from_slice(&answer.body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the status of the operation cannot be read").caused_by(error)
        })?;
        let sources = status
            .details
            .iter()
            .map(|blob| SourceOutcome { source_id: blob.source_id, outcome: Outcome::of_blob(blob) });
        Ok(Found::Sources(sources.collect()))
    }

    async fn command(&self, database: &str, id: &str, source: SourceId) -> Result<Found, Error> {
        let answer = self.engine.management(database, &format!(".show operations {id}")).await?;
        let Some(table) = answer.primary().filter(|table| !table.rows.is_empty()) else {
            return Ok(Found::Unknown("the engine does not know the operation any more".to_owned()));
        };
        // The latest state, should there be a row for each.
        let row = table.rows.len() - 1;
        let text = |name: &str| table.text(row, name).unwrap_or_default();
        let outcome = Outcome::of_operation(&text("State"), text("Status"), &text("ShouldRetry"));
        Ok(one(source, outcome))
    }
}
