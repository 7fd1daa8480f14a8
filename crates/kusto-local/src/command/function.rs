//! Stored functions.

use super::Context;
use crate::ServiceError;
use crate::state::State;
use kusto_engine::{Catalog, EngineError, StoredFunction};
use kusto_kql::{FunctionCommand, FunctionMode};
use kusto_types::ColumnType;
use kusto_wire::ResultTable;

pub(super) fn execute(
    state: &State,
    context: &Context<'_>,
    command: FunctionCommand,
) -> Result<ResultTable, ServiceError> {
    let functions = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        let missing = |name: String| EngineError::NotFound { kind: "function", name };
        Ok::<_, ServiceError>(match command {
            FunctionCommand::Define { name, parameters, body, folder, docstring, mode } => {
                let existing = catalog.function(&database, &name)?;
                match (mode, existing) {
                    (FunctionMode::Create, Some(_)) => {
                        let detail = "; use .create-or-alter function".to_owned();
                        return Err(EngineError::Exists { kind: "function", name, detail }.into());
                    }
                    (FunctionMode::Alter, None) => return Err(missing(name).into()),
                    (FunctionMode::IfNotExists, Some(existing)) => vec![existing],
                    _ => {
                        let function = StoredFunction { name, parameters, body, folder, docstring };
                        catalog.set_function(&database, &function)?;
                        vec![function]
                    }
                }
            }
            FunctionCommand::Drop { name, if_exists } => {
                if !catalog.drop_function(&database, &name)? && !if_exists {
                    return Err(missing(name).into());
                }
                catalog.functions(&database)?
            }
            FunctionCommand::Show { name: None } => catalog.functions(&database)?,
            FunctionCommand::Show { name: Some(name) } => {
                vec![catalog.function(&database, &name)?.ok_or_else(|| missing(name))?]
            }
        })
    })?;
    let mut result = ResultTable::new(
        "Table_0",
        ["Name", "Parameters", "Body", "Folder", "DocString"].map(|name| (name, ColumnType::String)),
    );
    for function in functions {
        result = result.with_row(vec![
            function.name.into(),
            function.parameters.into(),
            function.body.into(),
            function.folder.into(),
            function.docstring.into(),
        ]);
    }
    Ok(result)
}
