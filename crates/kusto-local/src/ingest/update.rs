//! Update policies: what is ingested into one table is queried, and the result goes into
//! another, in the same transaction. A transactional policy that fails fails the ingestion;
//! another is a failure of its own, and the ingestion succeeds.

use crate::ServiceError;
use crate::command::policy::member;
use crate::query::CatalogScope;
use crate::state::State;
use arrow_array::RecordBatch;
use kusto_engine::{
    Catalog, CatalogCommit, Commit, EngineError, Existing, ExtentRecord, ExtentScan, ExtentWriter, NewExtent,
    QueryLimits, StreamedRows, TableCommit, TableId, TableRecord, run_plan,
};
use kusto_kql::plan::PlanSource;
use kusto_kql::{PolicyKind, check_query, parse_query};
use kusto_types::{ColumnType, DatabaseName, DateTime};
use rusqlite::{Connection, params};
use serde_json::Value;
use std::sync::Arc;

/// How many tables a row may pass through; more are a circle.
const MOST_STEPS: usize = 10;

/// One policy of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpdatePolicy {
    pub(crate) enabled: bool,
    pub(crate) source: String,
    pub(crate) query: String,
    pub(crate) transactional: bool,
    pub(crate) propagates: bool,
}

impl UpdatePolicy {
    /// Reads the JSON of a policy: an array of objects, names in any case.
    pub(crate) fn parse(json: &Value) -> Result<Vec<Self>, String> {
        let Value::Array(items) = json else { return Err("an update policy is a JSON array".to_owned()) };
        let one = |item: &Value| {
            let text =
                |name: &str| member(item, name).and_then(Value::as_str).filter(|text| !text.is_empty());
            let flag = |name: &str, default| member(item, name).and_then(Value::as_bool).unwrap_or(default);
            Ok(Self {
                enabled: flag("IsEnabled", true),
                source: text("Source").ok_or("an update policy needs a Source")?.to_owned(),
                query: text("Query").ok_or("an update policy needs a Query")?.to_owned(),
                transactional: flag("IsTransactional", false),
                propagates: flag("PropagateIngestionProperties", false),
            })
        };
        items.iter().map(one).collect()
    }
}

/// The rows that an ingestion brings, before they are committed.
pub(crate) enum NewRows<'r> {
    /// In files.
    Extents(&'r [NewExtent]),
    /// In the row store.
    Streamed(StreamedRows),
}

/// Why a policy's query gave no rows.
#[derive(Debug)]
pub(crate) struct UpdateFailure {
    table: String,
    pub(crate) code: &'static str,
    pub(crate) details: String,
}

/// What the policies make of an ingestion.
#[derive(Default)]
pub(crate) struct Updates {
    commits: Vec<Commit>,
    failures: Vec<UpdateFailure>,
}

impl Updates {
    /// Commits what was made, within the ingestion's own transaction, and notes what failed.
    pub(crate) fn commit(
        &self,
        transaction: &Connection,
        database: &str,
        operation: &str,
    ) -> Result<(), ServiceError> {
        for commit in &self.commits {
            // A table that is gone takes nothing, as after the transaction.
            CatalogCommit.commit(transaction, commit)?;
        }
        for failure in &self.failures {
            transaction.execute(
                "INSERT INTO failures (operation_id, database, table_name, failed, path, details, kind, activity_id,
                                       operation, code, retry, source_id)
                 VALUES (?1, ?2, ?3, ?4, '', ?5, 'Permanent', ?1, 'UpdatePolicy', ?6, 0, '')",
                params![operation, database, failure.table, DateTime::now().ticks(), failure.details, failure.code],
            )?;
        }
        Ok(())
    }
}

/// The policies that a table's new rows go through: the tables that they fill, with them.
fn policies_on(
    connection: &Connection,
    database: &DatabaseName,
    source: &str,
) -> Result<Vec<(TableRecord, UpdatePolicy)>, ServiceError> {
    let catalog = Catalog(connection);
    let mut found = Vec::new();
    for (table, json) in catalog.policies(database, PolicyKind::Update)? {
        let policies = serde_json::from_str(&json).map_err(|error| error.to_string());
        let policies = policies.and_then(|json: Value| UpdatePolicy::parse(&json));
        let policies =
            policies.map_err(|error| EngineError::Corrupt(format!("update policy of {table}: {error}")))?;
        for policy in policies.into_iter().filter(|policy| policy.enabled && policy.source == source) {
            if let Some(record) = catalog.find_table(database, &table)? {
                found.push((record, policy));
            }
        }
    }
    Ok(found)
}

/// Runs the policies over the new rows of a table, and those over what they make. The outer
/// error is the service's; the inner one is of a transactional policy.
pub(crate) fn derive(
    state: &State,
    table: TableId,
    rows: NewRows<'_>,
) -> Result<Result<Updates, UpdateFailure>, ServiceError> {
    let record = state.store.read(|connection| Catalog(connection).table_by_id(table))?;
    let Some(record) = record else { return Ok(Ok(Updates::default())) };
    let scan = match rows {
        NewRows::Extents(extents) => scan_of(state, &record, extents),
        NewRows::Streamed(rows) => ExtentScan {
            root: state.store.root.join("extents"),
            schema: record.stored_schema(),
            extents: Vec::new(),
            streamed: vec![rows],
        },
    };
    let tags = match &scan.extents[..] {
        [first, ..] => first.tags.clone(),
        [] => Vec::new(),
    };
    let mut updates = Updates::default();
    Ok(match step(state, &record, &scan, &tags, &mut vec![record.name.to_string()], &mut updates)? {
        Ok(()) => Ok(updates),
        Err(failure) => Err(failure),
    })
}

/// The new extents of a table as a query reads them.
fn scan_of(state: &State, table: &TableRecord, extents: &[NewExtent]) -> ExtentScan {
    let now = DateTime::now().to_string();
    let records = extents.iter().map(|extent| ExtentRecord {
        id: extent.file.id.clone(),
        path: extent.file.path.clone(),
        rows: extent.file.rows,
        original_size: extent.original_size,
        size: extent.file.size,
        created: extent.created.clone().unwrap_or_else(|| now.clone()),
        tags: extent.tags.clone(),
        ingested: now.clone(),
    });
    ExtentScan {
        root: state.store.root.join("extents"),
        schema: table.stored_schema(),
        extents: records.collect(),
        streamed: Vec::new(),
    }
}

fn step(
    state: &State,
    source: &TableRecord,
    scan: &ExtentScan,
    tags: &[String],
    passed: &mut Vec<String>,
    updates: &mut Updates,
) -> Result<Result<(), UpdateFailure>, ServiceError> {
    let policies =
        state.store.read(|connection| policies_on(connection, &source.database, source.name.as_str()))?;
    for (target, policy) in policies {
        let circle = passed.len() > MOST_STEPS || passed.contains(&target.name.to_string());
        let made = if circle {
            Err((
                "UpdatePolicy_Cyclic_Update_Not_Allowed",
                format!("{} leads back to {}", passed.join(" to "), target.name),
            ))
        } else {
            run(state, source, scan, &target, &policy)?
        };
        let extent = match made {
            Ok(Some(extent)) => extent,
            Ok(None) => continue,
            Err((code, details)) => {
                let failure = UpdateFailure {
                    table: target.name.to_string(),
                    code,
                    details: format!("the update policy of table {}: {details}", target.name),
                };
                if policy.transactional {
                    return Ok(Err(failure));
                }
                updates.failures.push(failure);
                continue;
            }
        };
        let kept = if policy.propagates { tags.to_vec() } else { Vec::new() };
        let extent = NewExtent { tags: kept.clone(), ..extent };
        let further = scan_of(state, &target, std::slice::from_ref(&extent));
        updates.commits.push(Commit {
            table: target.id,
            extents: vec![extent],
            unless_tagged: Vec::new(),
            existing: Existing::Keep,
        });
        passed.push(target.name.to_string());
        let outcome = step(state, &target, &further, &kept, passed, updates)?;
        passed.pop();
        if let Err(failure) = outcome {
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}

type Made = Result<Option<NewExtent>, (&'static str, String)>;

/// Runs one policy's query, in which the source is only its new rows; absent when it gives no
/// row.
fn run(
    state: &State,
    source: &TableRecord,
    scan: &ExtentScan,
    target: &TableRecord,
    policy: &UpdatePolicy,
) -> Result<Made, ServiceError> {
    let bad = |error: &dyn std::fmt::Display| Ok(Err(("UpdatePolicy_BadRequest", error.to_string())));
    let read = state.store.read(|connection| {
        let scope = CatalogScope::new(connection, source.database.clone());
        let plans =
            parse_query(&policy.query).and_then(|query| check_query(&query, &scope, &Default::default()));
        let plan = match plans.map(<[_; 1]>::try_from) {
            Ok(Ok([plan])) => plan,
            Ok(Err(plans)) => return Ok(Err(format!("the query gives {} results", plans.len()))),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut others = Vec::new();
        plan.visit(&mut |plan| {
            if let PlanSource::Table { database, table } = &plan.source {
                others.push((database.clone(), table.clone()));
            }
        });
        let mut scans = Vec::new();
        for (database, table) in others {
            let is_source = database.is_none() && table == source.name.as_str();
            let found = if is_source {
                scan.clone()
            } else {
                let name = match &database {
                    Some(name) => scope.catalog.database(name)?,
                    None => source.database.clone(),
                };
                let record = scope.catalog.table(&name, &table)?;
                ExtentScan {
                    root: scan.root.clone(),
                    extents: scope.catalog.extents(record.id)?,
                    streamed: scope.catalog.streamed(record.id)?,
                    schema: record.stored_schema(),
                }
            };
            scans.push(((database, table), found));
        }
        Ok::<_, ServiceError>(Ok((plan, scans)))
    });
    let (plan, scans) = match read {
        Ok(Ok(found)) => found,
        Ok(Err(problem)) => return bad(&problem),
        Err(error) => return bad(&error),
    };
    let tables = |database: Option<&str>, table: &str| {
        let found = scans.iter().find(|((known, name), _)| known.as_deref() == database && name == table);
        found
            .map(|(_, scan)| scan.clone())
            .ok_or_else(|| EngineError::NotFound { kind: "table", name: table.to_owned() })
    };
    let result = match run_plan(&plan, QueryLimits::NONE, &tables) {
        Ok(result) => result,
        Err(error) => return bad(&error),
    };
    let given: Vec<ColumnType> = result.columns.iter().map(|(_, column_type)| *column_type).collect();
    let wanted: Vec<ColumnType> = target.schema.columns().iter().map(|column| column.column_type).collect();
    if given != wanted {
        let columns: Vec<String> =
            result.columns.iter().map(|(name, kind)| format!("{name}:{kind}")).collect();
        return Ok(Err((
            "UpdatePolicy_QuerySchemaDoesNotMatchTableSchema",
            format!("its query gives ({}) and the table has ({})", columns.join(","), target.schema.csl()),
        )));
    }
    if result.rows() == 0 {
        return Ok(Ok(None));
    }
    let arrow = Arc::new(target.stored_schema().arrow());
    let id = uuid::Uuid::new_v4().to_string();
    let mut writer = ExtentWriter::create(&scan.root, "update", id, arrow.clone())?;
    for chunk in result.chunks {
        writer.write(&RecordBatch::try_new(arrow.clone(), chunk.columns).map_err(EngineError::from)?)?;
    }
    let file = writer.finish()?;
    let original_size = file.size;
    Ok(Ok(Some(NewExtent { file, original_size, created: None, tags: Vec::new() })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_in_any_case() {
        let json = r#"[{"isEnabled": true, "source": "S", "QUERY": "S | take 1", "IsTransactional": true}]"#;
        let policy = UpdatePolicy::parse(&serde_json::from_str(json).unwrap()).unwrap().remove(0);
        assert!(policy.enabled && policy.transactional && !policy.propagates);
        assert_eq!((policy.source.as_str(), policy.query.as_str()), ("S", "S | take 1"));
        for (json, says) in
            [("{}", "array"), (r#"[{"Query":"x"}]"#, "Source"), (r#"[{"Source":"S"}]"#, "Query")]
        {
            let error = UpdatePolicy::parse(&serde_json::from_str(json).unwrap()).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
