//! Who has which role, and who may do what.

use super::{Context, table};
use crate::ServiceError;
use crate::access::{Caller, Need};
use crate::state::State;
use kusto_engine::Catalog;
use kusto_types::ColumnType as T;
use kusto_wire::ResultTable;
use rusqlite::Connection;

/// The principals of a database, or of a table.
pub(in crate::command) fn principal_rows(
    connection: &Connection,
    database: &str,
    table_name: &str,
) -> Result<ResultTable, ServiceError> {
    let place =
        if table_name.is_empty() { format!("Database {database}") } else { format!("Table {table_name}") };
    let mut result = table([
        ("Role", T::String),
        ("PrincipalType", T::String),
        ("PrincipalDisplayName", T::String),
        ("PrincipalObjectId", T::String),
        ("PrincipalFQN", T::String),
        ("Notes", T::String),
        ("RoleAssignmentIdentifier", T::String),
    ]);
    for grant in crate::access::Grants(connection).of(database, table_name)? {
        result = result.with_row(vec![
            format!("{place} {}", grant.role.display()).into(),
            grant.principal.kind().display().into(),
            grant.principal.id().into(),
            grant.principal.id().into(),
            grant.principal.to_string().into(),
            grant.notes.into(),
            "".into(),
        ]);
    }
    Ok(result)
}

/// `.show principal access with (principal='aadapp=...', accesstype='ingest', database='D',
/// table='T')`: whether a principal may; the one who asks when none is named.
pub(super) fn principal_access(
    state: &State,
    connection: &Connection,
    context: &Context<'_>,
    properties: &[(String, String)],
) -> Result<ResultTable, ServiceError> {
    let property = |wanted: &str| {
        let found = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let bad = |what: String| ServiceError::BadRequest(what);
    let caller = match property("principal") {
        Some(text) => {
            let principal = crate::Principal::parse(text).map_err(|error| bad(error.to_string()))?;
            Caller::of(principal)
        }
        None => context.caller.clone(),
    };
    let database = match property("database") {
        Some(name) => Catalog(connection).database(name)?,
        None => crate::query::database_of(connection, context.database)?,
    };
    let name = property("table").unwrap_or_default();
    if !name.is_empty() {
        Catalog(connection).table(&database, name)?;
    }
    let kind = property("accesstype").unwrap_or("ingest").to_ascii_lowercase();
    let need = match kind.as_str() {
        "ingest" | "ingestor" if name.is_empty() => Need::IngestAll(database.to_string()),
        "ingest" | "ingestor" => Need::Ingest(database.to_string(), name.to_owned()),
        "read" | "query" | "viewer" => Need::Query(database.to_string()),
        "admin" if name.is_empty() => Need::ManageDatabase(database.to_string()),
        "admin" => Need::ManageTable(database.to_string(), name.to_owned()),
        other => {
            return Err(bad(format!("accesstype {other} is not known here; ingest, read and admin are")));
        }
    };
    let allowed = match state.config.access.check(connection, &caller, &need) {
        Ok(()) => true,
        Err(ServiceError::Forbidden { .. }) => false,
        Err(error) => return Err(error),
    };
    Ok(table([
        ("Principal", T::String),
        ("Database", T::String),
        ("Table", T::String),
        ("HasAccess", T::Bool),
    ])
    .with_row(vec![
        caller.principal.to_string().into(),
        database.as_str().into(),
        name.into(),
        allowed.into(),
    ]))
}
