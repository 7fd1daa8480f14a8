//! The least role that an operation needs, after the documented table of roles: one place
//! that every path asks.

use super::{Caller, Grants};
use kusto_kql::{
    Command, CreateMode, DatabaseView, ExtentChoice, ExtentsOf, FillMode, FunctionCommand, PolicyAction,
    PolicyEntity, Role,
};
use std::fmt;

/// What a caller must be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// Some role anywhere: the service's resources, its version, an operation by its id.
    AnyRole,
    /// Everything, in all databases.
    Service,
    /// Read the data of a database.
    Query(String),
    /// Read a table whose policy restricts it.
    QueryRestricted(String, String),
    /// See the metadata of a database.
    Show(String),
    /// Make tables in a database.
    CreateTable(String),
    /// Ingest into every table of a database.
    IngestAll(String),
    /// Ingest into a database or into some table of it.
    IngestSome(String),
    /// Change a database itself.
    ManageDatabase(String),
    /// Ingest into a table.
    Ingest(String, String),
    /// Change a table or what it holds.
    ManageTable(String, String),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyRole => f.write_str("use the service (any role)"),
            Self::Service => f.write_str("administer the service (AllDatabasesAdmin)"),
            Self::Query(database) => write!(f, "query database {database} (Database Viewer)"),
            Self::QueryRestricted(database, table) => {
                write!(
                    f,
                    "query restricted table {table} of database {database} (Database Unrestricted Viewer)"
                )
            }
            Self::Show(database) => write!(f, "see the metadata of database {database} (Database Monitor)"),
            Self::CreateTable(database) => write!(f, "create tables in database {database} (Database User)"),
            Self::IngestAll(database) => {
                write!(f, "ingest into the tables of database {database} (Database Ingestor)")
            }
            Self::IngestSome(database) => {
                write!(f, "ingest into a table of database {database} (Table Ingestor)")
            }
            Self::ManageDatabase(database) => write!(f, "change database {database} (Database Admin)"),
            Self::Ingest(database, table) => {
                write!(f, "ingest into table {table} of database {database} (Table Ingestor)")
            }
            Self::ManageTable(database, table) => {
                write!(f, "change table {table} of database {database} (Table Admin)")
            }
        }
    }
}

impl Need {
    /// Whether the caller's roles suffice.
    pub(crate) fn is_met(&self, grants: &Grants<'_>, caller: &Caller) -> rusqlite::Result<bool> {
        let (database, table) = match self {
            Self::AnyRole => return grants.has_any(caller),
            Self::Service => return Ok(false),
            Self::IngestSome(database) => return grants.may_ingest(caller, database),
            Self::Query(database)
            | Self::Show(database)
            | Self::CreateTable(database)
            | Self::IngestAll(database)
            | Self::ManageDatabase(database) => (database, None),
            Self::Ingest(database, table)
            | Self::ManageTable(database, table)
            | Self::QueryRestricted(database, table) => (database, Some(table)),
        };
        let in_database = grants.roles(caller, database, "")?;
        let on_table = match table {
            Some(table) => grants.roles(caller, database, table)?,
            None => Vec::new(),
        };
        Ok(self.is_met_by(&in_database, &on_table))
    }

    fn is_met_by(&self, in_database: &[Role], on_table: &[Role]) -> bool {
        let database = |roles: &[Role]| roles.iter().any(|role| in_database.contains(role));
        // A restricted table is closed to admins too, until they give themselves the role.
        if matches!(self, Self::QueryRestricted(..)) {
            return database(&[Role::UnrestrictedViewer]);
        }
        if database(&[Role::Admin]) {
            return !matches!(self, Self::Service);
        }
        match self {
            Self::Query(_) => database(&[Role::User, Role::Viewer]),
            Self::Show(_) => database(&[Role::User, Role::Viewer, Role::Monitor]),
            Self::CreateTable(_) => database(&[Role::User]),
            Self::IngestAll(_) => database(&[Role::Ingestor]),
            Self::Ingest(..) => {
                database(&[Role::Ingestor])
                    || on_table.contains(&Role::Ingestor)
                    || on_table.contains(&Role::Admin)
            }
            Self::ManageTable(..) => on_table.contains(&Role::Admin),
            Self::AnyRole => !in_database.is_empty() || !on_table.is_empty(),
            Self::ManageDatabase(_) | Self::Service | Self::QueryRestricted(..) | Self::IngestSome(_) => {
                false
            }
        }
    }
}

/// What a command needs in a database; `exists` tells whether a table is there.
pub(crate) fn of_command(command: &Command, database: &str, exists: impl Fn(&str) -> bool) -> Vec<Need> {
    let show = || vec![Need::Show(database.to_owned())];
    let ingest = |table: &str| Need::Ingest(database.to_owned(), table.to_owned());
    let manage = |table: &str| Need::ManageTable(database.to_owned(), table.to_owned());
    let create = || Need::CreateTable(database.to_owned());
    // A database that a command names is not always the request's.
    let named = |name: &str| if name.is_empty() { database.to_owned() } else { name.to_owned() };
    match command {
        Command::IngestionResources
        | Command::IdentityToken
        | Command::ShowVersion
        | Command::ShowCluster
        | Command::ShowDatabases { name: None, view: DatabaseView::Plain }
        | Command::ShowCapacity { .. }
        | Command::ShowAbsent(_)
        | Command::ShowPrincipalAccess { .. }
        | Command::ShowExportContainers
        // Each command of a script asks for what it needs.
        | Command::ExecuteScript { .. }
        // Whoever has the id of an operation was given it.
        | Command::ShowQueuedOperations { .. }
        | Command::ShowOperationDetails { .. }
        // What they may stop is known only when it is found: it is asked for there.
        | Command::Cancel { .. }
        // Which databases' changes they see is asked for there.
        | Command::ShowJournal { .. } => vec![Need::AnyRole],
        // Whoever has the id of an operation was given it.
        Command::ShowOperations { ids } if !ids.is_empty() => vec![Need::AnyRole],
        Command::ShowOperations { .. }
        | Command::ShowTables { .. }
        | Command::ShowTable { .. }
        | Command::ShowDatabaseSchema { .. }
        | Command::ShowMappings { .. }
        | Command::ShowIngestionFailures { .. }
        | Command::ShowIngestionBatches
        | Command::ShowIngestionSources => show(),
        Command::ShowDatabases { name, .. } => match name.as_deref() {
            None => vec![Need::Service],
            Some(name) => vec![Need::Show(named(name))],
        },
        Command::ShowStreaming(_) => show(),
        Command::ShowExtents { of, .. } => match of {
            ExtentsOf::Tables(_) | ExtentsOf::Database(None) => show(),
            ExtentsOf::Database(Some(name)) => vec![Need::Show(name.clone())],
            ExtentsOf::Cluster => vec![Need::Service],
        },
        Command::CreateLike { .. } => vec![create()],
        Command::PolicyOfTables { action: PolicyAction::Show, .. } => show(),
        Command::PolicyOfTables { tables, .. } => tables.iter().map(|table| manage(table)).collect(),
        Command::DuplicateNext { .. } => vec![Need::ManageDatabase(database.to_owned())],
        Command::ListBlobs(_) => vec![Need::IngestSome(database.to_owned())],
        Command::LoadQueued(load) => {
            let database = load.database.as_deref().map_or_else(|| database.to_owned(), named);
            let table = load.table.clone();
            let changes = changes_schema(&load.properties);
            vec![if changes { Need::ManageTable(database, table) } else { Need::Ingest(database, table) }]
        }
        Command::ClusterPolicy { action: PolicyAction::Show, .. } => vec![Need::AnyRole],
        Command::ShowEntities
        | Command::ShowRequests(_)
        | Command::ShowRunningQueries
        | Command::ClusterPolicy { .. } => vec![Need::Service],
        Command::CreateDatabase { .. } => vec![Need::Service],
        Command::CreateTables { tables, mode, .. } => tables
            .iter()
            .map(|table| match mode {
                CreateMode::Alter | CreateMode::AlterMerge => manage(&table.name),
                CreateMode::CreateMerge if exists(&table.name) => manage(&table.name),
                CreateMode::Create | CreateMode::CreateMerge | CreateMode::IfNotExists => create(),
            })
            .collect(),
        Command::RenameTables { names } => names.iter().map(|(old, _)| manage(old)).collect(),
        Command::SetTableText { table, .. }
        | Command::SetColumnTexts { table, .. }
        | Command::ReplaceExtents { table, .. }
        | Command::RenameColumns { table, .. }
        | Command::DropColumns { table, .. }
        | Command::AlterColumnType { table, .. } => vec![manage(table)],
        Command::Function(FunctionCommand::Show { .. }) => show(),
        Command::Function(FunctionCommand::Define { .. } | FunctionCommand::Drop { .. }) => vec![create()],
        Command::DropExtents { extents: ExtentChoice::All { table: Some(table), .. }, .. }
        | Command::ChangeExtentTags { extents: ExtentChoice::All { table: Some(table), .. }, .. } => {
            vec![manage(table)]
        }
        // What they name is known only when the query has run: each table is asked for there.
        Command::DropExtents { .. } | Command::ChangeExtentTags { .. } => vec![Need::AnyRole],
        Command::MoveExtents { from, to, .. } => {
            from.iter().map(|from| manage(from)).chain([manage(to)]).collect()
        }
        Command::DropTables { names, .. } => names.iter().map(|name| manage(name)).collect(),
        Command::ClearTable { name } => vec![manage(name)],
        Command::CreateMapping { table, .. } | Command::DropMapping { table, .. } => vec![ingest(table)],
        Command::Policy { entity, action: PolicyAction::Show, .. } => match entity {
            PolicyEntity::Database(name) => vec![Need::Show(named(name))],
            PolicyEntity::Table(_) => show(),
        },
        Command::Policy { entity, .. } | Command::ChangePrincipals { entity, .. } => match entity {
            PolicyEntity::Database(name) => vec![Need::ManageDatabase(named(name))],
            PolicyEntity::Table(table) => vec![manage(table)],
        },
        Command::ShowPrincipals { entity } => match entity {
            PolicyEntity::Database(name) => vec![Need::Show(named(name))],
            PolicyEntity::Table(_) => show(),
        },
        Command::IngestInline { table, properties, .. } | Command::IngestPull { table, properties, .. } => {
            if changes_schema(properties) {
                vec![manage(table)]
            } else {
                vec![ingest(table)]
            }
        }
        // The query's own databases are checked where it is planned.
        Command::Fill { table, mode, properties, .. } => match mode {
            FillMode::SetOrReplace if exists(table) => vec![manage(table)],
            FillMode::Append | FillMode::SetOrAppend if exists(table) && changes_schema(properties) => {
                vec![manage(table)]
            }
            FillMode::Append => vec![ingest(table)],
            FillMode::SetOrAppend if exists(table) => vec![ingest(table)],
            FillMode::Set | FillMode::SetOrAppend | FillMode::SetOrReplace => vec![create()],
        },
        Command::FlushIngestion { table } => vec![ingest(table)],
        Command::CacheControl => vec![Need::IngestAll(database.to_owned())],
    }
}

fn changes_schema(properties: &[(String, String)]) -> bool {
    properties.iter().any(|(name, value)| {
        ["extend_schema", "recreate_schema"].iter().any(|known| known.eq_ignore_ascii_case(name))
            && value.eq_ignore_ascii_case("true")
    })
}
