//! Carries out management commands.

mod data;
mod run;
mod show;

use crate::ServiceError;
use crate::access::{Caller, Grants};
use crate::http::Address;
use crate::state::State;
use kusto_batch::BatchingPolicy;
use kusto_engine::Catalog;
use kusto_kql::plan::OutputColumn;
use kusto_kql::{
    Command, Execution, Literal, PolicyAction, PolicyEntity, PolicyKind, PrincipalChange, Role, parse_command,
};
use kusto_types::{
    Column, ColumnName, ColumnType, DatabaseName, IngestionMapping, MappingName, TableName, TableSchema,
};
use kusto_wire::ResultTable;
use rusqlite::Connection;
use serde_json::Value;
use std::sync::Arc;

/// Where and for whom a command runs.
pub(crate) struct Context<'r> {
    /// The database of the request.
    pub(crate) database: Option<&'r str>,
    /// Scheme, host and port that the caller used, for the URLs handed out.
    pub(crate) address: &'r Address,
    /// Who sends it.
    pub(crate) caller: &'r Caller,
}

/// What the service hands out for queued ingestion, in URLs of the caller's base.
pub(crate) fn ingestion_resources(
    state: &State,
    address: &Address,
) -> Result<kusto_wire::IngestionResources, ServiceError> {
    match &state.account {
        Some(account) => account.resources(),
        None => Ok(show::resources(state, address)),
    }
}

fn bad(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::BadRequest(error.to_string())
}

/// Parses and runs a command text; blocking.
pub(crate) fn run(
    state: &Arc<State>,
    text: &str,
    context: &Context<'_>,
) -> Result<(ResultTable, bool), ServiceError> {
    let parsed = parse_command(text)?;
    authorize(state, &parsed.command, context)?;
    let table = execute(state, parsed.command, context)?;
    let Some(pipe) = parsed.pipe else { return Ok((table, false)) };
    let input: Vec<OutputColumn> =
        table.columns.iter().map(|column| (column.name.clone(), column.column_type)).collect();
    let rows: Vec<Vec<Literal>> = table
        .rows
        .iter()
        .map(|row| {
            row.iter().zip(&input).map(|(cell, (_, column_type))| literal(cell, *column_type)).collect()
        })
        .collect();
    let result = crate::query::run_over(state, context.caller, context.database, &pipe, input, &rows)?;
    Ok((crate::query::to_table(&result), true))
}

/// Fails when the caller may not do what the command does.
fn authorize(state: &State, command: &Command, context: &Context<'_>) -> Result<(), ServiceError> {
    state.store.read(|connection| {
        let catalog = Catalog(connection);
        // What a missing database would need is asked of its name.
        let database = match crate::query::database_of(connection, context.database) {
            Ok(database) => database.to_string(),
            Err(_) => context.database.unwrap_or_default().to_owned(),
        };
        let exists = |table: &str| {
            let database = catalog.database(&database);
            database
                .is_ok_and(|database| catalog.find_table(&database, table).is_ok_and(|found| found.is_some()))
        };
        let needs = crate::access::of_command(command, &database, exists);
        needs.iter().try_for_each(|need| state.config.access.check(connection, context.caller, need))
    })
}

/// Makes the one who created a table its administrator, as Kusto does.
fn own(connection: &Connection, caller: &Caller, database: &str, table: &str) -> Result<(), ServiceError> {
    if !caller.anonymous {
        let principals = [caller.principal.clone()];
        Grants(connection).change(
            (database, table),
            Role::Admin,
            PrincipalChange::Add,
            &principals,
            "creator",
        )?;
    }
    Ok(())
}

fn change_principals(
    state: &State,
    context: &Context<'_>,
    entity: &PolicyEntity,
    role: Role,
    change: PrincipalChange,
    (principals, notes): (&[String], &str),
) -> Result<ResultTable, ServiceError> {
    let principals = principals
        .iter()
        .map(|text| crate::Principal::parse(text).map_err(bad))
        .collect::<Result<Vec<_>, _>>()?;
    state.store.transact(|transaction| {
        let (database, table) = show::named_entity(transaction, context, entity)?;
        Grants(transaction).change((&database, &table), role, change, &principals, notes)?;
        show::principal_rows(transaction, &database, &table)
    })
}

fn literal(cell: &Value, column_type: ColumnType) -> Literal {
    match (cell, column_type) {
        (Value::String(text), ColumnType::String) => Literal::String(text.clone()),
        (Value::Null, _) => Literal::null(column_type),
        (Value::Bool(value), ColumnType::Bool) => Literal::Bool(Some(*value)),
        (Value::Number(number), ColumnType::Long) => Literal::Long(number.as_i64()),
        (Value::Number(number), ColumnType::Int) => {
            Literal::Int(number.as_i64().and_then(|n| i32::try_from(n).ok()))
        }
        (Value::Number(number), ColumnType::Real) => Literal::Real(number.as_f64()),
        (Value::String(text), ColumnType::DateTime) => {
            Literal::DateTime(kusto_types::DateTime::parse(text).map(kusto_types::DateTime::ticks))
        }
        (Value::String(text), ColumnType::Guid) => Literal::Guid(Some(text.clone())),
        (other, ColumnType::Dynamic) => Literal::Dynamic(Some(other.to_string())),
        (other, _) => Literal::String(other.to_string()),
    }
}

fn execute(state: &Arc<State>, command: Command, context: &Context<'_>) -> Result<ResultTable, ServiceError> {
    let database = |connection: &Connection| crate::query::database_of(connection, context.database);
    match command {
        Command::IngestInline { table, properties, data } => {
            let work = data::Work::Inline { table, properties, data };
            run::carry_out(state, context, work, Execution::Wait)
        }
        Command::IngestPull { table, locators, properties, execution } => {
            let work = data::Work::Pull { table, locators, properties };
            run::carry_out(state, context, work, execution)
        }
        Command::Fill { table, mode, properties, query, execution } => {
            let caller = context.caller.clone();
            let work = data::Work::Fill { table, mode, properties, query, caller };
            run::carry_out(state, context, work, execution)
        }
        Command::FlushIngestion { table } => {
            let database = state.store.read(database)?;
            state
                .flushes
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push((database.to_string(), table.clone()));
            state.arrivals.notify_one();
            Ok(ResultTable::new("Table_0", [("Table", ColumnType::String)]).with_row(vec![table.into()]))
        }
        Command::CacheControl => {
            Ok(ResultTable::new("Table_0", [("NodeId", ColumnType::String), ("Status", ColumnType::String)])
                .with_row(vec!["local".into(), "Succeeded".into()]))
        }
        Command::CreateDatabase { name, if_not_exists } => {
            let name = DatabaseName::new(name).map_err(bad)?;
            state.store.transact(|transaction| Catalog(transaction).create_database(&name, if_not_exists))?;
            Ok(ResultTable::new(
                "Table_0",
                [
                    ("DatabaseName", ColumnType::String),
                    ("PersistentPath", ColumnType::String),
                    ("Created", ColumnType::String),
                    ("StoresMetadata", ColumnType::Bool),
                    ("StoresData", ColumnType::Bool),
                ],
            )
            .with_row(vec![
                name.as_str().into(),
                "".into(),
                "true".into(),
                true.into(),
                true.into(),
            ]))
        }
        Command::CreateTable { name, columns, mode, folder, docstring } => {
            let name = TableName::new(name).map_err(bad)?;
            let columns = columns
                .into_iter()
                .map(|(name, column_type)| Ok(Column { name: ColumnName::new(name)?, column_type }))
                .collect::<Result<Vec<_>, kusto_types::NameError>>()
                .map_err(bad)?;
            let schema = TableSchema::new(columns).map_err(bad)?;
            let table = state.store.transact(|transaction| {
                let database = database(transaction)?;
                let catalog = Catalog(transaction);
                let is_new = catalog.find_table(&database, name.as_str())?.is_none();
                catalog.create_table(&database, &name, &schema, mode, &folder, &docstring)?;
                if is_new {
                    own(transaction, context.caller, database.as_str(), name.as_str())?;
                }
                Ok::<_, ServiceError>(catalog.table(&database, name.as_str())?)
            })?;
            Ok(show::schema_rows(&[table]))
        }
        Command::ClearTable { name } => {
            state.store.transact(|transaction| {
                let database = database(transaction)?;
                let catalog = Catalog(transaction);
                Ok::<_, ServiceError>(catalog.clear_table(&catalog.table(&database, &name)?)?)
            })?;
            Ok(ResultTable::new("Table_0", [("NodeId", ColumnType::String), ("Status", ColumnType::String)])
                .with_row(vec!["local".into(), "Succeeded".into()]))
        }
        Command::DropTables { names, if_exists } => {
            let left = state.store.transact(|transaction| {
                let database = database(transaction)?;
                let catalog = Catalog(transaction);
                for name in &names {
                    catalog.drop_table(&database, name, if_exists)?;
                    Grants(transaction).forget_table(database.as_str(), name)?;
                }
                Ok::<_, ServiceError>(catalog.tables(&database)?)
            })?;
            Ok(show::table_rows(&left))
        }
        Command::CreateMapping { table, kind, name, json, mode } => {
            let mapping = IngestionMapping::parse(kind, &json).map_err(|error| {
                let mut message = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(next) = cause {
                    message = format!("{message}: {next}");
                    cause = next.source();
                }
                ServiceError::BadData { code: "BadRequest_InvalidMapping".to_owned(), message }
            })?;
            let name = MappingName::new(name).map_err(bad)?;
            let (database, record) = state.store.transact(|transaction| {
                let database = database(transaction)?;
                let catalog = Catalog(transaction);
                let table = catalog.table(&database, &table)?;
                let record = catalog.set_mapping(&table, &name, &mapping, mode)?;
                Ok::<_, ServiceError>((database, record))
            })?;
            Ok(show::mapping_rows(&database, &[record]))
        }
        Command::DropMapping { table, kind, name } => {
            let (database, left) = state.store.transact(|transaction| {
                let database = database(transaction)?;
                let catalog = Catalog(transaction);
                let table = catalog.table(&database, &table)?;
                catalog.drop_mapping(&table, kind, &name)?;
                let left = catalog.mappings(&table)?;
                Ok::<_, ServiceError>((database, left))
            })?;
            Ok(show::mapping_rows(&database, &left))
        }
        Command::ChangePrincipals { entity, role, change, principals, notes } => {
            change_principals(state, context, &entity, role, change, (&principals, &notes))
        }
        Command::Policy { entity, policy, action } => change_policy(state, context, &entity, policy, action),
        other => state.store.read(|connection| show::show(state, connection, context, other)),
    }
}

fn change_policy(
    state: &State,
    context: &Context<'_>,
    entity: &PolicyEntity,
    policy: PolicyKind,
    action: PolicyAction,
) -> Result<ResultTable, ServiceError> {
    let (name, shown) = state.store.transact(|transaction| {
        let catalog = Catalog(transaction);
        let (database, name, kind) = match entity {
            PolicyEntity::Database(name) if !name.is_empty() => {
                let database = catalog.database(name)?;
                (database.clone(), format!("[{database}]"), "Database")
            }
            PolicyEntity::Database(_) => {
                let database = crate::query::database_of(transaction, context.database)?;
                (database.clone(), format!("[{database}]"), "Database")
            }
            PolicyEntity::Table(table) => {
                let database = crate::query::database_of(transaction, context.database)?;
                catalog.table(&database, table)?;
                (database.clone(), format!("[{database}].[{table}]"), "Table")
            }
        };
        let current = catalog.policy(&database, entity, policy)?;
        let parse = |base: BatchingPolicy, json: &str| {
            BatchingPolicy::parse_over(base, json).map(|parsed| parsed.to_json()).map_err(|error| {
                ServiceError::BadData {
                    code: "BadRequest_InvalidPolicy".to_owned(),
                    message: error.to_string(),
                }
            })
        };
        let new = match (&action, policy) {
            (PolicyAction::Show, _) => current,
            (PolicyAction::Delete, _) => {
                catalog.set_policy(&database, entity, policy, None)?;
                None
            }
            (PolicyAction::Alter(json), PolicyKind::IngestionBatching) => {
                Some(parse(BatchingPolicy::KUSTO, json)?)
            }
            (PolicyAction::AlterMerge(json), PolicyKind::IngestionBatching) => {
                let base = match &current {
                    Some(json) => BatchingPolicy::parse_over(BatchingPolicy::KUSTO, json).map_err(bad)?,
                    None => BatchingPolicy::KUSTO,
                };
                Some(parse(base, json)?)
            }
            (PolicyAction::Alter(json) | PolicyAction::AlterMerge(json), PolicyKind::StreamingIngestion) => {
                let value: Value = serde_json::from_str(json).map_err(bad)?;
                Some(value.to_string())
            }
        };
        if let (PolicyAction::Alter(_) | PolicyAction::AlterMerge(_), Some(json)) = (&action, &new) {
            catalog.set_policy(&database, entity, policy, Some(json))?;
        }
        Ok::<_, ServiceError>(((name, kind), new))
    })?;
    Ok(ResultTable::new(
        "Table_0",
        [
            ("PolicyName", ColumnType::String),
            ("EntityName", ColumnType::String),
            ("Policy", ColumnType::String),
            ("ChildEntities", ColumnType::String),
            ("EntityType", ColumnType::String),
        ],
    )
    .with_row(vec![
        policy.policy_name().into(),
        name.0.into(),
        shown.unwrap_or_else(|| "null".to_owned()).into(),
        "".into(),
        name.1.into(),
    ]))
}
