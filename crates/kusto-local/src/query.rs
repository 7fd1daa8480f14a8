//! Runs queries against the catalog and its extents.

use crate::ServiceError;
use crate::access::{Caller, Need};
use crate::running::Stop;
use crate::state::State;
use kusto_engine::{
    Catalog, EngineError, ExtentScan, QueryLimits, QueryResult, Tables, run_plan, run_plan_over,
};
use kusto_kql::ast::FunctionDef;
use kusto_kql::plan::{OutputColumn, Plan, PlanSource};
use kusto_kql::{
    Literal, PolicyEntity, PolicyKind, Scope, check_pipeline, check_query, parse_function, parse_query,
};
use kusto_types::{DatabaseName, DateTime, TableSchema};
use kusto_wire::{RequestProperties, ResultColumn, ResultTable};
use rusqlite::Connection;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

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
    fn function(&self, name: &str) -> Option<FunctionDef> {
        match self.catalog.function(&self.database, name) {
            // What is stored was parsed before.
            Ok(found) => found.and_then(|function| parse_function(&function.definition()).ok()),
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
    stop: &Stop,
) -> Result<Vec<QueryResult>, ServiceError> {
    // The catalog is read once, so that all statements see the same extents; the files
    // are read after the database is free again.
    let store = &state.store;
    let (plans, scans) = store.read(|connection| {
        let scope = CatalogScope::new(connection, database_of(connection, database)?);
        let access = &state.config.access;
        // Whoever may not query a database is not told what is in it either.
        access.check(connection, caller, &Need::Query(scope.database.to_string()))?;
        let plans = check_query(&parse_query(text)?, &scope, &properties.parameters)?;
        let scans = Scans::of(state, connection, caller, &scope, &plans)?;
        Ok::<_, ServiceError>((plans, scans))
    })?;
    let limits = if properties.is_on("notruncation") { QueryLimits::NONE } else { QueryLimits::KUSTO };
    let reading = Reading { scans: &scans, stop };
    plans.iter().map(|plan| Ok(run_plan(plan, limits, &reading)?)).collect()
}

/// Checks and runs operators that were piped behind a command, over the command's rows.
pub(crate) fn run_over(
    state: &State,
    caller: &Caller,
    database: Option<&str>,
    operators: &str,
    columns: Vec<OutputColumn>,
    rows: &[Vec<Literal>],
) -> Result<QueryResult, ServiceError> {
    let (plan, scans) = state.store.read(|connection| {
        let database = database_of(connection, database).unwrap_or_else(|_| DatabaseName::net_default());
        let scope = CatalogScope::new(connection, database);
        let plan = check_pipeline(operators, columns, &scope)?;
        let scans = Scans::of(state, connection, caller, &scope, std::slice::from_ref(&plan))?;
        Ok::<_, ServiceError>((plan, scans))
    })?;
    let tables = |database: Option<&str>, table: &str| scans.get(database, table);
    Ok(run_plan_over(&plan, rows, QueryLimits::KUSTO, &tables)?)
}

/// Fails when a query is wrong, when the caller may not read what it reads, or when it gives
/// other columns than these types.
pub(crate) fn check_feeder(
    state: &State,
    connection: &Connection,
    caller: &Caller,
    database: &DatabaseName,
    text: &str,
    wanted: &TableSchema,
) -> Result<(), ServiceError> {
    let scope = CatalogScope::new(connection, database.clone());
    state.config.access.check(connection, caller, &Need::Query(database.to_string()))?;
    let plans = check_query(&parse_query(text)?, &scope, &Default::default())?;
    Scans::of(state, connection, caller, &scope, &plans)?;
    let [plan] = plans.as_slice() else {
        return Err(ServiceError::BadRequest(format!(
            "the query gives {} results, one is needed",
            plans.len()
        )));
    };
    let given = plan.output.iter().map(|(_, column_type)| *column_type);
    if !given.eq(wanted.columns().iter().map(|column| column.column_type)) {
        let columns: Vec<String> = plan.output.iter().map(|(name, kind)| format!("{name}:{kind}")).collect();
        return Err(ServiceError::BadRequest(format!(
            "the query gives ({}) and the table has ({}); columns are matched by position",
            columns.join(","),
            wanted.csl()
        )));
    }
    Ok(())
}

/// The extents of every table that some plans read, as they were at one instant.
struct Scans(HashMap<(Option<String>, String), ExtentScan>);

impl Scans {
    fn of(
        state: &State,
        connection: &Connection,
        caller: &Caller,
        scope: &CatalogScope<'_>,
        plans: &[Plan],
    ) -> Result<Self, ServiceError> {
        let mut wanted = BTreeSet::new();
        for plan in plans {
            plan.visit(&mut |plan| {
                if let PlanSource::Table { database, table } = &plan.source {
                    wanted.insert((database.clone(), table.clone()));
                }
            });
        }
        let mut scans = HashMap::new();
        for (database, table) in wanted {
            let name = match &database {
                Some(name) => scope.catalog.database(name)?,
                None => scope.database.clone(),
            };
            state.config.access.check(connection, caller, &Need::Query(name.to_string()))?;
            let record = scope.catalog.table(&name, &table)?;
            if is_enabled(&scope.catalog, &name, &table, PolicyKind::RestrictedViewAccess)? {
                let need = Need::QueryRestricted(name.to_string(), table.clone());
                state.config.access.check(connection, caller, &need)?;
            }
            let extents = scope.catalog.extents(record.id)?;
            let streamed = scope.catalog.streamed(record.id)?;
            let root = state.store.root.join("extents");
            scans.insert(
                (database, table),
                ExtentScan { root, extents, streamed, schema: record.stored_schema() },
            );
        }
        Ok(Self(scans))
    }

    fn get(&self, database: Option<&str>, table: &str) -> Result<ExtentScan, EngineError> {
        let key = (database.map(str::to_owned), table.to_owned());
        let found = self.0.get(&key).cloned();
        found.ok_or_else(|| EngineError::NotFound { kind: "table", name: table.to_owned() })
    }
}

/// A query's extents, for as long as nobody stops it.
struct Reading<'r> {
    scans: &'r Scans,
    stop: &'r Stop,
}

impl Tables for Reading<'_> {
    fn scan(&self, database: Option<&str>, table: &str) -> Result<ExtentScan, EngineError> {
        self.scans.get(database, table)
    }

    fn go_on(&self) -> Result<(), EngineError> {
        self.stop.check()
    }
}

/// Whether a table's own policy of this kind is switched on.
fn is_enabled(
    catalog: &Catalog<'_>,
    database: &DatabaseName,
    table: &str,
    policy: PolicyKind,
) -> Result<bool, ServiceError> {
    let json = catalog.policy(database, &PolicyEntity::Table(table.to_owned()), policy)?;
    let policy: Value = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    Ok(crate::command::policy::member(&policy, "IsEnabled") == Some(&Value::Bool(true)))
}

/// A result as the wire has it.
pub(crate) fn to_table(result: &QueryResult) -> ResultTable {
    let columns = result
        .columns
        .iter()
        .map(|(name, column_type)| ResultColumn { name: name.clone(), column_type: *column_type })
        .collect();
    let visualization = result.visualization.as_ref().map(|visualization| {
        let kind = ("Visualization".to_owned(), Value::from(visualization.kind.clone()));
        let others = visualization.properties.iter();
        let others = others.map(|(name, value)| (name.clone(), Value::from(value.clone())));
        std::iter::once(kind).chain(others).collect()
    });
    ResultTable { name: "PrimaryResult".to_owned(), columns, rows: result.json_rows(), visualization }
}
