//! The `.show` and `.get` commands.

pub(super) mod access;
mod databases;
mod history;
pub(super) mod queued;

use super::Context;
use crate::ServiceError;
use crate::http::{Address, StorageService};
use crate::state::{CONTAINERS, QUEUES, State};
use crate::store::reports::{FAILURE_QUEUE, STATUS_TABLE, SUCCESS_QUEUE};
use kusto_engine::{Catalog, ExtentRecord, MappingRecord, TableRecord};
use kusto_kql::{Absent, Command, ExtentsOf, PolicyEntity, PolicyKind, SchemaShape};
use kusto_types::{ColumnType as T, DatabaseName, DateTime, TableName};
use kusto_wire::{IngestionResources, ResultTable, SecretUrl};
use rusqlite::Connection;
use serde_json::{Value, json};

fn table<'a>(columns: impl IntoIterator<Item = (&'a str, T)>) -> ResultTable {
    ResultTable::new("Table_0", columns)
}

/// `.create table`'s result: the schema of each table.
pub(super) fn schema_rows(tables: &[TableRecord]) -> ResultTable {
    let mut result = table([
        ("TableName", T::String),
        ("Schema", T::String),
        ("DatabaseName", T::String),
        ("Folder", T::String),
        ("DocString", T::String),
    ]);
    for record in tables {
        let schema = record.schema_json().to_string();
        result = result.with_row(vec![
            record.name.as_str().into(),
            schema.into(),
            record.database.as_str().into(),
            record.folder.as_str().into(),
            record.docstring.as_str().into(),
        ]);
    }
    result
}

pub(super) fn table_rows(tables: &[TableRecord]) -> ResultTable {
    let mut result = table([
        ("TableName", T::String),
        ("DatabaseName", T::String),
        ("Folder", T::String),
        ("DocString", T::String),
    ]);
    for record in tables {
        result = result.with_row(vec![
            record.name.as_str().into(),
            record.database.as_str().into(),
            record.folder.as_str().into(),
            record.docstring.as_str().into(),
        ]);
    }
    result
}

pub(super) fn mapping_rows(database: &DatabaseName, mappings: &[MappingRecord]) -> ResultTable {
    let mut result = table([
        ("Name", T::String),
        ("Kind", T::String),
        ("Mapping", T::String),
        ("LastUpdatedOn", T::DateTime),
        ("Database", T::String),
        ("Table", T::String),
    ]);
    for mapping in mappings {
        result = result.with_row(vec![
            mapping.name.as_str().into(),
            mapping.kind.wire_name().into(),
            mapping.json.as_str().into(),
            mapping.updated.as_str().into(),
            database.as_str().into(),
            mapping.table.as_str().into(),
        ]);
    }
    result
}

/// What the service hands out for queued ingestion, in URLs that the caller can reach.
pub(super) fn resources(state: &State, address: &Address) -> IngestionResources {
    let url = |service: StorageService, kind: &str, name: &str, permissions: &str| {
        let grant = state.signer.grant(&format!("{kind}/{name}"), permissions);
        SecretUrl::new(format!("{}/{name}?{grant}", address.storage(service)))
    };
    let blob = |name: &str, permissions: &str| url(StorageService::Blob, "blob", name, permissions);
    let queue = |name: &str, permissions: &str| url(StorageService::Queue, "queue", name, permissions);
    IngestionResources {
        containers: CONTAINERS.iter().map(|name| blob(name, "racwd")).collect(),
        queues: QUEUES.iter().map(|name| queue(name, "a")).collect(),
        success_queues: vec![queue(SUCCESS_QUEUE, "rp")],
        failure_queues: vec![queue(FAILURE_QUEUE, "rp")],
        status_tables: vec![url(StorageService::Table, "table", STATUS_TABLE, "raud")],
    }
}

/// Database and table of an entity that exists; the table is empty for a database.
pub(super) fn named_entity(
    connection: &Connection,
    context: &Context<'_>,
    entity: &PolicyEntity,
) -> Result<(String, String), ServiceError> {
    let catalog = Catalog(connection);
    Ok(match entity {
        PolicyEntity::Database(name) if !name.is_empty() => {
            (catalog.database(name)?.to_string(), String::new())
        }
        PolicyEntity::Database(_) => {
            (crate::query::database_of(connection, context.database)?.to_string(), String::new())
        }
        PolicyEntity::Table(table) => {
            let database = crate::query::database_of(connection, context.database)?;
            (database.to_string(), catalog.table(&database, table)?.name.to_string())
        }
    })
}

pub(super) fn show(
    state: &State,
    connection: &Connection,
    context: &Context<'_>,
    command: Command,
) -> Result<ResultTable, ServiceError> {
    let catalog = Catalog(connection);
    let database = || crate::query::database_of(connection, context.database);
    Ok(match command {
        Command::IngestionResources => super::ingestion_resources(state, context.address)?.encode(),
        Command::IdentityToken => table([("AuthorizationContext", T::String)])
            .with_row(vec![crate::token::issue(&state.signer, context.caller).into()]),
        Command::ShowExtents { of, ids, tags } => {
            let mut tables = Vec::new();
            match of {
                ExtentsOf::Tables(names) => {
                    let database = database()?;
                    for name in names {
                        tables.push(catalog.table(&database, &name)?);
                    }
                }
                ExtentsOf::Database(None) => tables = catalog.tables(&database()?)?,
                ExtentsOf::Database(Some(name)) => tables = catalog.tables(&catalog.database(&name)?)?,
                ExtentsOf::Cluster => {
                    for database in catalog.databases()? {
                        tables.extend(catalog.tables(&database)?);
                    }
                }
            }
            let is_meant =
                |id: &str| ids.is_empty() || ids.iter().any(|wanted| wanted.eq_ignore_ascii_case(id));
            let mut result = extent_table();
            for record in &tables {
                for extent in catalog.extents(record.id)? {
                    if is_meant(&extent.id) && tags.iter().all(|condition| condition.holds(&extent.tags)) {
                        result = with_extent(result, record, &extent);
                    }
                }
            }
            result
        }
        Command::ShowPrincipals { entity } => {
            let (database, table) = named_entity(connection, context, &entity)?;
            access::principal_rows(connection, &database, &table)?
        }
        Command::ShowVersion => table([
            ("BuildVersion", T::String),
            ("BuildTime", T::DateTime),
            ("ServiceType", T::String),
            ("ProductVersion", T::String),
            ("ServiceOffering", T::String),
        ])
        .with_row(vec![
            env!("CARGO_PKG_VERSION").into(),
            Value::Null,
            "Engine".into(),
            concat!("kusto-local ", env!("CARGO_PKG_VERSION")).into(),
            r#"{"Type":"Local"}"#.into(),
        ]),
        Command::ShowCluster => table([
            ("NodeId", T::String),
            ("Address", T::String),
            ("Name", T::String),
            ("StartTime", T::DateTime),
            ("IsAdmin", T::Bool),
            ("MachineTotalMemory", T::Long),
            ("MachineAvailableMemory", T::Long),
            ("ProcessorCount", T::Int),
            ("EnvironmentDescription", T::String),
            ("ProductVersion", T::String),
        ])
        .with_row(vec![
            "local".into(),
            context.address.url().into(),
            "KustoLocal".into(),
            Value::Null,
            true.into(),
            Value::Null,
            Value::Null,
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get).into(),
            "local".into(),
            env!("CARGO_PKG_VERSION").into(),
        ]),
        Command::ShowDatabases { name, view } => {
            databases::databases(&catalog, name.as_deref(), view, database().ok())?
        }
        Command::ShowTables { names, details } => {
            let database = database()?;
            let tables = if names.is_empty() {
                catalog.tables(&database)?
            } else {
                names.iter().map(|name| catalog.table(&database, name)).collect::<Result<Vec<_>, _>>()?
            };
            if details { details_of(&catalog, &tables)? } else { table_rows(&tables) }
        }
        Command::ShowTable { name, shape } => {
            let record = catalog.table(&database()?, &name)?;
            match shape {
                SchemaShape::Json => schema_rows(&[record]),
                SchemaShape::Csl | SchemaShape::Script => {
                    let mut result = schema_rows(std::slice::from_ref(&record));
                    result.rows[0][1] = record.schema.csl().into();
                    result
                }
                SchemaShape::Columns => {
                    let mut result = table([
                        ("AttributeName", T::String),
                        ("AttributeType", T::String),
                        ("ExtentSize", T::Long),
                        ("CompressionRatio", T::Real),
                        ("IndexSize", T::Long),
                        ("IndexSizePercent", T::Real),
                        ("OriginalSize", T::Long),
                        ("AttributeId", T::Guid),
                        ("SharedIndexSize", T::Long),
                        ("StorageEngineVersion", T::String),
                        ("CslType", T::String),
                    ]);
                    for column in record.schema.columns() {
                        result = result.with_row(vec![
                            column.name.as_str().into(),
                            column.column_type.clr_name().into(),
                            0.into(),
                            0.0.into(),
                            0.into(),
                            0.0.into(),
                            0.into(),
                            uuid::Uuid::nil().to_string().into(),
                            0.into(),
                            "V3".into(),
                            column.column_type.kql_name().into(),
                        ]);
                    }
                    result
                }
            }
        }
        Command::ShowDatabaseSchema { shape } => databases::schema(&catalog, &database()?, shape)?,
        Command::ShowMappings { table: name, kind, name: mapping } => {
            let database = database()?;
            let tables = match &name {
                Some(name) => vec![catalog.table(&database, name)?],
                None => catalog.tables(&database)?,
            };
            let mut found = Vec::new();
            for record in &tables {
                found.extend(catalog.mappings(record)?);
            }
            found.retain(|record| {
                kind.is_none_or(|kind| record.kind == kind)
                    && mapping.as_ref().is_none_or(|name| record.name.as_str() == name)
            });
            if let Some(name) = mapping.filter(|_| found.is_empty()) {
                return Err(kusto_engine::EngineError::NotFound { kind: "mapping", name }.into());
            }
            mapping_rows(&database, &found)
        }
        Command::ShowIngestionFailures { operation } => history::failures(connection, operation.as_deref())?,
        Command::ShowIngestionSources => history::sources(connection)?,
        Command::ShowOperations { ids } => history::operations(connection, &ids)?,
        Command::ShowOperationDetails { id } => match crate::store::operations::result(connection, &id)? {
            Some(result) => result,
            None => {
                return Err(
                    kusto_engine::EngineError::NotFound { kind: "result of operation", name: id }.into()
                );
            }
        },
        Command::ShowCapacity { resource } => capacity(state, resource.as_deref()),
        Command::ShowEntities => databases::entities(&catalog)?,
        Command::ShowExportContainers => table([("StorageRoot", T::String)])
            .with_row(vec![export_container(state, context)?.with_secrets().into()]),
        Command::ShowPrincipalAccess { properties } => {
            access::principal_access(state, connection, context, &properties)?
        }
        Command::ShowQueuedOperations { ids, details } => queued::operations(connection, &ids, details)?,
        Command::ShowRunningQueries => state.running.queries(),
        Command::ShowStreaming(log) => state.streaming_log.shown(log),
        Command::ShowJournal { database: name } => {
            let only = match name.as_deref() {
                None => None,
                Some("") => Some(database()?),
                Some(name) => Some(catalog.database(name)?),
            };
            history::journal(connection, context.caller, &state.config.access, only.as_ref())?
        }
        Command::ShowIngestionBatches => queued::batches(connection)?,
        Command::ShowRequests(log) => state.requests.shown(log),
        Command::ShowAbsent(absent) => absent_rows(absent),
        other => return Err(ServiceError::BadRequest(format!("the command {other:?} cannot be shown"))),
    })
}

fn details_of(catalog: &Catalog<'_>, tables: &[TableRecord]) -> Result<ResultTable, ServiceError> {
    let mut result = table([
        ("TableName", T::String),
        ("DatabaseName", T::String),
        ("Folder", T::String),
        ("DocString", T::String),
        ("TotalExtents", T::Long),
        ("TotalExtentSize", T::Real),
        ("TotalOriginalSize", T::Real),
        ("TotalRowCount", T::Long),
        ("HotExtents", T::Long),
        ("HotExtentSize", T::Real),
        ("HotOriginalSize", T::Real),
        ("HotRowCount", T::Long),
        ("AuthorizedPrincipals", T::String),
        ("RetentionPolicy", T::String),
        ("CachingPolicy", T::String),
        ("ShardingPolicy", T::String),
        ("MergePolicy", T::String),
        ("StreamingIngestionPolicy", T::String),
        ("IngestionBatchingPolicy", T::String),
        ("MinExtentsCreationTime", T::DateTime),
        ("MaxExtentsCreationTime", T::DateTime),
        ("RowOrderPolicy", T::String),
        ("TableId", T::Guid),
    ]);
    for record in tables {
        let extents = catalog.extents(record.id)?;
        let sum = |value: fn(&ExtentRecord) -> u64| extents.iter().map(value).sum::<u64>();
        // Everything is on this machine, so that everything is hot.
        let totals: [Value; 4] = [
            extents.len().into(),
            (sum(|extent| extent.size) as f64).into(),
            (sum(|extent| extent.original_size) as f64).into(),
            sum(|extent| extent.rows).into(),
        ];
        let created = || extents.iter().map(|extent| extent.created.as_str());
        let mut row: Vec<Value> = vec![
            record.name.as_str().into(),
            record.database.as_str().into(),
            record.folder.as_str().into(),
            record.docstring.as_str().into(),
        ];
        row.extend(totals.iter().cloned().chain(totals.iter().cloned()));
        row.push(principals_json(catalog, record.database.as_str(), record.name.as_str())?.into());
        for policy in [
            PolicyKind::Retention,
            PolicyKind::Caching,
            PolicyKind::Sharding,
            PolicyKind::Merge,
            PolicyKind::StreamingIngestion,
            PolicyKind::IngestionBatching,
        ] {
            row.push(effective_of(catalog, &record.database, Some(&record.name), policy)?.into());
        }
        row.push(created().min().map_or(Value::Null, Value::from));
        row.push(created().max().map_or(Value::Null, Value::from));
        row.push(effective_of(catalog, &record.database, Some(&record.name), PolicyKind::RowOrder)?.into());
        row.push(uuid::Uuid::from_u128(record.id.0 as u128).to_string().into());
        result = result.with_row(row);
    }
    Ok(result)
}

/// The policy that a table or a database goes by: its own, or that above it; `null` when there
/// is none.
fn effective_of(
    catalog: &Catalog<'_>,
    database: &DatabaseName,
    table: Option<&TableName>,
    policy: PolicyKind,
) -> Result<String, ServiceError> {
    let table = table.map(|table| PolicyEntity::Table(table.to_string()));
    for entity in table.into_iter().chain([PolicyEntity::Database(String::new())]) {
        if let Some(json) = catalog.policy(database, &entity, policy)? {
            return Ok(json);
        }
    }
    Ok("null".to_owned())
}

/// The principals of a table, or of a database (no table), as JSON, as details show them.
fn principals_json(catalog: &Catalog<'_>, database: &str, table: &str) -> Result<String, ServiceError> {
    let grants = crate::access::Grants(catalog.0).of(database, table)?;
    let shown = grants.into_iter().map(|grant| {
        json!({ "Type": grant.principal.kind().display(), "DisplayName": grant.principal.id(),
            "FQN": grant.principal.to_string(), "Notes": grant.notes, "RoleAssignmentIdentifier": grant.role.display() })
    });
    Ok(Value::Array(shown.collect()).to_string())
}

/// The columns of `.show extents`.
pub(super) fn extent_table() -> ResultTable {
    table([
        ("ExtentId", T::Guid),
        ("DatabaseName", T::String),
        ("TableName", T::String),
        ("MaxCreatedOn", T::DateTime),
        ("OriginalSize", T::Real),
        ("ExtentSize", T::Real),
        ("CompressedSize", T::Real),
        ("IndexSize", T::Real),
        ("Blocks", T::Long),
        ("Segments", T::Long),
        ("ExtentContainerId", T::String),
        ("RowCount", T::Long),
        ("MinCreatedOn", T::DateTime),
        ("Tags", T::String),
        ("Kind", T::String),
        ("DeletedRowCount", T::Long),
    ])
}

/// An extent as a row; a merged one has the time of its latest part twice.
pub(super) fn with_extent(result: ResultTable, record: &TableRecord, extent: &ExtentRecord) -> ResultTable {
    result.with_row(vec![
        extent.id.as_str().into(),
        record.database.as_str().into(),
        record.name.as_str().into(),
        extent.created.as_str().into(),
        (extent.original_size as f64).into(),
        (extent.size as f64).into(),
        (extent.size as f64).into(),
        0.0.into(),
        1.into(),
        1.into(),
        "".into(),
        extent.rows.into(),
        extent.created.as_str().into(),
        extent.tags.join("\r\n").into(),
        "StorageV3".into(),
        0.into(),
    ])
}

pub(super) fn instant(ticks: Option<i64>) -> Value {
    ticks.and_then(DateTime::from_ticks).map_or(Value::Null, |at| at.to_string().into())
}

/// A container that files can be put into, and listed in.
fn export_container(state: &State, context: &Context<'_>) -> Result<SecretUrl, ServiceError> {
    match &state.account {
        Some(account) => account.export_container(),
        None => {
            let name = CONTAINERS[0];
            let grant = state.signer.grant(&format!("blob/{name}"), "racwdl");
            Ok(SecretUrl::new(format!("{}/{name}?{grant}", context.address.storage(StorageService::Blob))))
        }
    }
}

/// Lists that are always empty, with their columns.
fn absent_rows(absent: Absent) -> ResultTable {
    let texts = |names: &[&str]| ResultTable::new("Table_0", names.iter().map(|name| (*name, T::String)));
    match absent {
        Absent::ClusterPrincipals => texts(&[
            "Role",
            "PrincipalType",
            "PrincipalDisplayName",
            "PrincipalObjectId",
            "PrincipalFQN",
            "Notes",
            "RoleAssignmentIdentifier",
        ]),
        Absent::PrincipalRoles => texts(&["Scope", "DisplayName", "AADObjectID", "Role"]),
        Absent::MaterializedViews => table([
            ("Name", T::String),
            ("SourceTable", T::String),
            ("Query", T::String),
            ("MaterializedTo", T::DateTime),
            ("LastRun", T::DateTime),
            ("LastRunResult", T::String),
            ("IsHealthy", T::Bool),
            ("IsEnabled", T::Bool),
            ("Folder", T::String),
            ("DocString", T::String),
            ("AutoUpdateSchema", T::Bool),
            ("EffectiveDateTime", T::DateTime),
            ("Lookback", T::Timespan),
            ("LookbackColumn", T::String),
        ]),
        Absent::ExternalTables => table([
            ("TableName", T::String),
            ("TableType", T::String),
            ("Folder", T::String),
            ("DocString", T::String),
            ("Properties", T::String),
            ("ConnectionStrings", T::Dynamic),
            ("Partitions", T::Dynamic),
            ("PathFormat", T::String),
        ]),
        Absent::EntityGroups => texts(&["Name", "Entities"]),
        Absent::WorkloadGroups => texts(&["WorkloadGroupName", "WorkloadGroup"]),
        Absent::SchemaViolations => texts(&["EntityKind", "EntityName", "Property", "Reason"]),
    }
}

/// How many ingestion commands may run at once, and how many do.
fn capacity(state: &State, resource: Option<&str>) -> ResultTable {
    let mut result = table([
        ("Resource", T::String),
        ("Total", T::Long),
        ("Consumed", T::Long),
        ("Remaining", T::Long),
        ("Origin", T::String),
    ]);
    let remaining = state.capacity.available_permits();
    // The commands say `ingestions` or `data-ingestion`, the row says Ingestions.
    if resource.is_none_or(|name| name.to_ascii_lowercase().contains("ingestion")) {
        result = result.with_row(vec![
            "Ingestions".into(),
            state.capacity_total.into(),
            state.capacity_total.saturating_sub(remaining).into(),
            remaining.into(),
            "CapacityPolicy/Ingestion".into(),
        ]);
    }
    result
}
