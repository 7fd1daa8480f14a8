//! Streaming ingestion: one request, decoded and committed before it is answered. A
//! source that the client names by its id is taken once, also when the client sends it
//! again because the answer was lost.

use super::failpoint::reach;
use super::stage::{Stage, commit_of};
use super::target::Target;
use super::update::{self, NewRows};
use crate::ServiceError;
use crate::state::State;
use crate::store::batches;
use crate::store::reports::Outcome;
use kusto_decode::Input;
use kusto_engine::{Catalog, CatalogCommit, CommitOutcome, StreamedRows, TableCommit};
use kusto_kql::{PolicyEntity, PolicyKind};
use kusto_types::SourceId;
use kusto_wire::AdditionalProperties;
use std::sync::Arc;

/// A payload to stream.
pub(crate) struct Streamed {
    pub(crate) database: String,
    pub(crate) table: String,
    /// Format and mapping reference.
    pub(crate) properties: AdditionalProperties,
    /// The id that the client gave the source, when it gave one.
    pub(crate) source: Option<SourceId>,
    pub(crate) input: Input,
    pub(crate) location: String,
}

/// Whether a policy of the table or its database switches streaming off.
fn is_off(state: &State, database: &str, table: &str) -> Result<bool, ServiceError> {
    state.store.read(|connection| {
        let catalog = Catalog(connection);
        let Ok(database) = catalog.database(database) else { return Ok(false) };
        for entity in [PolicyEntity::Table(table.to_owned()), PolicyEntity::Database(String::new())] {
            if let Some(json) = catalog.policy(&database, &entity, PolicyKind::StreamingIngestion)? {
                let policy: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
                return Ok(policy["IsEnabled"] == false);
            }
        }
        Ok(false)
    })
}

fn fault(outcome: Outcome) -> ServiceError {
    match outcome {
        Outcome::Failed { code, details, .. } => ServiceError::BadData { code, message: details },
        Outcome::Succeeded { .. } | Outcome::Skipped { .. } => {
            ServiceError::BadRequest("the payload was not ingested".to_owned())
        }
    }
}

/// Ingests a payload; how many records it had. Blocking.
pub(crate) fn ingest(state: &Arc<State>, streamed: Streamed) -> Result<u64, ServiceError> {
    let Streamed { database, table, properties, source, input, location } = streamed;
    if is_off(state, &database, &table)? {
        return Err(ServiceError::BadData {
            code: "BadRequest_StreamingIngestionPolicyNotEnabled".to_owned(),
            message: format!(
                "Streaming ingestion policy is not enabled for the table. Database='{database}' Table='{table}'"
            ),
        });
    }
    let target = state
        .store
        .read(|connection| Target::find(connection, &database, &table, &properties, ""))?
        .map_err(fault)?;
    if !target.format.is_streamable() {
        return Err(ServiceError::BadData {
            code: "BadRequest_FormatNotSupported".to_owned(),
            message: format!("format {} cannot be streamed; queue it", target.format),
        });
    }
    let folder = format!("stream-{}", uuid::Uuid::new_v4());
    let mut stage = Stage::new(&state.store.root.join("extents"), folder);
    let (report, small) = stage.add_small(input, &target, &location)?.map_err(fault)?;
    let commit = commit_of(target.table, stage.finish()?, &properties);
    let rows = match &small {
        Some(content) => NewRows::Streamed(StreamedRows::pending(content.clone())),
        None => NewRows::Extents(&commit.extents),
    };
    let updates = update::derive(state, target.table, rows)?.map_err(|failure| ServiceError::BadData {
        code: failure.code.to_owned(),
        message: failure.details,
    })?;
    let outcome = state.store.transact(|transaction| {
        if let Some(id) = source
            && !batches::add_streamed(transaction, &database, &table, id, report.rows)?
        {
            tracing::info!(source = %id, "the same source was streamed before; nothing is added");
            return Ok(CommitOutcome::Committed);
        }
        let outcome = match &small {
            Some(content) => {
                Catalog(transaction).append_streamed(target.table, report.rows, report.raw_bytes, content)?
            }
            None => CatalogCommit.commit(transaction, &commit)?,
        };
        if outcome == CommitOutcome::Committed {
            updates.commit(transaction, &database, &uuid::Uuid::new_v4().to_string())?;
        }
        Ok::<_, ServiceError>(outcome)
    })?;
    reach(state.config.crash_at.as_deref(), "rows-streamed");
    match outcome {
        CommitOutcome::Committed | CommitOutcome::Tagged(_) => Ok(report.rows),
        CommitOutcome::TableGone => {
            Err(kusto_engine::EngineError::NotFound { kind: "table", name: table }.into())
        }
    }
}
