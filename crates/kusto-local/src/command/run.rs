//! Runs the commands that add data: within the capacity, at once or on its own with an
//! operation id to ask after.

use super::Context;
use super::data::{self, Work};
use crate::ServiceError;
use crate::running::{RunningKind, Stop};
use crate::state::State;
use crate::store::operations::{self, CommandEnd};
use kusto_engine::EngineError;
use kusto_kql::Execution;
use kusto_types::ColumnType;
use kusto_wire::ResultTable;
use std::sync::Arc;
use std::time::Duration;

/// Runs a command, or starts it and gives its operation id. Blocking.
pub(super) fn carry_out(
    state: &Arc<State>,
    context: &Context<'_>,
    work: Work,
    execution: Execution,
) -> Result<ResultTable, ServiceError> {
    state.room.check()?;
    let Ok(permit) = state.capacity.clone().try_acquire_owned() else {
        return Err(ServiceError::Throttled {
            what: "ingestion commands (CapacityPolicy/Ingestion)",
            after: Some(Duration::from_secs(1)),
        });
    };
    let database =
        state.store.read(|connection| crate::query::database_of(connection, context.database))?.to_string();
    let id = uuid::Uuid::new_v4().to_string();
    state.store.transact(|transaction| {
        operations::begin(transaction, &id, work.operation_kind(), &database, work.table())
    })?;
    let named = (id.as_str(), work.operation_kind());
    let place = (database.as_str(), work.table());
    let ticket = state.running.enter(RunningKind::Operation, named, context.caller, place, Stop::default());
    match execution {
        Execution::Wait => {
            let result = data::run(state, &database, work, &id, &ticket.stop);
            note(state, &id, &result);
            result
        }
        Execution::Async => {
            let (worker, operation) = (state.clone(), id.clone());
            state.background.spawn_blocking(move || {
                let result = data::run(&worker, &database, work, &operation, &ticket.stop);
                note(&worker, &operation, &result);
                drop((permit, ticket));
            });
            Ok(ResultTable::new("Table_0", [("OperationId", ColumnType::Guid)]).with_row(vec![id.into()]))
        }
    }
}

fn note(state: &State, id: &str, result: &Result<ResultTable, ServiceError>) {
    let recorded = state.store.transact(|transaction| match result {
        Ok(table) => operations::end(transaction, id, CommandEnd::Completed, "", false, Some(table)),
        Err(error @ ServiceError::Engine(EngineError::Cancelled(_))) => {
            operations::end(transaction, id, CommandEnd::Canceled, &error.to_string(), false, None)
        }
        Err(error) => {
            let retry = !error.is_permanent();
            operations::end(transaction, id, CommandEnd::Failed, &error.to_string(), retry, None)
        }
    });
    if let Err(error) = recorded {
        tracing::error!(%error, operation = id, "the end of an operation cannot be recorded");
    }
}
