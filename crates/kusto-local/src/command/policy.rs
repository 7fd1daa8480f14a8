//! Policies of databases and tables: what they mean is settled where they are used, what
//! is kept without effect is kept as it was given.

use super::{Context, bad};
use crate::ServiceError;
use crate::ingest::update::UpdatePolicy;
use crate::state::State;
use kusto_batch::BatchingPolicy;
use kusto_engine::Catalog;
use kusto_kql::{PolicyAction, PolicyEntity, PolicyKind};
use kusto_types::{ColumnType, Timespan};
use kusto_wire::ResultTable;
use rusqlite::OptionalExtension;
use serde_json::Value;

/// Shows, sets or removes a policy.
pub(super) fn change(
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
        let new = match &action {
            PolicyAction::Show => current,
            PolicyAction::Delete => {
                catalog.set_policy(&database, entity, policy, None)?;
                None
            }
            PolicyAction::Alter(json) => Some(settled(policy, None, json)?),
            PolicyAction::AlterMerge(json) => Some(settled(policy, current.as_deref(), json)?),
        };
        if let (PolicyKind::Update, PolicyAction::Alter(_) | PolicyAction::AlterMerge(_), Some(json)) =
            (policy, &action, &new)
        {
            let PolicyEntity::Table(table) = entity else {
                return Err(invalid("an update policy is a table's"));
            };
            let target = catalog.table(&database, table)?;
            let json = serde_json::from_str(json).map_err(invalid)?;
            for policy in UpdatePolicy::parse(&json).map_err(invalid)? {
                // The query will run with the service's own rights.
                catalog.table(&database, &policy.source)?;
                let (caller, query) = (context.caller, &policy.query);
                crate::query::check_feeder(state, transaction, caller, &database, query, &target.schema)?;
            }
        }
        if let (PolicyAction::Alter(_) | PolicyAction::AlterMerge(_), Some(json)) = (&action, &new) {
            catalog.set_policy(&database, entity, policy, Some(json))?;
        }
        Ok::<_, ServiceError>(((name, kind), new))
    })?;
    Ok(shown_as(policy.policy_name(), (&name.0, name.1), shown))
}

/// The same of several tables, or of all of the database when none is named: a row each.
pub(super) fn change_tables(
    state: &State,
    context: &Context<'_>,
    tables: &[String],
    policy: PolicyKind,
    action: &PolicyAction,
) -> Result<ResultTable, ServiceError> {
    let names = state.store.read(|connection| {
        let database = crate::query::database_of(connection, context.database)?;
        let catalog = Catalog(connection);
        // Before one is changed all are known to be there.
        let records = match tables {
            [] => catalog.tables(&database)?,
            tables => tables.iter().map(|name| catalog.table(&database, name)).collect::<Result<_, _>>()?,
        };
        Ok::<Vec<String>, ServiceError>(records.into_iter().map(|record| record.name.to_string()).collect())
    })?;
    let mut all: Option<ResultTable> = None;
    for name in names {
        let one = change(state, context, &PolicyEntity::Table(name), policy, action.clone())?;
        match &mut all {
            None => all = Some(one),
            Some(all) => all.rows.extend(one.rows),
        }
    }
    Ok(all.unwrap_or_else(|| {
        let mut none = shown_as("", ("", ""), None);
        none.rows.clear();
        none
    }))
}

/// A policy as commands show it.
fn shown_as(policy: &str, (entity, kind): (&str, &str), json: Option<String>) -> ResultTable {
    ResultTable::new(
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
        policy.into(),
        entity.into(),
        json.unwrap_or_else(|| "null".to_owned()).into(),
        "".into(),
        kind.into(),
    ])
}

/// Shows, sets or removes a policy of the cluster: it is kept, and has no effect here.
pub(super) fn change_cluster(
    state: &State,
    policy: &str,
    action: PolicyAction,
) -> Result<ResultTable, ServiceError> {
    let json = state.store.transact(|transaction| {
        let key = format!("cluster_policy:{policy}");
        let current: Option<String> = transaction
            .query_row("SELECT value FROM meta WHERE name = ?1", [&key], |row| row.get(0))
            .optional()?;
        let new = match &action {
            PolicyAction::Show => return Ok(current),
            PolicyAction::Delete => None,
            PolicyAction::Alter(json) => Some(merged(None, json)?.to_string()),
            PolicyAction::AlterMerge(json) => Some(merged(current.as_deref(), json)?.to_string()),
        };
        match &new {
            Some(json) => transaction.execute(
                "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
                rusqlite::params![key, json],
            )?,
            None => transaction.execute("DELETE FROM meta WHERE name = ?1", [&key])?,
        };
        Ok::<_, ServiceError>(new)
    })?;
    let known = PolicyKind::ALL.iter().find(|(word, _)| *word == policy);
    let name = match known {
        Some((_, kind)) => kind.policy_name().to_owned(),
        None => {
            let words = policy.split('_').map(|word| {
                let mut letters = word.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
            });
            format!("{}Policy", words.flatten().collect::<String>())
        }
    };
    Ok(shown_as(&name, ("", "Cluster"), json))
}

/// The members of a policy over those of another.
fn merged(base: Option<&str>, json: &str) -> Result<Value, ServiceError> {
    let given: Value = serde_json::from_str(json).map_err(no_json)?;
    let base: Value = base.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    Ok(match (base, &given) {
        (Value::Object(mut merged), Value::Object(given)) => {
            for (name, value) in given {
                let known = merged.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
                merged.insert(known.unwrap_or_else(|| name.clone()), value.clone());
            }
            Value::Object(merged)
        }
        _ => given,
    })
}

fn no_json(error: serde_json::Error) -> ServiceError {
    invalid(format!("the policy is not JSON: {error}"))
}

fn invalid(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::BadData { code: "BadRequest_InvalidPolicy".to_owned(), message: error.to_string() }
}

/// A policy's JSON as it is kept: over `base` where members are left out, checked where the
/// service goes by it.
fn settled(policy: PolicyKind, base: Option<&str>, json: &str) -> Result<String, ServiceError> {
    if policy == PolicyKind::IngestionBatching {
        let base = match base {
            Some(json) => BatchingPolicy::parse_over(BatchingPolicy::KUSTO, json).map_err(bad)?,
            None => BatchingPolicy::KUSTO,
        };
        return BatchingPolicy::parse_over(base, json).map(|policy| policy.to_json()).map_err(invalid);
    }
    let given: Value = serde_json::from_str(json).map_err(no_json)?;
    if policy == PolicyKind::Update && matches!(base, Some(base) if base.starts_with('[')) {
        // `.alter-merge` adds to the policies that there are.
        let mut all: Vec<Value> = base.and_then(|base| serde_json::from_str(base).ok()).unwrap_or_default();
        if let Value::Array(more) = given {
            all.extend(more);
        }
        return settled(policy, None, &Value::Array(all).to_string());
    }
    let mut merged = merged(base, json)?;
    match policy {
        PolicyKind::StreamingIngestion | PolicyKind::IngestionTime | PolicyKind::RestrictedViewAccess => {
            if !member(&merged, "IsEnabled").is_some_and(Value::is_boolean)
                && policy != PolicyKind::StreamingIngestion
            {
                return Err(invalid("the policy needs IsEnabled, true or false"));
            }
        }
        PolicyKind::Retention => {
            retention(&merged)?;
            if let Value::Object(members) = &mut merged {
                members.entry("SoftDeletePeriod").or_insert_with(|| "36500.00:00:00".into());
                members.entry("Recoverability").or_insert_with(|| "Enabled".into());
            }
        }
        PolicyKind::Update => {
            let policies = crate::ingest::update::UpdatePolicy::parse(&merged).map_err(invalid)?;
            for policy in &policies {
                kusto_kql::parse_query(&policy.query)
                    .map_err(|error| invalid(format!("its query: {error}")))?;
            }
        }
        PolicyKind::IngestionBatching
        | PolicyKind::Caching
        | PolicyKind::Merge
        | PolicyKind::Sharding
        | PolicyKind::RowOrder
        | PolicyKind::Encoding
        | PolicyKind::Partitioning
        | PolicyKind::AutoDelete => {}
    }
    Ok(merged.to_string())
}

/// A member of a policy, by its name in any case.
pub(crate) fn member<'v>(policy: &'v Value, name: &str) -> Option<&'v Value> {
    policy.as_object()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// How long rows are kept; absent means for ever.
pub(crate) fn retention(policy: &Value) -> Result<Option<Timespan>, ServiceError> {
    match member(policy, "SoftDeletePeriod") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match Timespan::parse(text) {
            Some(period) if period.0 > 0 => Ok(Some(period)),
            _ => Err(invalid(format!("SoftDeletePeriod {text:?} is not a span of time above zero"))),
        },
        Some(other) => Err(invalid(format!("SoftDeletePeriod {other} is not a span of time"))),
    }
}
