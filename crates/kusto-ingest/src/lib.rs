//! Ingestion into Kusto (Azure Data Explorer, Fabric Eventhouse).
//!
//! | client | what it does | when the handle is given |
//! |---|---|---|
//! | [`QueuedIngestClient`] | uploads, hands over to the service, which batches, retries and reports | *accepted* |
//! | [`StreamingIngestClient`] | one request, at most 10 MiB | *ingested* |
//! | [`ManagedStreamingIngestClient`] | streams what can be streamed and queues the rest | either; [`IngestionHandle::route`] says which |
//! | [`DirectIngestClient`] | a command on the engine, within its capacity | *ingested*, or *accepted* when async |
//!
//! All take the same [`Source`]s and [`IngestionProperties`] and give the same
//! [`IngestionHandle`]. *Accepted* (the service has it) and *ingested* (the rows are in
//! the table) are different promises; when nothing is known the outcome is
//! [`Outcome::Unknown`], never a success.
//!
//! ```no_run
//! # async fn run() -> Result<(), kusto_ingest::Error> {
//! use kusto_ingest::{IngestionProperties, KustoClient, Outcome, QueuedIngestClient};
//!
//! let cluster = KustoClient::from_connection_string("http://localhost:8080")?;
//! let client = QueuedIngestClient::new(&cluster);
//! let target = IngestionProperties::new("NetDefaultDB", "Flights")?.tracked();
//! let handle = client.ingest_file("flights.csv", &target).await?; // accepted
//! match handle.ingested().await {
//!     Outcome::Succeeded => println!("in the table"),
//!     other => println!("not in the table: {other:?}"),
//! }
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

pub mod blocking;
mod budget;
mod call;
mod direct;
mod managed;
mod mapping;
mod options;
mod pack;
mod progress;
mod properties;
mod queued;
mod ranking;
mod resources;
mod source;
mod split;
mod storage;
mod streaming;
mod telemetry;
mod tracking;
mod upload;

pub use call::{Call, Ingest, IngestClient};
pub use direct::{DirectIngestClient, Execution, QueryIngestion};
pub use kusto_client::{
    AccessToken, ChainSending, ClientDetails, ConnectionString, Credential, DeviceCodePrompt, Endpoint,
    Error, ErrorKind, KustoClient, ManagedIdentity, RetryPolicy, TokenProvider, TokenRequest, Transport,
    TransportBuilder, TrustedEndpoints,
};
pub use kusto_types::{Compression, DataFormat, DatabaseName, MappingKind, MappingName, SourceId, TableName};
pub use kusto_wire::{
    FailureCategory, FailureMessage, FailureStatus, IngestionErrorCode, ReportLevel, ReportMethod, SecretUrl,
    SuccessMessage,
};
pub use managed::{
    DefaultManagedStreamingPolicy, ManagedStreamingIngestClient, ManagedStreamingPolicy, Reaction,
    StreamingFailure,
};
pub use mapping::{ColumnMapping, Mapping, MappingTransform};
pub use options::IngestOptions;
pub use progress::{Progress, ProgressEvent};
pub use properties::{AfterSuccess, IngestionProperties, ValidationImplications, ValidationOptions};
pub use queued::QueuedIngestClient;
pub use resources::Protocol;
pub use source::{Blob, Reading, Source, Writing};
pub use streaming::{MAX_STREAMED, StreamingIngestClient};
pub use tracking::{
    FallbackReason, IngestionHandle, Lease, Method, Outcome, PollPolicy, Report, ReportQueue, Route,
    SourceOutcome,
};
pub use upload::{ContainerUploader, UploadMethod, Uploader};
