//! The table endpoint, as far as ingestion status needs it: insert, read and merge one
//! entity.

use super::{Call, set, storage_headers, text};
use crate::ServiceError;
use crate::state::State;
use crate::store::entities;
use crate::store::reports::STATUS_TABLE;
use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn error(status: u16, code: &'static str, message: &str) -> Response {
    let body = json!({"odata.error": {"code": code, "message": {"lang": "en-US", "value": message}}});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = text(status, "application/json;odata=minimalmetadata", body.to_string());
    set(&mut response, "x-ms-error-code", code);
    response
}

/// Partition and row key of `table(PartitionKey='p',RowKey='r')`.
fn keys(target: &str) -> Option<(String, String)> {
    let inner = target.split_once('(')?.1.strip_suffix(')')?;
    let rest = inner.strip_prefix("PartitionKey='")?;
    let (partition, rest) = rest.split_once("',")?;
    let row = rest.trim().strip_prefix("RowKey='")?.strip_suffix('\'')?;
    Some((partition.replace("''", "'"), row.replace("''", "'")))
}

pub(crate) async fn serve(state: &Arc<State>, call: Call, target: &str) -> Response {
    let permission = match call.method {
        Method::GET => 'r',
        Method::POST => 'a',
        _ => 'u',
    };
    let mut response = if state.signer.allows(&format!("table/{STATUS_TABLE}"), permission, &call.query) {
        match operate(state, call, target).await {
            Ok(response) => response,
            Err(failure) => {
                tracing::error!(error = &failure as &dyn std::error::Error, "a table request failed");
                error(500, "InternalError", "the service could not complete the request")
            }
        }
    } else {
        error(
            403,
            "AuthenticationFailed",
            "the shared access signature is missing, expired or not for this operation",
        )
    };
    storage_headers(&mut response);
    response
}

async fn body(call: Call) -> Result<Map<String, Value>, Response> {
    let text = call
        .text(1024 * 1024)
        .await
        .map_err(|_| error(413, "RequestBodyTooLarge", "an entity has at most 1 MiB"))?;
    serde_json::from_str(&text).map_err(|_| error(400, "InvalidInput", "the body is not a JSON object"))
}

fn no_content(etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set(&mut response, "etag", etag);
    response
}

async fn operate(state: &Arc<State>, call: Call, target: &str) -> Result<Response, ServiceError> {
    match (call.method.as_str(), keys(target)) {
        ("POST", None) => {
            let entity = match body(call).await {
                Ok(entity) => entity,
                Err(answer) => return Ok(answer),
            };
            let text = |name: &str| entity.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(partition), Some(row)) = (text("PartitionKey"), text("RowKey")) else {
                return Ok(error(
                    400,
                    "PropertiesNeedValue",
                    "PartitionKey and RowKey must be given as text",
                ));
            };
            crate::store::blocking(&state.store, move |store| {
                let etag = store.transact(|transaction| {
                    entities::insert(transaction, STATUS_TABLE, &partition, &row, &entity)
                })?;
                Ok(match etag {
                    Some(etag) => no_content(&etag),
                    None => error(409, "EntityAlreadyExists", "the entity exists already"),
                })
            })
            .await
        }
        ("GET", Some((partition, row))) => {
            crate::store::blocking(&state.store, move |store| {
                let found =
                    store.read(|connection| entities::find(connection, STATUS_TABLE, &partition, &row))?;
                let Some(entity) = found else {
                    return Ok(error(404, "ResourceNotFound", "there is no such entity"));
                };
                let mut shown = Map::new();
                shown.insert(
                    "odata.metadata".to_owned(),
                    format!("http://localhost/$metadata#{STATUS_TABLE}/@Element").into(),
                );
                shown.insert("odata.etag".to_owned(), entity.etag.clone().into());
                shown.extend(entity.properties);
                shown.insert("Timestamp".to_owned(), kusto_types::DateTime::now().to_string().into());
                let mut response = super::text(
                    StatusCode::OK,
                    "application/json;odata=minimalmetadata",
                    Value::Object(shown).to_string(),
                );
                set(&mut response, "etag", &entity.etag);
                Ok(response)
            })
            .await
        }
        ("MERGE" | "PATCH" | "PUT", Some((partition, row))) => {
            let entity = match body(call).await {
                Ok(entity) => entity,
                Err(answer) => return Ok(answer),
            };
            crate::store::blocking(&state.store, move |store| {
                let etag = store.transact(|transaction| {
                    entities::merge(transaction, STATUS_TABLE, &partition, &row, &entity)
                })?;
                Ok(no_content(&etag))
            })
            .await
        }
        _ => Ok(error(400, "NotImplemented", "the operation is not supported here")),
    }
}
