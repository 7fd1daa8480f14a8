//! The few Azure Storage requests that queued ingestion makes, each with its own
//! retry, over the client's one HTTP stack.

use crate::{Error, ErrorKind, SecretUrl, Transport};
use bytes::Bytes;
use kusto_wire::StatusRow;
use kusto_wire::storage::{encode_block_list, encode_put_message};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::time::Duration;

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

/// A message that a queue gave out.
#[derive(Debug, Clone)]
pub(crate) struct Dequeued {
    pub(crate) id: String,
    pub(crate) receipt: String,
    pub(crate) text: String,
}

fn dequeued(body: &[u8]) -> Result<Vec<Dequeued>, Error> {
    let text = String::from_utf8_lossy(body);
    let messages = kusto_wire::storage::decode_messages(&text).map_err(|error| {
        Error::new(ErrorKind::Protocol, "the queue's answer cannot be read").caused_by(error)
    })?;
    Ok(messages
        .into_iter()
        .map(|message| Dequeued { id: message.id, receipt: message.pop_receipt, text: message.text })
        .collect())
}

/// Looks at messages without taking them.
pub(crate) async fn peek_messages(
    transport: &Transport,
    queue: &SecretUrl,
    count: u32,
) -> Result<Vec<Dequeued>, Error> {
    let (base, sas) = parts(queue);
    let url = joined(
        &format!("{}/messages", base.trim_end_matches('/')),
        &format!("peekonly=true&numofmessages={count}"),
        sas,
    );
    dequeued(&send(transport, reqwest::Method::GET, url, &[], Bytes::new()).await?)
}

/// Takes messages for a while: they come back unless they are deleted.
pub(crate) async fn get_messages(
    transport: &Transport,
    queue: &SecretUrl,
    count: u32,
    hidden: Duration,
) -> Result<Vec<Dequeued>, Error> {
    let (base, sas) = parts(queue);
    let url = joined(
        &format!("{}/messages", base.trim_end_matches('/')),
        &format!("numofmessages={count}&visibilitytimeout={}", hidden.as_secs().max(1)),
        sas,
    );
    dequeued(&send(transport, reqwest::Method::GET, url, &[], Bytes::new()).await?)
}

/// Deletes a taken message; one that is gone already is fine.
pub(crate) async fn delete_message(
    transport: &Transport,
    queue: &SecretUrl,
    message: &Dequeued,
) -> Result<(), Error> {
    let (base, sas) = parts(queue);
    let receipt: String = url::form_urlencoded::byte_serialize(message.receipt.as_bytes()).collect();
    let url = joined(
        &format!("{}/messages/{}", base.trim_end_matches('/'), message.id),
        &format!("popreceipt={receipt}"),
        sas,
    );
    match send(transport, reqwest::Method::DELETE, url, &[], Bytes::new()).await {
        Err(error) if error.status() == Some(404) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// One request to a data lake, with a token where there is one.
async fn lake(
    transport: &Transport,
    method: reqwest::Method,
    url: &SecretUrl,
    query: &str,
    token: Option<&SecretString>,
    body: Bytes,
) -> Result<(), Error> {
    let (base, sas) = parts(url);
    let bearer = token.map(|token| format!("Bearer {}", token.expose_secret()));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    send(transport, method, joined(base, query, sas), &headers, body).await.map(|_| ())
}

/// Makes an empty file, in place of one that a failed attempt left.
pub(crate) async fn create_file(
    transport: &Transport,
    file: &SecretUrl,
    token: Option<&SecretString>,
) -> Result<(), Error> {
    lake(transport, reqwest::Method::PUT, file, "resource=file", token, Bytes::new()).await
}

/// Adds bytes at a position; the same bytes at the same position twice are once.
pub(crate) async fn append(
    transport: &Transport,
    file: &SecretUrl,
    token: Option<&SecretString>,
    position: u64,
    body: Bytes,
) -> Result<(), Error> {
    let query = format!("action=append&position={position}");
    lake(transport, reqwest::Method::PATCH, file, &query, token, body).await
}

/// Makes the added bytes the file.
pub(crate) async fn flush(
    transport: &Transport,
    file: &SecretUrl,
    token: Option<&SecretString>,
    length: u64,
) -> Result<(), Error> {
    let query = format!("action=flush&position={length}&close=true");
    lake(transport, reqwest::Method::PATCH, file, &query, token, Bytes::new()).await
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
