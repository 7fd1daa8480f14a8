//! The management commands that are understood, as values.

use kusto_types::{ColumnType, MappingKind};

/// A command and the query text that was piped behind it, if any.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandText {
    /// The command.
    pub command: Command,
    /// `| where ...` behind a `.show`.
    pub pipe: Option<String>,
}

/// What `.create` does with what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Fails when the schema differs; keeps the table when it is the same.
    Create,
    /// Adds the columns that are missing.
    CreateMerge,
    /// Does nothing when the table exists.
    IfNotExists,
}

/// What a mapping command does with what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingMode {
    /// Fails when the mapping exists.
    Create,
    /// Replaces or makes.
    CreateOrAlter,
    /// Fails when the mapping does not exist.
    Alter,
}

/// How a table's schema is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaShape {
    /// A row a column.
    Columns,
    /// JSON in one row.
    Json,
    /// `name:type` text in one row.
    Csl,
}

/// Which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// `ingestionbatching`
    IngestionBatching,
    /// `streamingingestion`
    StreamingIngestion,
}

impl PolicyKind {
    /// The name that results show.
    pub fn policy_name(self) -> &'static str {
        match self {
            Self::IngestionBatching => "IngestionBatchingPolicy",
            Self::StreamingIngestion => "StreamingIngestionPolicy",
        }
    }
}

/// What a policy is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyEntity {
    /// A database.
    Database(String),
    /// A table.
    Table(String),
}

/// What is done to a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyAction {
    /// Print it.
    Show,
    /// Set it: members left out take their defaults.
    Alter(String),
    /// Set it: members left out keep their values.
    AlterMerge(String),
    /// Remove it.
    Delete,
}

/// Whether a command's answer waits for its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// The answer is the result.
    Wait,
    /// `async`: the answer is an operation id.
    Async,
}

/// How `.set`, `.append`, `.set-or-append` and `.set-or-replace` treat the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillMode {
    /// The table must not exist.
    Set,
    /// The table must exist.
    Append,
    /// Either.
    SetOrAppend,
    /// Either; what the table holds goes when the new rows come.
    SetOrReplace,
}

/// What a principal may do in a database or with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read, and make tables.
    User,
    /// Read.
    Viewer,
    /// Read what is restricted too.
    UnrestrictedViewer,
    /// Ingest, and nothing else.
    Ingestor,
    /// See the metadata.
    Monitor,
}

impl Role {
    /// Every role, as commands name them.
    pub const ALL: [(&'static str, Self); 6] = [
        ("admins", Self::Admin),
        ("users", Self::User),
        ("viewers", Self::Viewer),
        ("unrestrictedviewers", Self::UnrestrictedViewer),
        ("ingestors", Self::Ingestor),
        ("monitors", Self::Monitor),
    ];

    /// The word of the commands.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(word, _)| word)
    }

    /// The name that results show.
    pub fn display(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::User => "User",
            Self::Viewer => "Viewer",
            Self::UnrestrictedViewer => "UnrestrictedViewer",
            Self::Ingestor => "Ingestor",
            Self::Monitor => "Monitor",
        }
    }
}

/// What is done to the principals of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalChange {
    /// These come to those that are there.
    Add,
    /// These go.
    Drop,
    /// These and no others.
    Set,
}

/// A management command.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `.show database D principals`, `.show table T principals`
    ShowPrincipals {
        /// Of what; an empty database name is the request's.
        entity: PolicyEntity,
    },
    /// `.add|.drop|.set database D ingestors ('aadapp=...') 'note'`
    ChangePrincipals {
        /// Of what.
        entity: PolicyEntity,
        /// Which role.
        role: Role,
        /// What is done.
        change: PrincipalChange,
        /// Their fully qualified names.
        principals: Vec<String>,
        /// What is noted with them.
        notes: String,
    },
    /// `.get ingestion resources`, `.show ingestion resources`
    IngestionResources,
    /// `.get kusto identity token`
    IdentityToken,
    /// `.show version`
    ShowVersion,
    /// `.show cluster`
    ShowCluster,
    /// `.show databases`
    ShowDatabases,
    /// `.create database D`
    CreateDatabase {
        /// Its name.
        name: String,
        /// Whether an existing one is fine.
        if_not_exists: bool,
    },
    /// `.show tables`
    ShowTables {
        /// Only these, when given.
        names: Vec<String>,
        /// Whether counts and sizes are shown.
        details: bool,
    },
    /// `.show table T`, `.show table T schema as json`, `.show table T cslschema`
    ShowTable {
        /// The table.
        name: String,
        /// How.
        shape: SchemaShape,
    },
    /// `.show database schema`
    ShowDatabaseSchema {
        /// Whether as JSON.
        shape: SchemaShape,
    },
    /// `.create table`, `.create-merge table`
    CreateTable {
        /// The table.
        name: String,
        /// Its columns.
        columns: Vec<(String, ColumnType)>,
        /// What happens to an existing one.
        mode: CreateMode,
        /// `folder`.
        folder: String,
        /// `docstring`.
        docstring: String,
    },
    /// `.drop table`, `.drop tables (A, B)`
    DropTables {
        /// The tables: all go or none.
        names: Vec<String>,
        /// Whether missing ones are fine.
        if_exists: bool,
    },
    /// `.clear table T data`
    ClearTable {
        /// The table.
        name: String,
    },
    /// `.show table T extents`, `.show database extents`
    ShowExtents {
        /// The table; absent means all of the database.
        table: Option<String>,
    },
    /// `.create-or-alter table T ingestion json mapping 'N' '...'`
    CreateMapping {
        /// The table.
        table: String,
        /// The kind.
        kind: MappingKind,
        /// Its name.
        name: String,
        /// Its JSON.
        json: String,
        /// What happens to an existing one.
        mode: MappingMode,
    },
    /// `.show table T ingestion mappings`
    ShowMappings {
        /// The table; absent means all of the database.
        table: Option<String>,
        /// Only of this kind.
        kind: Option<MappingKind>,
        /// Only this one.
        name: Option<String>,
    },
    /// `.drop table T ingestion json mapping 'N'`
    DropMapping {
        /// The table.
        table: String,
        /// The kind.
        kind: MappingKind,
        /// Its name.
        name: String,
    },
    /// `.show|.alter|.alter-merge|.delete table T policy ...`
    Policy {
        /// What it is on.
        entity: PolicyEntity,
        /// Which.
        policy: PolicyKind,
        /// What is done.
        action: PolicyAction,
    },
    /// `.ingest inline into table T <| data`
    IngestInline {
        /// The table.
        table: String,
        /// Ingestion properties.
        properties: Vec<(String, String)>,
        /// The data.
        data: String,
    },
    /// `.ingest into table T ('url') with (...)`
    IngestPull {
        /// The table.
        table: String,
        /// Storage connection strings, each of one file.
        locators: Vec<String>,
        /// Ingestion properties.
        properties: Vec<(String, String)>,
        /// Whether the answer waits.
        execution: Execution,
    },
    /// `.show operations`
    ShowOperations {
        /// Only these, when any are given.
        ids: Vec<String>,
    },
    /// `.show operation ID details`
    ShowOperationDetails {
        /// The operation.
        id: String,
    },
    /// `.show capacity`
    ShowCapacity {
        /// Only this resource.
        resource: Option<String>,
    },
    /// `.set-or-append T <| query`
    Fill {
        /// Whether the answer waits.
        execution: Execution,
        /// The table.
        table: String,
        /// How.
        mode: FillMode,
        /// Ingestion properties.
        properties: Vec<(String, String)>,
        /// The query.
        query: String,
    },
    /// `.show ingestion failures`
    ShowIngestionFailures {
        /// Only of this operation.
        operation: Option<String>,
    },
    /// `.show ingestion sources`: ours, every source that the service knows
    ShowIngestionSources,
    /// `.flush table T ingestion`: ours, seals open batches of the table
    FlushIngestion {
        /// The table.
        table: String,
    },
    /// `.clear ... cache ...`, `.refresh ...`: nothing is cached, so nothing to do
    CacheControl,
}
