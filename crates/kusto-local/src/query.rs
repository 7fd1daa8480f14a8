//! Runs queries against the catalog and its extents.

use crate::ServiceError;
use crate::access::{Caller, Need};
use crate::state::State;
use kusto_engine::{Catalog, EngineError, ExtentScan, QueryLimits, QueryResult, run_plan};
use kusto_kql::plan::{Plan, PlanSource};
use kusto_kql::{Scope, check_query, parse_query};
use kusto_types::{DatabaseName, DateTime, TableSchema};
use kusto_wire::{RequestProperties, ResultColumn, ResultTable};
use rusqlite::Connection;

/// The names that a query can see.
pub(crate) struct CatalogScope<'c> {
    pub(crate) catalog: Catalog<'c>,
    pub(crate) database: DatabaseName,
    pub(crate) now: DateTime,
}

impl<'c> CatalogScope<'c> {
    pub(crate) fn new(connection: &'c Connection, database: DatabaseName) -> Self {
        Self { catalog: Catalog(connection), database, now: DateTime::now() }
    }

    fn resolve(&self, database: Option<&str>) -> Option<DatabaseName> {
        match database {
            None => Some(self.database.clone()),
            Some(name) => self.catalog.database(name).ok(),
        }
    }
}

impl Scope for CatalogScope<'_> {
    fn table(&self, database: Option<&str>, table: &str) -> Option<TableSchema> {
        let database = self.resolve(database)?;
        match self.catalog.find_table(&database, table) {
            Ok(found) => found.map(|table| table.schema),
            Err(error) => {
                tracing::error!(%error, "the catalog cannot be read");
                None
            }
        }
    }
    fn table_names(&self) -> Vec<String> {
        let tables = self.catalog.tables(&self.database).unwrap_or_default();
        tables.into_iter().map(|table| table.name.to_string()).collect()
    }
    fn database(&self) -> &str {
        self.database.as_str()
    }
    fn now(&self) -> DateTime {
        self.now
    }
}

/// The database that a request names; none or an empty one is the default.
pub(crate) fn database_of(connection: &Connection, name: Option<&str>) -> Result<DatabaseName, ServiceError> {
    match name.map(str::trim).filter(|name| !name.is_empty()) {
        None => Ok(DatabaseName::net_default()),
        Some(name) => Ok(Catalog(connection).database(name)?),
    }
}

/// Checks and runs a query text: one result a tabular statement.
pub(crate) fn run(
    state: &State,
    caller: &Caller,
    database: Option<&str>,
    text: &str,
    properties: &RequestProperties,
) -> Result<Vec<QueryResult>, ServiceError> {
    // The catalog is read once, so that all statements see the same extents; the files
    // are read after the database is free again.
    let store = &state.store;
    let plans: Vec<(Plan, Option<ExtentScan>)> = store.read(|connection| {
        let scope = CatalogScope::new(connection, database_of(connection, database)?);
        let access = &state.config.access;
        // Whoever may not query a database is not told what is in it either.
        access.check(connection, caller, &Need::Query(scope.database.to_string()))?;
        let plans = check_query(&parse_query(text)?, &scope, &properties.parameters)?;
        plans
            .into_iter()
            .map(|plan| {
                let scan = match &plan.source {
                    PlanSource::Table { database, table } => {
                        let database = match database {
                            Some(name) => {
                                let database = scope.catalog.database(name)?;
                                access.check(connection, caller, &Need::Query(database.to_string()))?;
                                database
                            }
                            None => scope.database.clone(),
                        };
                        let table = scope.catalog.table(&database, table)?;
                        let extents = scope.catalog.extents(table.id)?;
                        Some(ExtentScan { root: store.root.join("extents"), extents, schema: table.schema })
                    }
                    _ => None,
                };
                Ok::<_, ServiceError>((plan, scan))
            })
            .collect()
    })?;
    let limits = if properties.is_on("notruncation") { QueryLimits::NONE } else { QueryLimits::KUSTO };
    plans
        .into_iter()
        .map(|(plan, scan)| {
            let table = |_: Option<&str>, name: &str| {
                scan.clone().ok_or_else(|| EngineError::NotFound { kind: "table", name: name.to_owned() })
            };
            Ok(run_plan(&plan, limits, &table)?)
        })
        .collect()
}

/// A result as the wire has it.
pub(crate) fn to_table(result: &QueryResult) -> ResultTable {
    let columns = result
        .columns
        .iter()
        .map(|(name, column_type)| ResultColumn { name: name.clone(), column_type: *column_type })
        .collect();
    ResultTable { name: "PrimaryResult".to_owned(), columns, rows: result.json_rows() }
}
