//! The command line: every flag, its environment variable and its meaning.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Gets data into Kusto: files, folders; a local service inside, or a real cluster.
///
/// Exit codes: 0 all ingested (or accepted, when that was asked), 1 some failed,
/// 2 usage, 3 permission, 4 unreachable, 5 unconfirmed, 130 cancelled.
#[derive(Debug, Parser)]
#[command(name = "kin", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ingest files and folders into a table.
    Ingest(Ingest),
    /// Run the local service until it is stopped.
    Serve(Serve),
    /// Run a KQL query or a management command (one that begins with a dot).
    Query(Query),
    /// Tell what became of a source, by the id that `kin ingest` printed.
    Status(Status),
}

/// Which cluster, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// URL of a cluster. Without it the service inside runs on --data-dir.
    #[arg(long, env = "KIN_CLUSTER", value_name = "URL")]
    pub(crate) cluster: Option<String>,
    /// Folder of the service inside.
    #[arg(long, env = "KIN_DATA_DIR", default_value = ".kin", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Database.
    #[arg(long, env = "KIN_DATABASE", default_value = "NetDefaultDB", value_name = "NAME")]
    pub(crate) database: String,
    /// How to sign in to --cluster: none, az (the Azure command line), or token.
    /// By default none for this machine, token when KIN_TOKEN is set, else az.
    #[arg(long, env = "KIN_AUTH", value_enum)]
    pub(crate) auth: Option<Auth>,
    /// Bearer token for --auth token; better given by the environment variable.
    #[arg(long, env = "KIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Auth {
    None,
    Az,
    Token,
}

#[derive(Debug, Args)]
pub(crate) struct Ingest {
    /// Files, or folders whose files are all ingested.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Table.
    #[arg(long, env = "KIN_TABLE", value_name = "NAME")]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Data format (csv, tsv, json, multijson, parquet, ...) instead of the one that
    /// name and content tell.
    #[arg(long, env = "KIN_FORMAT", value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Create the table, or add missing columns, from the inferred schema.
    #[arg(long, env = "KIN_CREATE_MERGE")]
    pub(crate) create_merge: bool,
    /// The first record of each file is a header.
    #[arg(long, env = "KIN_IGNORE_FIRST_RECORD")]
    pub(crate) ignore_first_record: bool,
    /// The first record of each file is data, whatever it looks like.
    #[arg(long, env = "KIN_NO_HEADER", conflicts_with = "ignore_first_record")]
    pub(crate) no_header: bool,
    /// Name of an ingestion mapping, or a file with one.
    #[arg(long, env = "KIN_MAPPING", value_name = "NAME|FILE")]
    pub(crate) mapping: Option<String>,
    /// What to wait for: until the service has the files, or until the rows are in the
    /// table.
    #[arg(long, env = "KIN_WAIT", value_enum, default_value_t = Wait::Ingested)]
    pub(crate) wait: Wait,
    /// Longest time to wait for a file to be ingested, in seconds.
    #[arg(long, env = "KIN_WAIT_SECONDS", default_value_t = 3600, value_name = "SECONDS")]
    pub(crate) wait_seconds: u64,
    /// How to print.
    #[arg(long, env = "KIN_OUTPUT", value_enum, default_value_t = IngestOutput::Text)]
    pub(crate) output: IngestOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    Accepted,
    Ingested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IngestOutput {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "KIN_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Folder of the service's data.
    #[arg(long, env = "KIN_DATA_DIR", default_value = ".kin", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Batch as a cluster does by default (5 minutes, 500 sources, 1 GiB) instead of
    /// after one second.
    #[arg(long, env = "KIN_EXACT")]
    pub(crate) exact: bool,
    /// Connection string of a storage account (or Azurite) that containers, queues and
    /// the status table live on, instead of the service's own.
    #[arg(long, env = "KIN_STORAGE", hide_env_values = true, value_name = "CONNECTION")]
    pub(crate) storage: Option<String>,
    /// A JSON file that says who is let in: {"tokens": [{"token": "...", "principal":
    /// "aadapp=ID;TENANT"}], "issuers": [{"issuer": "https://...", "audiences": ["..."]}],
    /// "admins": ["aadapp=ID;TENANT"]}. Without one everyone is the administrator.
    #[arg(long, env = "KIN_ACCESS", value_name = "FILE")]
    pub(crate) access: Option<PathBuf>,
    /// Without --access, listen on an address that other machines reach all the same.
    #[arg(long, env = "KIN_ALLOW_ANONYMOUS")]
    pub(crate) allow_anonymous: bool,
    /// A host that sources are read from by their URLs, with a leading dot every host below
    /// a domain; may be repeated. By default any host, and the well-known storage services
    /// only when other machines reach the service.
    #[arg(long = "source-host", env = "KIN_SOURCE_HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub(crate) source_hosts: Vec<String>,
    /// A further name that clients know the service by over https; may be repeated.
    #[arg(long = "host-name", env = "KIN_HOST_NAMES", value_delimiter = ',', value_name = "NAME")]
    pub(crate) host_names: Vec<String>,
    /// MiB that stay free on the disk of the data folder: with less, no data is taken and
    /// clients are told to come again; 0 switches it off.
    #[arg(long = "min-free", env = "KIN_MIN_FREE", default_value_t = 256, value_name = "MIB")]
    pub(crate) min_free: u64,
    /// Abort the process at this step; for crash tests.
    #[arg(long, env = "KIN_CRASH_AT", hide = true)]
    pub(crate) crash_at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Query {
    /// KQL, or a management command.
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) target: Target,
    /// How to print.
    #[arg(long, env = "KIN_QUERY_OUTPUT", value_enum, default_value_t = QueryOutput::Table)]
    pub(crate) output: QueryOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryOutput {
    Table,
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Source id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) target: Target,
    /// How to print.
    #[arg(long, env = "KIN_OUTPUT", value_enum, default_value_t = IngestOutput::Text)]
    pub(crate) output: IngestOutput,
}
