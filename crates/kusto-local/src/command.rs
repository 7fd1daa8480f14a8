//! Carries out management commands.

mod data;
mod extents;
mod function;
mod journal;
mod load;
pub(crate) mod policy;
mod run;
mod script;
mod show;
mod table;

use crate::ServiceError;
use crate::access::{Caller, Grants};
use crate::error::with_causes;
use crate::http::Address;
use crate::running::Stop;
use crate::state::State;
use kusto_engine::Catalog;
use kusto_kql::plan::OutputColumn;
use kusto_kql::{Command, Execution, Literal, PolicyEntity, PrincipalChange, Role, parse_command};
use kusto_types::{ColumnName, ColumnType, DatabaseName, IngestionMapping, MappingName};
use kusto_wire::{RequestProperties, ResultTable};
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
    /// The client's id of the request.
    pub(crate) client: &'r str,
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

/// What a command answers.
pub(crate) enum CommandResult {
    /// The command's own table.
    Table(ResultTable),
    /// The results of what was piped behind it.
    Queried(Vec<ResultTable>),
}

impl CommandResult {
    /// The tables, whichever they are.
    pub(crate) fn tables(self) -> Vec<ResultTable> {
        match self {
            Self::Table(table) => vec![table],
            Self::Queried(tables) => tables,
        }
    }
}

/// Parses and runs a command text; blocking.
pub(crate) fn run(
    state: &Arc<State>,
    text: &str,
    context: &Context<'_>,
) -> Result<CommandResult, ServiceError> {
    let parsed = parse_command(text)?;
    authorize(state, &parsed.command, context)?;
    let pending = journal::before(state, context, &parsed.command, text);
    let table = execute(state, parsed.command, context)?;
    journal::after(state, pending);
    let Some(pipe) = parsed.pipe else { return Ok(CommandResult::Table(table)) };
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
    let mut tables = vec![crate::query::to_table(&result)];
    if let Some(queries) = parsed.then {
        let properties = RequestProperties::default();
        let stop = Stop::of_query(&properties);
        let results =
            crate::query::run(state, context.caller, context.database, &queries, &properties, &stop)?;
        tables.extend(results.iter().map(crate::query::to_table));
    }
    Ok(CommandResult::Queried(tables))
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
        show::access::principal_rows(transaction, &database, &table)
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
        Command::CreateTables { tables, mode, folder, docstring } => {
            table::create(state, context, tables, mode, (&folder, &docstring))
        }
        Command::DropTables { names, if_exists } => table::drop(state, context, &names, if_exists),
        Command::RenameTables { names } => table::rename(state, context, names),
        Command::ClearTable { name } => table::clear(state, context, &name),
        Command::SetTableText { table, text, value } => {
            table::change(state, context, &table, |catalog, record| {
                catalog.set_table_text(record, text, &value)
            })
        }
        Command::RenameColumns { table, names } => {
            let shown: Vec<String> = names.iter().map(|(_, new)| new.clone()).collect();
            let names = names
                .into_iter()
                .map(|(old, new)| Ok((old, ColumnName::new(new).map_err(bad)?)))
                .collect::<Result<Vec<_>, ServiceError>>()?;
            table::change_columns(state, context, &table, &shown, |catalog, record| {
                catalog.rename_columns(record, &names)
            })
        }
        Command::DropColumns { table, columns, if_exists } => {
            table::change(state, context, &table, |catalog, record| {
                let mut columns = columns;
                columns.retain(|column| !if_exists || record.schema.position(column).is_some());
                if columns.is_empty() { Ok(()) } else { catalog.drop_columns(record, &columns) }
            })
        }
        Command::CreateLike { name, like, mode, folder, docstring } => {
            table::create_like(state, context, (name, &like), mode, (&folder, &docstring))
        }
        Command::AlterColumnType { table, column, column_type } => {
            let shown = [column.clone()];
            table::change_columns(state, context, &table, &shown, |catalog, record| {
                catalog.alter_column_type(record, &column, column_type)
            })
        }
        Command::Function(command) => function::execute(state, context, command),
        Command::ExecuteScript { properties, script } => {
            script::execute(state, context, &properties, &script)
        }
        Command::DropExtents { extents, effect } => extents::drop(state, context, extents, effect),
        Command::ChangeExtentTags { change, tags, extents } => {
            extents::change_tags(state, context, change, &tags, extents)
        }
        Command::CreateMapping { table, kind, name, json, mode } => {
            let mapping = IngestionMapping::parse(kind, &json).map_err(|error| ServiceError::BadData {
                code: "BadRequest_InvalidMapping".to_owned(),
                message: with_causes(&error),
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
        Command::ListBlobs(listing) => load::list_blobs(state, &listing),
        Command::LoadQueued(queued) => load::load(state, context, queued),
        Command::Cancel { what, reason } => load::cancel(state, context, &what, &reason),
        Command::MoveExtents { from, to, extents } => {
            extents::move_to(state, context, from.as_deref(), &to, extents)
        }
        Command::ReplaceExtents { table, dropped, moved } => {
            extents::replace(state, context, &table, &dropped, &moved)
        }
        Command::SetColumnTexts { table, texts, others } => {
            table::change(state, context, &table, |catalog, record| {
                catalog.set_column_texts(record, &texts, others)
            })
        }
        Command::PolicyOfTables { tables, policy, action } => {
            policy::change_tables(state, context, &tables, policy, &action)
        }
        Command::DuplicateNext { table, container, which } => {
            load::duplicate(state, context, &table, &container, which)
        }
        Command::ClusterPolicy { policy, action } => policy::change_cluster(state, &policy, action),
        Command::ChangePrincipals { entity, role, change, principals, notes } => {
            change_principals(state, context, &entity, role, change, (&principals, &notes))
        }
        Command::Policy { entity, policy, action } => policy::change(state, context, &entity, policy, action),
        other => state.store.read(|connection| show::show(state, connection, context, other)),
    }
}
