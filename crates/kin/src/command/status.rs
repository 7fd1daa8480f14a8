//! `kin status`.

use crate::arguments::{IngestOutput, Status};
use crate::cluster::Cluster;
use crate::command::ingest::{describe, outcome_json};
use crate::failure::Failure;
use crate::printer;
use kusto_ingest::{Outcome, QueuedIngestClient, SourceId};

pub(crate) async fn run(arguments: Status) -> Result<(), Failure> {
    let id: SourceId = arguments
        .id
        .parse()
        .map_err(|_| Failure::usage(format!("{} is not a source id (a guid)", arguments.id)))?;
    let cluster = Cluster::open(&arguments.target).await?;
    let outcome = QueuedIngestClient::new(&cluster.client).outcome(id).await;
    cluster.close().await;
    let outcome = outcome?;
    match (arguments.output, &outcome) {
        (IngestOutput::Json, Some(outcome)) => printer::json(&outcome_json(&arguments.id, outcome)),
        (IngestOutput::Json, None) => {
            printer::json(&serde_json::json!({"source_id": arguments.id, "status": "pending"}))
        }
        (IngestOutput::Text, Some(outcome)) => printer::line(&describe(outcome)),
        (IngestOutput::Text, None) => printer::line("pending: the service has it and has not decided yet"),
    }
    match outcome {
        Some(Outcome::Succeeded | Outcome::Skipped { .. }) => Ok(()),
        Some(Outcome::Failed { .. } | Outcome::PartiallySucceeded { .. }) => {
            Err(Failure::new(1, "the source failed"))
        }
        _ => Err(Failure::new(5, "the outcome is not confirmed")),
    }
}
