//! The few Azure Storage requests that queued ingestion makes, each with its own
//! retry, over the client's one HTTP stack.

use crate::{Error, ErrorKind, SecretUrl, Transport};
use bytes::Bytes;
use kusto_wire::StatusRow;
use kusto_wire::storage::{encode_block_list, encode_put_message};
use serde_json::{Map, Value};

/// The storage version that every request names.
const VERSION: &str = "2021-12-02";

/// A resource URL taken apart: what stands before the query, and the query.
fn parts(url: &SecretUrl) -> (&str, &str) {
    url.with_secrets().split_once('?').unwrap_or((url.with_secrets(), ""))
}

fn joined(base: &str, first: &str, rest: &str) -> String {
    let query: Vec<&str> = [first, rest].into_iter().filter(|part| !part.is_empty()).collect();
    if query.is_empty() { base.to_owned() } else { format!("{base}?{}", query.join("&")) }
}

/// The URL of a blob in a container, with the container's signature.
pub(crate) fn blob_url(container: &SecretUrl, name: &str) -> SecretUrl {
    let (base, sas) = parts(container);
    SecretUrl::new(joined(&format!("{}/{name}", base.trim_end_matches('/')), "", sas))
}

/// One request shape, sent by `transport` with retry.
async fn send(
    transport: &Transport,
    method: reqwest::Method,
    url: String,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Bytes, Error> {
    let answer = transport
        .send(|http| {
            let mut request =
                http.request(method.clone(), &url).header("x-ms-version", VERSION).body(body.clone());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request
        })
        .await?;
    Ok(answer.body)
}

/// Whether storage refused the signature, so that fresh resources may help.
pub(crate) fn is_expired(error: &Error) -> bool {
    error.kind() == ErrorKind::Unauthorized
}

/// Uploads a whole small blob.
pub(crate) async fn put_blob(transport: &Transport, blob: &SecretUrl, body: Bytes) -> Result<(), Error> {
    let (base, sas) = parts(blob);
    let headers = [("x-ms-blob-type", "BlockBlob"), ("content-type", "application/octet-stream")];
    send(transport, reqwest::Method::PUT, joined(base, "", sas), &headers, body).await.map(|_| ())
}

/// Uploads one block.
pub(crate) async fn put_block(
    transport: &Transport,
    blob: &SecretUrl,
    id: &str,
    body: Bytes,
) -> Result<(), Error> {
    let (base, sas) = parts(blob);
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    let url = joined(base, &format!("comp=block&blockid={id}"), sas);
    send(transport, reqwest::Method::PUT, url, &[("content-type", "application/octet-stream")], body)
        .await
        .map(|_| ())
}

/// Makes uploaded blocks the blob, in this order.
pub(crate) async fn put_block_list(
    transport: &Transport,
    blob: &SecretUrl,
    ids: &[String],
) -> Result<(), Error> {
    let (base, sas) = parts(blob);
    let body = Bytes::from(encode_block_list(ids));
    send(
        transport,
        reqwest::Method::PUT,
        joined(base, "comp=blocklist", sas),
        &[("content-type", "application/xml")],
        body,
    )
    .await
    .map(|_| ())
}

/// Posts a message.
pub(crate) async fn put_message(transport: &Transport, queue: &SecretUrl, text: &str) -> Result<(), Error> {
    let (base, sas) = parts(queue);
    let url = joined(&format!("{}/messages", base.trim_end_matches('/')), "", sas);
    let body = Bytes::from(encode_put_message(text));
    send(transport, reqwest::Method::POST, url, &[("content-type", "application/xml")], body)
        .await
        .map(|_| ())
}

const ENTITY: [(&str, &str); 3] = [
    ("accept", "application/json;odata=minimalmetadata"),
    ("dataserviceversion", "3.0"),
    ("content-type", "application/json"),
];

/// Inserts a status row; one that is there already (a repeated request) is fine.
pub(crate) async fn insert_status(
    transport: &Transport,
    table: &SecretUrl,
    row: &StatusRow,
) -> Result<(), Error> {
    let (base, sas) = parts(table);
    let body = Bytes::from(Value::Object(row.to_entity()).to_string());
    let headers = [ENTITY[0], ENTITY[1], ENTITY[2], ("prefer", "return-no-content")];
    match send(transport, reqwest::Method::POST, joined(base, "", sas), &headers, body).await {
        Err(error) if error.status() == Some(409) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Reads a status row; `None` when there is none.
pub(crate) async fn status(
    transport: &Transport,
    table: &SecretUrl,
    partition: &str,
    row: &str,
) -> Result<Option<StatusRow>, Error> {
    let (base, sas) = parts(table);
    let base = format!("{}(PartitionKey='{partition}',RowKey='{row}')", base.trim_end_matches('/'));
    match send(transport, reqwest::Method::GET, joined(&base, "", sas), &ENTITY[..2], Bytes::new()).await {
        Ok(body) => {
            let entity: Map<String, Value> = serde_json::from_slice(&body).map_err(|error| {
                Error::new(ErrorKind::Protocol, "the status row is not JSON").caused_by(error)
            })?;
            StatusRow::from_entity(&entity).map(Some).map_err(|error| {
                Error::new(ErrorKind::Protocol, "the status row cannot be read").caused_by(error)
            })
        }
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}
