//! The local ingestion service: in one process what a Kusto cluster and its
//! data-management service do with ingested data. One port serves the engine, data
//! management and Azure-Storage-compatible blob, queue and table endpoints, over http and
//! https; one SQLite
//! database is the transactional truth; extents are Parquet files.

mod access;
mod command;
mod config;
mod error;
mod external;
mod http;
mod ingest;
mod listen;
mod query;
mod requests;
mod room;
mod run;
mod running;
mod sas;
mod source_hosts;
mod state;
mod store;
mod streaming_log;
mod tls;
mod token;

pub use access::{AccessConfig, Issuer, Principal, PrincipalError};
pub use config::ServiceConfig;
pub use error::ServiceError;
pub use external::StorageAccount;
pub use run::{RunningService, start};
pub use source_hosts::SourceHosts;
