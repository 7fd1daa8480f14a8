//! Commands that load what storage has, and that stop what is on its way.

/// A part of how paths of blobs are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    /// This text.
    Text(String),
    /// A time in a pattern of .NET: `datetime_pattern("yyyy/MM/dd", creationTime)`.
    Time {
        /// The pattern.
        pattern: String,
        /// What the time is called.
        name: String,
    },
}

/// Which blobs are meant: `.list blobs (...)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobListing {
    /// Containers, or prefixes of blobs in them, as storage connection strings.
    pub locators: Vec<String>,
    /// How the names of the blobs end.
    pub suffix: Option<String>,
    /// Most blobs.
    pub max_files: Option<u64>,
    /// How their paths are made.
    pub path_format: Vec<PathPart>,
}

/// Where a queued load takes its blobs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueuedSource {
    /// These.
    Blobs(Vec<String>),
    /// Those that a listing finds.
    Listing(BlobListing),
}

/// Whether sources wait for others of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// As the table's policy says.
    ByPolicy,
    /// `SkipBatching=true`
    Skip,
}

/// `.ingest-from-storage-queued into table T <| ...`
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedLoad {
    /// The database, if the command names one.
    pub database: Option<String>,
    /// The table.
    pub table: String,
    /// Whether each waits for others.
    pub batching: Batching,
    /// Uncompressed bytes by compressed ones, for what a batch may hold.
    pub compression_factor: Option<f64>,
    /// Ingestion properties.
    pub properties: Vec<(String, String)>,
    /// The blobs.
    pub source: QueuedSource,
}

/// What is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// `.cancel queued ingestion operation "id"`
    QueuedIngestion(String),
    /// `.cancel operation ID`
    Operation(String),
    /// `.cancel query "client request id"`
    Query(String),
}
