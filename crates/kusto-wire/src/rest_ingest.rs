//! The bodies of the REST v2 ingest protocol
//! (`/v1/rest/ingestion/configuration` and `/v1/rest/ingestion/queued/...`),
//! in the spelling of the OpenAPI document that the Java client is made from.

use crate::{FailureStatus, SecretUrl};
use kusto_types::{DataFormat, SourceId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a service says about how to ingest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestConfiguration {
    /// Where to upload.
    pub container_settings: ContainerSettings,
    /// How to post.
    pub ingestion_settings: IngestionSettings,
}

/// Where to upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSettings {
    /// Blob containers with their SAS.
    #[serde(default)]
    pub containers: Vec<ContainerPath>,
    /// OneLake folders.
    #[serde(default)]
    pub lake_folders: Vec<ContainerPath>,
    /// .NET timespan after which to ask again.
    #[serde(default)]
    pub refresh_interval: String,
    /// `Storage`, `Lake` or `Default`.
    #[serde(default)]
    pub preferred_upload_method: String,
}

/// One container or folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPath {
    /// Its URL, with its SAS if it has one.
    pub path: SecretUrl,
}

/// How to post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestionSettings {
    /// Most blobs in one request.
    pub max_blobs_per_batch: u32,
    /// Most bytes of one blob.
    pub max_data_size: u64,
    /// `Rest` (v2) or `Legacy`/`V1` (queue).
    pub preferred_ingestion_method: String,
}

/// A request to ingest blobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueuedRequest {
    /// When the client made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The blobs; at most `maxBlobsPerBatch`.
    pub blobs: Vec<QueuedBlob>,
    /// `format` and the other ingestion properties.
    pub properties: Map<String, Value>,
}

/// One blob of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedBlob {
    /// Its URL with its credential.
    pub url: SecretUrl,
    /// Its id; the service makes one when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<SourceId>,
    /// Uncompressed bytes, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_size: Option<u64>,
}

/// The answer: an opaque id, empty when tracking is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedResponse {
    /// The id to ask the status of.
    pub ingestion_operation_id: String,
}

/// The state of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// When it began.
    #[serde(default)]
    pub start_time: Option<String>,
    /// When it changed last.
    #[serde(default)]
    pub last_updated: Option<String>,
    /// Blobs by state.
    pub status: OperationCounts,
    /// Each blob, when details were asked for.
    #[serde(default)]
    pub details: Vec<BlobStatus>,
}

/// Blobs by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationCounts {
    /// In the table.
    #[serde(default)]
    pub succeeded: u64,
    /// Given up.
    #[serde(default)]
    pub failed: u64,
    /// On the way.
    #[serde(default)]
    pub in_progress: u64,
    /// Cancelled.
    #[serde(default)]
    pub canceled: u64,
}

/// The state of one blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobStatus {
    /// Its id.
    pub source_id: SourceId,
    /// Its URL without the credential.
    #[serde(default)]
    pub url: String,
    /// `Queued`, `InProgress`, `Succeeded`, `Failed` or `Canceled`.
    pub status: String,
    /// When the service took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<String>,
    /// The code of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Whether the failure is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_status: Option<FailureStatus>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// `format` as the request's properties carry it.
impl QueuedRequest {
    /// The data format, which the protocol requires.
    pub fn format(&self) -> Option<DataFormat> {
        self.properties.get("format").and_then(Value::as_str).and_then(|text| DataFormat::parse(text).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_use_the_openapi_names() {
        let configuration = r#"{"containerSettings":{"containers":[{"path":"https://a/c?sig=1"}],"lakeFolders":[],
            "refreshInterval":"01:00:00","preferredUploadMethod":"Storage"},
            "ingestionSettings":{"maxBlobsPerBatch":20,"maxDataSize":6442450944,"preferredIngestionMethod":"Rest"}}"#;
        let read: IngestConfiguration = serde_json::from_str(configuration).unwrap();
        assert_eq!(
            serde_json::to_value(&read).unwrap(),
            serde_json::from_str::<Value>(configuration).unwrap()
        );
        let request: QueuedRequest = serde_json::from_str(
            r#"{"blobs":[{"url":"https://a/b?sig=1","rawSize":5}],"properties":{"format":"Csv","enableTracking":true}}"#,
        )
        .unwrap();
        assert_eq!((request.format(), request.blobs[0].raw_size), (Some(DataFormat::Csv), Some(5)));
    }
}
