//! Commands that make, change and drop tables.

use super::{Context, bad, own, show};
use crate::ServiceError;
use crate::access::Grants;
use crate::state::State;
use kusto_engine::{Catalog, EngineError, TableRecord};
use kusto_kql::{CreateMode, NewTable};
use kusto_types::{Column, ColumnName, ColumnType, TableName, TableSchema};
use kusto_wire::ResultTable;

/// `.create table` and its kin, of one table or several: all are made or none.
pub(super) fn create(
    state: &State,
    context: &Context<'_>,
    tables: Vec<NewTable>,
    mode: CreateMode,
    (folder, docstring): (&str, &str),
) -> Result<ResultTable, ServiceError> {
    let tables = tables
        .into_iter()
        .map(|table| {
            let name = TableName::new(table.name).map_err(bad)?;
            let columns = table
                .columns
                .into_iter()
                .map(|(name, column_type)| Ok(Column { name: ColumnName::new(name)?, column_type }))
                .collect::<Result<Vec<_>, kusto_types::NameError>>()
                .map_err(bad)?;
            Ok((name, TableSchema::new(columns).map_err(bad)?))
        })
        .collect::<Result<Vec<_>, ServiceError>>()?;
    let records = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        let mut records = Vec::new();
        for (name, schema) in &tables {
            let is_new = catalog.find_table(&database, name.as_str())?.is_none();
            catalog.create_table(&database, name, schema, mode, folder, docstring)?;
            if is_new {
                own(transaction, context.caller, database.as_str(), name.as_str())?;
            }
            records.push(catalog.table(&database, name.as_str())?);
        }
        Ok::<_, ServiceError>(records)
    })?;
    Ok(show::schema_rows(&records))
}

/// `.create table B based-on A`: with its columns, and without its rows, policies and roles.
pub(super) fn create_like(
    state: &State,
    context: &Context<'_>,
    (name, like): (String, &str),
    mode: CreateMode,
    (folder, docstring): (&str, &str),
) -> Result<ResultTable, ServiceError> {
    let model = state.store.read(|connection| {
        let database = crate::query::database_of(connection, context.database)?;
        Ok::<_, ServiceError>(Catalog(connection).table(&database, like)?)
    })?;
    let columns = model.schema.columns().iter();
    let columns = columns.map(|column| (column.name.to_string(), column.column_type)).collect();
    let said = format!("Created based on {}", model.name);
    let docstring = if docstring.is_empty() { &said } else { docstring };
    let folder = if folder.is_empty() { &model.folder } else { folder };
    create(state, context, vec![NewTable { name, columns }], mode, (folder, docstring))
}

pub(super) fn drop(
    state: &State,
    context: &Context<'_>,
    names: &[String],
    if_exists: bool,
) -> Result<ResultTable, ServiceError> {
    let left = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        for name in names {
            catalog.drop_table(&database, name, if_exists)?;
            Grants(transaction).forget_table(database.as_str(), name)?;
        }
        Ok::<_, ServiceError>(catalog.tables(&database)?)
    })?;
    Ok(show::table_rows(&left))
}

/// `.rename tables`: all at once; the roles on them go along.
pub(super) fn rename(
    state: &State,
    context: &Context<'_>,
    names: Vec<(String, String)>,
) -> Result<ResultTable, ServiceError> {
    let names = names
        .into_iter()
        .map(|(old, new)| Ok((old, TableName::new(new).map_err(bad)?)))
        .collect::<Result<Vec<_>, ServiceError>>()?;
    let renamed = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        catalog.rename_tables(&database, &names)?;
        let pairs: Vec<(&str, &str)> = names.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        Grants(transaction).rename_tables(database.as_str(), &pairs)?;
        let found = names.iter().map(|(_, new)| catalog.table(&database, new.as_str()));
        Ok::<_, ServiceError>(found.collect::<Result<Vec<_>, _>>()?)
    })?;
    Ok(show::table_rows(&renamed))
}

/// Changes one table; what it is then.
fn changed(
    state: &State,
    context: &Context<'_>,
    name: &str,
    change: impl FnOnce(&Catalog<'_>, &TableRecord) -> Result<(), EngineError>,
) -> Result<TableRecord, ServiceError> {
    state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        change(&catalog, &catalog.table(&database, name)?)?;
        Ok(catalog.table(&database, name)?)
    })
}

/// Changes one table and shows what it is then.
pub(super) fn change(
    state: &State,
    context: &Context<'_>,
    name: &str,
    change: impl FnOnce(&Catalog<'_>, &TableRecord) -> Result<(), EngineError>,
) -> Result<ResultTable, ServiceError> {
    Ok(show::schema_rows(&[changed(state, context, name, change)?]))
}

/// Changes the columns of one table and shows those that it names, as they are then.
pub(super) fn change_columns(
    state: &State,
    context: &Context<'_>,
    name: &str,
    shown: &[String],
    change: impl FnOnce(&Catalog<'_>, &TableRecord) -> Result<(), EngineError>,
) -> Result<ResultTable, ServiceError> {
    let record = changed(state, context, name, change)?;
    let mut result = ResultTable::new(
        "Table_0",
        [
            ("EntityName", ColumnType::String),
            ("DataType", ColumnType::String),
            ("Policy", ColumnType::String),
        ],
    );
    for column in
        record.schema.columns().iter().filter(|column| shown.iter().any(|name| name == column.name.as_str()))
    {
        result = result.with_row(vec![
            format!("{}.{}", record.name, column.name).into(),
            column.column_type.clr_name().into(),
            "".into(),
        ]);
    }
    Ok(result)
}

/// `.clear table T data`
pub(super) fn clear(state: &State, context: &Context<'_>, name: &str) -> Result<ResultTable, ServiceError> {
    state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        Ok::<_, ServiceError>(catalog.clear_table(&catalog.table(&database, name)?)?)
    })?;
    Ok(ResultTable::new("Table_0", [("NodeId", ColumnType::String), ("Status", ColumnType::String)])
        .with_row(vec!["local".into(), "Succeeded".into()]))
}
