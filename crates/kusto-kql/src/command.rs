//! The management commands that are understood, as values.

mod extents;
mod load;

pub use extents::{Effect, ExtentChoice, ExtentsOf, TagChange, TagCondition, TagTest};
pub use load::{Batching, BlobListing, Cancelled, PathPart, QueuedLoad, QueuedSource};

use kusto_types::{ColumnType, MappingKind};

/// A command and the query text that was piped behind it, if any.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandText {
    /// The command.
    pub command: Command,
    /// `| where ...` behind a `.show`.
    pub pipe: Option<String>,
    /// Queries behind that, after a semicolon.
    pub then: Option<String>,
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
    /// `.alter`: the table must exist, and has these columns and no others.
    Alter,
    /// `.alter-merge`: the table must exist, and has these columns too.
    AlterMerge,
}

/// A table of `.create table` and its kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<(String, ColumnType)>,
}

/// What defining a function does with what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionMode {
    /// Fails when the function exists.
    Create,
    /// Replaces or makes.
    CreateOrAlter,
    /// Fails when the function does not exist.
    Alter,
    /// Does nothing when the function exists.
    IfNotExists,
}

/// A command on stored functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionCommand {
    /// `.create-or-alter function F (a:long) { ... }`
    Define {
        /// Its name.
        name: String,
        /// Its parameters, in parentheses.
        parameters: String,
        /// Its body, in braces.
        body: String,
        /// `folder`.
        folder: String,
        /// `docstring`.
        docstring: String,
        /// What happens to an existing one.
        mode: FunctionMode,
    },
    /// `.drop function F`
    Drop {
        /// Its name.
        name: String,
        /// Whether a missing one is fine.
        if_exists: bool,
    },
    /// `.show functions`, `.show function F`
    Show {
        /// Only this one.
        name: Option<String>,
    },
}

/// A text that tools show with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableText {
    /// What it is for.
    DocString,
    /// Where tools list it.
    Folder,
}

/// What becomes of the texts of columns that a command does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherTexts {
    /// They stay.
    Keep,
    /// They go.
    Clear,
}

/// Requests of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLog {
    /// Queries.
    Queries,
    /// Management commands.
    Commands,
    /// Both.
    Both,
}

/// Things that a cluster has and this service never has: their lists are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// `.show cluster principals`
    ClusterPrincipals,
    /// `.show principal roles`
    PrincipalRoles,
    /// `.show materialized-views`
    MaterializedViews,
    /// `.show external tables`
    ExternalTables,
    /// `.show entity_groups`
    EntityGroups,
    /// `.show workload_groups`
    WorkloadGroups,
    /// `.show database schema violations`: names are checked when they are given.
    SchemaViolations,
}

/// What is known of the streamed payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamingLog {
    /// `.show streamingingestion failures`
    Failures,
    /// `.show streamingingestion statistics`
    Statistics,
}

/// Which ingestion is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicated {
    /// The next one.
    Next,
    /// The next one that fails.
    NextFailed,
}

/// What is shown of databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseView {
    /// What they are.
    Plain,
    /// Their policies, principals and size.
    Details,
    /// Their policies and principals.
    Policies,
    /// How much is in them.
    DataStats,
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
    /// The commands that make it, a row each.
    Script,
}

/// Which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// `ingestionbatching`. How sources are put together.
    IngestionBatching,
    /// `streamingingestion`. Whether a table can be streamed to.
    StreamingIngestion,
    /// `retention`. When extents are dropped.
    Retention,
    /// `ingestiontime`. Whether `ingestion_time()` is kept.
    IngestionTime,
    /// `update`. What becomes of rows of other tables.
    Update,
    /// `restricted_view_access`. Whether only unrestricted viewers may query.
    RestrictedViewAccess,
    /// `caching`. Kept and shown, without effect.
    Caching,
    /// `merge`. Kept and shown, without effect.
    Merge,
    /// `sharding`. Kept and shown, without effect.
    Sharding,
    /// `roworder`. Kept and shown, without effect.
    RowOrder,
    /// `encoding`. Kept and shown, without effect.
    Encoding,
    /// `partitioning`. Kept and shown, without effect.
    Partitioning,
    /// `auto_delete`. Kept and shown, without effect.
    AutoDelete,
}

impl PolicyKind {
    /// Every policy, as commands name them.
    pub const ALL: [(&'static str, Self); 14] = [
        ("ingestionbatching", Self::IngestionBatching),
        ("streamingingestion", Self::StreamingIngestion),
        ("retention", Self::Retention),
        ("ingestiontime", Self::IngestionTime),
        ("update", Self::Update),
        ("restricted_view_access", Self::RestrictedViewAccess),
        ("caching", Self::Caching),
        ("merge", Self::Merge),
        ("sharding", Self::Sharding),
        ("roworder", Self::RowOrder),
        ("row_order", Self::RowOrder),
        ("encoding", Self::Encoding),
        ("partitioning", Self::Partitioning),
        ("auto_delete", Self::AutoDelete),
    ];

    /// The name that results show.
    pub fn policy_name(self) -> &'static str {
        match self {
            Self::IngestionBatching => "IngestionBatchingPolicy",
            Self::StreamingIngestion => "StreamingIngestionPolicy",
            Self::Retention => "RetentionPolicy",
            Self::IngestionTime => "IngestionTimePolicy",
            Self::Update => "UpdatePolicy",
            Self::RestrictedViewAccess => "RestrictedViewAccessPolicy",
            Self::Caching => "CachingPolicy",
            Self::Merge => "MergePolicy",
            Self::Sharding => "ShardingPolicy",
            Self::RowOrder => "RowOrderPolicy",
            Self::Encoding => "EncodingPolicy",
            Self::Partitioning => "PartitioningPolicy",
            Self::AutoDelete => "AutoDeletePolicy",
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
    /// `.show databases`, `.show database D details`
    ShowDatabases {
        /// Only this one; an empty name is the request's.
        name: Option<String>,
        /// What is shown.
        view: DatabaseView,
    },
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
    /// `.create table`, `.create-merge table`, `.alter table`, `.alter-merge table`, and the
    /// same of several tables
    CreateTables {
        /// The tables: all are made or none.
        tables: Vec<NewTable>,
        /// What happens to existing ones.
        mode: CreateMode,
        /// `folder`.
        folder: String,
        /// `docstring`.
        docstring: String,
    },
    /// `.rename table A to B`, `.rename tables B = A`
    RenameTables {
        /// Old and new names: all are renamed at once.
        names: Vec<(String, String)>,
    },
    /// `.alter table T docstring "..."`
    SetTableText {
        /// The table.
        table: String,
        /// Which text.
        text: TableText,
        /// What it becomes.
        value: String,
    },
    /// `.rename column T.a to b`, `.rename columns a = T.b, b = T.a`
    RenameColumns {
        /// The table.
        table: String,
        /// Old and new names: all at once.
        names: Vec<(String, String)>,
    },
    /// `.drop column T.a`, `.drop table T columns (a, b)`
    DropColumns {
        /// The table.
        table: String,
        /// The columns: all go or none.
        columns: Vec<String>,
        /// Whether missing ones are fine.
        if_exists: bool,
    },
    /// `.alter column T.a type=long`: what it held is null from then on
    AlterColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it becomes.
        column_type: ColumnType,
    },
    /// Commands on stored functions
    Function(FunctionCommand),
    /// `.execute database script <| ...`
    ExecuteScript {
        /// `ContinueOnErrors`, `ThrowOnErrors`.
        properties: Vec<(String, String)>,
        /// The commands.
        script: String,
    },
    /// `.drop extents ...`, `.drop extent ID`, `.drop-pretend extents ...`
    DropExtents {
        /// Which.
        extents: ExtentChoice,
        /// Whether they go.
        effect: Effect,
    },
    /// `.alter extent tags`, `.alter-merge extent tags`, `.drop extent tags`
    ChangeExtentTags {
        /// What is done.
        change: TagChange,
        /// The tags.
        tags: Vec<String>,
        /// Of which extents.
        extents: ExtentChoice,
    },
    /// `.show databases entities`
    ShowEntities,
    /// `.show export containers`, `.create tempstorage`
    ShowExportContainers,
    /// `.show principal access with (...)`
    ShowPrincipalAccess {
        /// `principal`, `accesstype`, `database`, `table`.
        properties: Vec<(String, String)>,
    },
    /// `.show queued ingestion operations "id" [details]`
    ShowQueuedOperations {
        /// The operations.
        ids: Vec<String>,
        /// Whether each source is shown.
        details: bool,
    },
    /// `.list blobs (...)`
    ListBlobs(BlobListing),
    /// `.ingest-from-storage-queued into table T <| ...`
    LoadQueued(QueuedLoad),
    /// `.cancel ...`
    Cancel {
        /// What.
        what: Cancelled,
        /// Why.
        reason: String,
    },
    /// `.show running queries`
    ShowRunningQueries,
    /// `.show streamingingestion failures`, `.show streamingingestion statistics`
    ShowStreaming(StreamingLog),
    /// `.show journal`, `.show database D journal`
    ShowJournal {
        /// Only of this database.
        database: Option<String>,
    },
    /// `.create table B based-on A`
    CreateLike {
        /// The new table.
        name: String,
        /// The one that it is like.
        like: String,
        /// What happens when it exists.
        mode: CreateMode,
        /// `folder`.
        folder: String,
        /// `docstring`.
        docstring: String,
    },
    /// `.alter tables (A, B) policy ...`: all of them or none; `.show table * policy ...`
    PolicyOfTables {
        /// The tables; none means all of the database.
        tables: Vec<String>,
        /// Which.
        policy: PolicyKind,
        /// What is done.
        action: PolicyAction,
    },
    /// `.dup-next-ingest into T to h'...'`, `.dup-next-failed-ingest ...`
    DuplicateNext {
        /// The table.
        table: String,
        /// The container that copies go to.
        container: String,
        /// Which ingestion is meant.
        which: Duplicated,
    },
    /// `.show|.alter|.alter-merge|.delete cluster policy P`: kept and shown, without effect
    ClusterPolicy {
        /// Its name.
        policy: String,
        /// What is done.
        action: PolicyAction,
    },
    /// `.move extents ... from table A to table B`
    MoveExtents {
        /// The table that they must be in.
        from: Option<String>,
        /// The table that they go to.
        to: String,
        /// Which.
        extents: ExtentChoice,
    },
    /// `.replace extents in table T <| {drop}, {move}`: at once
    ReplaceExtents {
        /// The table.
        table: String,
        /// The query of those that go.
        dropped: String,
        /// The query of those that come from other tables.
        moved: String,
    },
    /// `.alter table T column-docstrings (a: "...")`, and of `.alter-merge`
    SetColumnTexts {
        /// The table.
        table: String,
        /// The columns and their texts.
        texts: Vec<(String, String)>,
        /// What becomes of the texts of other columns.
        others: OtherTexts,
    },
    /// `.show queries`, `.show commands`, `.show commands-and-queries`
    ShowRequests(RequestLog),
    /// Lists that are always empty
    ShowAbsent(Absent),
    /// `.show ingestion batches`: ours, the batches that are open or on their way
    ShowIngestionBatches,
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
        /// Whose.
        of: ExtentsOf,
        /// Only these, when any are given.
        ids: Vec<String>,
        /// Only those with these tags.
        tags: Vec<TagCondition>,
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
