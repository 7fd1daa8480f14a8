//! Ingestion into Kusto (Azure Data Explorer, Fabric Eventhouse).
//!
//! *Queued* ingestion: the source is compressed and uploaded to storage that the
//! service hands out, a message is posted to a queue, the service batches, loads and
//! reports. *Accepted* (the message is in the queue) and *ingested* (the rows are in
//! the table) are different promises, and different methods; when nothing is known
//! the outcome is [`Outcome::Unknown`], never a success.
//!
//! ```no_run
//! # async fn run() -> Result<(), kusto_ingest::Error> {
//! use kusto_ingest::{Credential, Endpoint, IngestionProperties, KustoClient, Outcome, QueuedIngestClient};
//!
//! let cluster = KustoClient::new(Endpoint::parse("http://localhost:8080")?, Credential::none())?;
//! let client = QueuedIngestClient::new(&cluster);
//! let target = IngestionProperties::new("NetDefaultDB", "Flights")?.tracked();
//! let handle = client.ingest_file("flights.csv", &target).await?; // accepted
//! match handle.ingested().await? {
//!     Outcome::Succeeded => println!("in the table"),
//!     other => println!("not in the table: {other:?}"),
//! }
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod handle;
mod pack;
mod progress;
mod properties;
mod queued;
mod ranking;
mod resources;
mod source;
mod storage;
mod upload;

pub use handle::{IngestionHandle, Outcome};
pub use kusto_client::{Credential, Endpoint, Error, ErrorKind, KustoClient, RetryPolicy, Transport};
pub use kusto_types::{DataFormat, DatabaseName, MappingName, SourceId, TableName};
pub use kusto_wire::{ReportLevel, ReportMethod, SecretUrl};
pub use progress::Progress;
pub use properties::{IngestionProperties, Mapping};
pub use queued::QueuedIngestClient;
pub use source::Source;
