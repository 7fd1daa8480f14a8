//! Every document on the Kusto wire, encoded and decoded: requests, v1 and v2
//! results, errors, ingestion resources, queue messages, status rows and messages,
//! the REST v2 ingest bodies and the XML of the storage services.
//!
//! Client and service share these types, so the golden samples of the official
//! clients (in `testdata/`) keep both sides honest.

mod error;
mod ingestion_error_code;
mod message;
mod request;
mod resources;
mod rest_ingest;
mod secret_url;
mod status;
pub mod storage;
mod table;
mod v1;
mod v2;

pub use error::{OneApiError, OneApiErrorBody};
pub use ingestion_error_code::{FailureCategory, IngestionErrorCode};
pub use message::{AdditionalProperties, IngestionMessage, MessageError, StatusTablePointer};
pub use request::{Request, RequestProperties};
pub use resources::{IngestionResources, ResourceError};
pub use rest_ingest::{
    BlobStatus, ContainerPath, ContainerSettings, IngestConfiguration, IngestionSettings, OperationCounts,
    OperationStatus, QueuedBlob, QueuedRequest, QueuedResponse,
};
pub use secret_url::SecretUrl;
pub use status::{
    FailureMessage, FailureStatus, IngestionStatus, ReportLevel, ReportMethod, StatusRow, SuccessMessage,
};
pub use table::{ResultColumn, ResultTable};
pub use v1::{DataSetV1, V1Error};
pub use v2::{DataSetV2, Framing, V2Error};
