//! The ingest endpoints: streaming (`/v1/rest/ingest/...`) and REST v2
//! (`/v1/rest/ingestion/...`).

use super::kusto::Ids;
use super::{Call, percent_decode};
use crate::ServiceError;
use crate::access::{Caller, Need};
use crate::error::with_causes;
use crate::ingest::fetch;
use crate::ingest::stream::{Streamed, ingest};
use crate::ingest::submit::{self, QueuedBlob, Submission};
use crate::state::State;
use crate::store::operations;
use crate::store::reports::Outcome;
use crate::streaming_log::{StreamedKind, StreamedRequest};
use axum::response::Response;
use http::Method;
use kusto_decode::Input;
use kusto_types::{ColumnType, DataFormat, DatabaseName, DateTime, MappingName, SourceId, TableName};
use kusto_wire::{
    AdditionalProperties, ContainerPath, ContainerSettings, DataSetV1, IngestConfiguration,
    IngestionSettings, QueuedRequest, QueuedResponse, ResultTable, SecretUrl,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Most encoded bytes of a streaming request, as the managed streaming clients assume.
const MAX_STREAMED: usize = 10 * 1024 * 1024;
/// Most bytes of a REST v2 request.
const MAX_REQUEST: usize = 4 * 1024 * 1024;
/// Most blobs of a REST v2 request.
const MAX_BLOBS: usize = 20;
/// Most uncompressed bytes of a blob.
const MAX_DATA: u64 = 6_442_450_944;

fn data_fault(code: &str, message: String) -> ServiceError {
    ServiceError::BadData { code: code.to_owned(), message }
}

/// The source id that a request id names: managed streaming writes
/// `K?C.executeManagedStreamingIngest...;{source id};{attempt}`, and this project's client
/// the same for plain streaming.
fn named_source(call: &Call) -> Option<SourceId> {
    let mut parts = call.header("x-ms-client-request-id")?.split(';');
    let activity = parts.next()?;
    let id = parts.next()?;
    parts.next()?.parse::<u32>().ok()?;
    if activity.contains("StreamingIngest") { id.parse().ok() } else { None }
}

pub(crate) async fn stream(state: &Arc<State>, call: Call, database: &str, table: &str) -> Response {
    let ids = Ids::of(&call);
    let started = DateTime::now();
    let asked = |name: &str| call.query.get(name).cloned().unwrap_or_default();
    let by_uri = asked("sourceKind").eq_ignore_ascii_case("uri");
    let kind = StreamedKind {
        database: percent_decode(database),
        table: percent_decode(table),
        principal: call.caller.principal.to_string(),
        mapping: asked("mappingName"),
        format: asked("streamFormat"),
        compressed: call.header("content-encoding").is_some_and(|coding| coding.contains("gzip")),
        source: if by_uri { "Uri" } else { "Body" },
    };
    let mut bytes = 0;
    let done = run_stream(state, call, kind.database.clone(), kind.table.clone(), &mut bytes).await;
    let outcome = done.as_ref().copied();
    state.streaming_log.record(StreamedRequest { kind, activity: ids.activity(), started, bytes, outcome });
    match done {
        Ok(records) => {
            let table = ResultTable::new(
                "Table_0",
                [
                    ("ConsumedRecordsCount", ColumnType::Long),
                    ("UpdatePolicyStatus", ColumnType::String),
                    ("UpdatePolicyFailureCode", ColumnType::String),
                    ("UpdatePolicyFailureReason", ColumnType::String),
                ],
            )
            .with_row(vec![records.into(), "Inactive".into(), "Unknown".into(), Value::Null]);
            ids.answer(&DataSetV1::single(table).encode())
        }
        Err(error) => ids.fail(&error),
    }
}

async fn run_stream(
    state: &Arc<State>,
    call: Call,
    database: String,
    table: String,
    bytes: &mut u64,
) -> Result<u64, ServiceError> {
    state.room.check()?;
    let Ok(_running) = state.streaming.try_acquire() else {
        return Err(ServiceError::Throttled { what: "streaming ingestion requests", after: None });
    };
    let format = call.query.get("streamFormat").ok_or_else(|| {
        data_fault("BadRequest_MalformedIngestionProperty", "streamFormat is missing".to_owned())
    })?;
    let format = DataFormat::parse(format)
        .map_err(|error| data_fault("BadRequest_FormatNotSupported", error.to_string()))?;
    let mapping = match call.query.get("mappingName").filter(|name| !name.is_empty()) {
        Some(name) => Some(
            MappingName::new(name.clone())
                .map_err(|error| data_fault("BadRequest_InvalidMappingReference", error.to_string()))?,
        ),
        None => None,
    };
    let properties = AdditionalProperties {
        format: Some(format),
        ingestion_mapping_reference: mapping,
        ..AdditionalProperties::default()
    };
    let source = named_source(&call);
    let (access, who) = (state.clone(), call.caller.clone());
    let need = Need::Ingest(database.clone(), table.clone());
    crate::store::blocking(&state.store, move |store| {
        store.read(|connection| access.config.access.check(connection, &who, &need))
    })
    .await?;
    let by_uri = call.query.get("sourceKind").is_some_and(|kind| kind.eq_ignore_ascii_case("uri"));
    let body = axum::body::to_bytes(call.body, MAX_STREAMED).await.map_err(|_| {
        ServiceError::TooLarge(format!(
            "the request body is over {MAX_STREAMED} bytes, the limit of streaming ingestion, or broke off"
        ))
    })?;
    *bytes = body.len() as u64;
    // Held until the load has ended, so that the file stays while it is read.
    let mut fetched = None;
    let (input, location) = if by_uri {
        let url = source_url(&body)?;
        let file = match fetch::fetch(state, &url).await? {
            Ok(file) => file,
            Err(Outcome::Failed { code, details, .. }) => return Err(data_fault(&code, details)),
            Err(_) => return Err(data_fault("Download_UnknownError", format!("{url} gave nothing"))),
        };
        let opened = std::fs::File::open(&file.path).map_err(ServiceError::file(&file.path))?;
        fetched = Some(file);
        (Input::File(opened), url.without_secrets())
    } else {
        (Input::Bytes(body), String::new())
    };
    let worker = state.clone();
    let streamed = Streamed { database, table, properties, source, input, location };
    let records = tokio::task::spawn_blocking(move || ingest(&worker, streamed)).await??;
    drop(fetched);
    Ok(records)
}

fn source_url(body: &[u8]) -> Result<SecretUrl, ServiceError> {
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
        data_fault("BadRequest_InvalidBlobUri", format!("the body is not {{\"sourceUri\": ...}}: {error}"))
    })?;
    let url = object.iter().find(|(name, _)| name.eq_ignore_ascii_case("sourceUri"));
    match url.and_then(|(_, url)| url.as_str()).filter(|url| !url.is_empty()) {
        Some(url) => Ok(SecretUrl::new(url)),
        None => Err(data_fault("BadRequest_EmptyBlobUri", "sourceUri is missing".to_owned())),
    }
}

/// `GET /v1/rest/ingestion/configuration`
pub(crate) fn configuration(state: &Arc<State>, call: &Call) -> Response {
    let ids = Ids::of(call);
    let allowed =
        state.store.read(|connection| state.config.access.check(connection, &call.caller, &Need::AnyRole));
    if let Err(error) = allowed {
        return ids.fail(&error);
    }
    let resources = match crate::command::ingestion_resources(state, &call.address) {
        Ok(resources) => resources,
        Err(error) => return ids.fail(&error),
    };
    // The service's own containers answer the data lake's operations too.
    let folder = |container: &SecretUrl| {
        let (base, signature) = container.with_secrets().split_once('?').unwrap_or_default();
        ContainerPath { path: SecretUrl::new(format!("{base}/lake?{signature}")) }
    };
    let lake_folders =
        if state.account.is_none() { resources.containers.iter().map(folder).collect() } else { Vec::new() };
    let configuration = IngestConfiguration {
        container_settings: ContainerSettings {
            containers: resources.containers.into_iter().map(|path| ContainerPath { path }).collect(),
            lake_folders,
            refresh_interval: "01:00:00".to_owned(),
            preferred_upload_method: "Storage".to_owned(),
        },
        ingestion_settings: IngestionSettings {
            max_blobs_per_batch: MAX_BLOBS as u32,
            max_data_size: MAX_DATA,
            preferred_ingestion_method: "Rest".to_owned(),
        },
    };
    answer(&ids, &configuration)
}

fn answer(ids: &Ids, body: &impl serde::Serialize) -> Response {
    ids.answer(&serde_json::to_value(body).unwrap_or_default())
}

/// `POST /v1/rest/ingestion/queued/{database}/{table}`, and
/// `GET .../{operation}?details=true`
pub(crate) async fn queued(
    state: &Arc<State>,
    call: Call,
    database: &str,
    table: &str,
    operation: Option<&str>,
) -> Response {
    let ids = Ids::of(&call);
    let (database, table) = (percent_decode(database), percent_decode(table));
    let result = match (&call.method, operation) {
        (&Method::POST, None) => {
            submit(state, call, database, table).await.map(|response| answer(&ids, &response))
        }
        (&Method::GET, Some(operation)) => {
            let details =
                call.query.get("details").is_some_and(|details| details.eq_ignore_ascii_case("true"));
            let caller = call.caller.clone();
            status(state, caller, (database, table), percent_decode(operation), details)
                .await
                .map(|status| answer(&ids, &status))
        }
        _ => return super::kusto::not_found(&call),
    };
    result.unwrap_or_else(|error| ids.fail(&error))
}

async fn status(
    state: &Arc<State>,
    caller: Caller,
    (database, table): (String, String),
    operation: String,
    with_details: bool,
) -> Result<kusto_wire::OperationStatus, ServiceError> {
    let checked = state.clone();
    let found = crate::store::blocking(&state.store, move |store| {
        let need = Need::Ingest(database.clone(), table.clone());
        store.read(|connection| checked.config.access.check(connection, &caller, &need))?;
        let found =
            store.read(|connection| operations::rest_status(connection, &operation, &database, &table))?;
        found.ok_or_else(|| ServiceError::UnknownOperation(operation))
    })
    .await?;
    Ok(kusto_wire::OperationStatus {
        details: if with_details { found.details } else { Vec::new() },
        ..found
    })
}

async fn submit(
    state: &Arc<State>,
    call: Call,
    database: String,
    table: String,
) -> Result<QueuedResponse, ServiceError> {
    let caller = call.caller.clone();
    let application = call.header("x-ms-app").map(str::to_owned);
    let version = call.header("x-ms-client-version").map(str::to_owned);
    let body = call.text(MAX_REQUEST).await.map_err(|_| {
        ServiceError::TooLarge(format!("the request is over {MAX_REQUEST} bytes or broke off"))
    })?;
    let request: QueuedRequest = serde_json::from_str(&body)
        .map_err(|error| ServiceError::BadRequest(format!("the request cannot be read: {error}")))?;
    if request.blobs.is_empty() {
        return Err(data_fault("BadRequest_EmptyBlobUri", "the request names no blobs".to_owned()));
    }
    if request.blobs.len() > MAX_BLOBS {
        return Err(ServiceError::BadRequest(format!(
            "the request names {} blobs; at most {MAX_BLOBS} are taken in one",
            request.blobs.len()
        )));
    }
    let additional = AdditionalProperties::read(&request.properties)
        .map_err(|error| data_fault("BadRequest_MalformedIngestionProperty", with_causes(&error)))?;
    if additional.format.is_none() {
        return Err(data_fault(
            "BadRequest_MalformedIngestionProperty",
            "properties.format is missing".to_owned(),
        ));
    }
    let flag = |name: &str| {
        request.properties.iter().any(|(key, value)| {
            key.eq_ignore_ascii_case(name)
                && (value == &Value::Bool(true)
                    || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
        })
    };
    let (tracked, flush, delete, ignore_size) =
        (flag("enableTracking"), flag("skipBatching"), flag("deleteAfterDownload"), flag("ignoreSizeLimit"));
    let name = |error: kusto_types::NameError| ServiceError::BadRequest(error.to_string());
    let database = DatabaseName::new(database).map_err(name)?;
    let table = TableName::new(table).map_err(name)?;
    let blobs = request.blobs.into_iter().map(|blob| QueuedBlob {
        id: blob.source_id.unwrap_or_else(SourceId::random),
        url: blob.url,
        raw_size: blob.raw_size,
        creation_time: None,
    });
    let submission = Submission {
        database,
        table,
        blobs: blobs.collect(),
        additional,
        retain_blobs: !delete,
        flush,
        ignore_size_limit: ignore_size,
        application,
        client_version: version,
    };
    let id = submit::submit(state, caller, submission).await?;
    Ok(QueuedResponse { ingestion_operation_id: if tracked { id } else { String::new() } })
}
