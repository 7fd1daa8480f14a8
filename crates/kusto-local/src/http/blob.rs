//! The blob endpoint: put a blob or its blocks, read, list, delete. Bodies stream to files.

use super::{Call, http_date, no_room, set, storage_error, storage_headers, text};
use crate::ServiceError;
use crate::state::{CONTAINERS, State};
use crate::store::blobs;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use http::{Method, StatusCode};
use kusto_wire::storage::{BlobPage, ListedBlob};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

fn refused() -> Response {
    storage_error(
        403,
        "AuthenticationFailed",
        "the shared access signature is missing, expired or not for this operation",
    )
}

fn internal(error: &ServiceError) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "a blob request failed");
    storage_error(500, "InternalError", "the service could not complete the request")
}

/// `restype=container` requests: the containers exist from the start.
pub(crate) async fn container(state: &Arc<State>, call: Call, container: &str) -> Response {
    let is_listing = call.query.get("comp").is_some_and(|part| part == "list");
    let permission = if is_listing { 'l' } else { 'r' };
    if !state.signer.allows(&format!("blob/{container}"), permission, &call.query) {
        return refused();
    }
    match (CONTAINERS.contains(&container), &call.method) {
        (false, _) => storage_error(404, "ContainerNotFound", "there is no such container"),
        (true, &Method::PUT) => storage_error(409, "ContainerAlreadyExists", "the container exists already"),
        (true, &Method::GET) if is_listing => {
            let answer = list(state, call, container.to_owned()).await;
            answer.unwrap_or_else(|error| internal(&error))
        }
        (true, _) => {
            let mut response = text(StatusCode::OK, "application/xml", String::new());
            storage_headers(&mut response);
            response
        }
    }
}

/// List Blobs: a page of names, with what they have in common up to a delimiter as one.
async fn list(state: &Arc<State>, call: Call, container: String) -> Result<Response, ServiceError> {
    /// Most names of a page, as Azure has it.
    const MOST: usize = 5000;
    let asked = |name: &str| call.query.get(name).cloned().unwrap_or_default();
    let (prefix, delimiter) = (asked("prefix"), asked("delimiter"));
    let asked_most: Option<usize> = asked("maxresults").parse().ok();
    let most = asked_most.unwrap_or(MOST).clamp(1, MOST);
    let asked_marker = asked("marker");
    let marker = URL_SAFE_NO_PAD.decode(&asked_marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(mut after) = marker else {
        return Ok(storage_error(
            400,
            "OutOfRangeQueryParameterValue",
            "the marker is not one of this service",
        ));
    };
    let name = container.clone();
    let page = crate::store::blocking(&state.store, move |store| {
        store.read(|connection| {
            let mut page = BlobPage {
                prefix: prefix.clone(),
                delimiter: delimiter.clone(),
                marker: asked_marker,
                max_results: asked_most.and_then(|most| u32::try_from(most).ok()),
                ..BlobPage::default()
            };
            while page.blobs.len() + page.prefixes.len() < most {
                let left = most - page.blobs.len() - page.prefixes.len();
                let found = blobs::list(connection, &container, &prefix, &after, left)?;
                let is_last = found.len() < left;
                let mut jumped = false;
                for (name, blob) in found {
                    let common = match delimiter.as_str() {
                        "" => None,
                        delimiter => name[prefix.len()..]
                            .find(delimiter)
                            .map(|at| name[..prefix.len() + at + delimiter.len()].to_owned()),
                    };
                    match common {
                        Some(common) => {
                            // Every other name that begins so is in it.
                            after = format!("{common}{}", char::MAX);
                            page.prefixes.push(common);
                            jumped = true;
                            break;
                        }
                        None => {
                            after.clone_from(&name);
                            page.blobs.push(ListedBlob {
                                name,
                                size: blob.size,
                                modified: http_date(blob.modified),
                                etag: blob.etag,
                            });
                        }
                    }
                }
                if is_last && !jumped {
                    return Ok(page);
                }
            }
            page.next_marker = URL_SAFE_NO_PAD.encode(&after);
            Ok::<_, ServiceError>(page)
        })
    })
    .await?;
    let body = kusto_wire::storage::encode_blob_page(&name, &page);
    let mut response = text(StatusCode::OK, "application/xml", body);
    storage_headers(&mut response);
    Ok(response)
}

pub(crate) async fn serve(state: &Arc<State>, call: Call, container: &str, name: &str) -> Response {
    let part = call.query.get("comp").map(String::as_str).unwrap_or_default();
    let permission = match call.method {
        Method::PUT | Method::PATCH => 'w',
        Method::DELETE => 'd',
        _ => 'r',
    };
    let resource = format!("blob/{container}");
    let allowed = state.signer.allows(&resource, permission, &call.query)
        || (permission == 'w' && state.signer.allows(&resource, 'c', &call.query));
    if !allowed {
        return refused();
    }
    if !CONTAINERS.contains(&container) {
        return storage_error(404, "ContainerNotFound", "there is no such container");
    }
    if permission == 'w' && state.room.is_low() {
        return no_room();
    }
    let (container, name, part) = (container.to_owned(), name.to_owned(), part.to_owned());
    if let Some(operation) = super::lake::operation(&call) {
        let answer = super::lake::serve(state, call, container, name, operation).await;
        let mut response = answer.unwrap_or_else(|error| internal(&error));
        storage_headers(&mut response);
        return response;
    }
    let answer = match (&call.method, part.as_str()) {
        (&Method::PUT, "block") => put_block(state, call, container, name).await,
        (&Method::PUT, "blocklist") => put_block_list(state, call, container, name).await,
        (&Method::PUT, "") => put_blob(state, call, container, name).await,
        (&Method::GET | &Method::HEAD, "") => get(state, call, container, name).await,
        (&Method::DELETE, "") => delete(state, container, name).await,
        _ => return storage_error(400, "UnsupportedQueryParameter", "the operation is not supported here"),
    };
    match answer {
        Ok(mut response) => {
            storage_headers(&mut response);
            response
        }
        Err(error) => internal(&error),
    }
}

/// Streams a body into a new synced file under `blobs`: its name and size, or an
/// answer when the body breaks off.
pub(super) async fn receive(
    state: &State,
    call: Call,
) -> Result<Result<(String, u64), Response>, ServiceError> {
    let declared: Option<u64> = call.header("content-length").and_then(|length| length.parse().ok());
    let file = blobs::new_file();
    let path = state.store.root.join("blobs").join(&file);
    let mut writer = tokio::fs::File::create(&path).await.map_err(ServiceError::file(&path))?;
    let mut size = 0u64;
    let mut stream = call.body.into_data_stream();
    let mut broken = false;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => {
                size += chunk.len() as u64;
                writer.write_all(&chunk).await.map_err(ServiceError::file(&path))?;
            }
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    writer.flush().await.map_err(ServiceError::file(&path))?;
    if broken || declared.is_some_and(|declared| declared != size) {
        // The janitor takes the file if this fails.
        let _removed = tokio::fs::remove_file(&path).await;
        return Ok(Err(storage_error(400, "RequestBodyBroken", "the body ended before its declared length")));
    }
    writer.sync_all().await.map_err(ServiceError::file(&path))?;
    Ok(Ok((file, size)))
}

fn created(etag: &str, modified: i64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    set(&mut response, "etag", etag);
    set(&mut response, "last-modified", &http_date(modified));
    set(&mut response, "x-ms-request-server-encrypted", "true");
    response
}

fn only_if_absent(call: &Call) -> bool {
    call.header("if-none-match") == Some("*")
}

async fn put_blob(
    state: &Arc<State>,
    call: Call,
    container: String,
    name: String,
) -> Result<Response, ServiceError> {
    if call.header("x-ms-blob-type").is_some_and(|kind| !kind.eq_ignore_ascii_case("BlockBlob")) {
        return Ok(storage_error(400, "InvalidHeaderValue", "only block blobs are supported here"));
    }
    let absent = only_if_absent(&call);
    let (file, size) = match receive(state, call).await? {
        Ok(received) => received,
        Err(answer) => return Ok(answer),
    };
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| {
            if absent && blobs::find(transaction, &container, &name)?.is_some() {
                return Ok(storage_error(409, "BlobAlreadyExists", "the blob exists already"));
            }
            let blob = blobs::commit(transaction, &container, &name, &[file], size)?;
            Ok(created(&blob.etag, blob.modified))
        })
    })
    .await
}

async fn put_block(
    state: &Arc<State>,
    call: Call,
    container: String,
    name: String,
) -> Result<Response, ServiceError> {
    let Some(block) = call.query.get("blockid").cloned() else {
        return Ok(storage_error(400, "MissingRequiredQueryParameter", "blockid is missing"));
    };
    let (file, size) = match receive(state, call).await? {
        Ok(received) => received,
        Err(answer) => return Ok(answer),
    };
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| {
            Ok(blobs::stage_block(transaction, &container, &name, &block, &file, size)?)
        })
    })
    .await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    set(&mut response, "x-ms-request-server-encrypted", "true");
    Ok(response)
}

async fn put_block_list(
    state: &Arc<State>,
    call: Call,
    container: String,
    name: String,
) -> Result<Response, ServiceError> {
    let absent = only_if_absent(&call);
    let Ok(xml) = call.text(16 * 1024 * 1024).await else {
        return Ok(storage_error(413, "RequestBodyTooLarge", "the block list is too large"));
    };
    let Ok(blocks) = kusto_wire::storage::decode_block_list(&xml) else {
        return Ok(storage_error(400, "InvalidXmlDocument", "the block list is not readable XML"));
    };
    crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| {
            if absent && blobs::find(transaction, &container, &name)?.is_some() {
                return Ok(storage_error(409, "BlobAlreadyExists", "the blob exists already"));
            }
            Ok(match blobs::commit_blocks(transaction, &container, &name, &blocks)? {
                Some(blob) => created(&blob.etag, blob.modified),
                None => storage_error(400, "InvalidBlockList", "the list names a block that was not put"),
            })
        })
    })
    .await
}

/// `bytes=a-b` as first and last byte.
fn range(call: &Call, size: u64) -> Option<(u64, u64)> {
    let text = call.header("x-ms-range").or_else(|| call.header("range"))?;
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() { size.saturating_sub(1) } else { last.parse().ok()? };
    Some((first, last.min(size.saturating_sub(1))))
}

async fn get(
    state: &Arc<State>,
    call: Call,
    container: String,
    name: String,
) -> Result<Response, ServiceError> {
    let found = crate::store::blocking(&state.store, move |store| {
        Ok(store.read(|connection| blobs::find(connection, &container, &name))?)
    })
    .await?;
    let Some(blob) = found else { return Ok(storage_error(404, "BlobNotFound", "there is no such blob")) };
    let wanted = range(&call, blob.size);
    if wanted.is_some_and(|(first, _)| first >= blob.size && blob.size > 0) {
        return Ok(storage_error(416, "InvalidRange", "the range begins after the end of the blob"));
    }
    let (first, last) = wanted.unwrap_or((0, blob.size.saturating_sub(1)));
    let length = if blob.size == 0 { 0 } else { last + 1 - first };
    let body = if call.method == Method::HEAD || length == 0 {
        Body::empty()
    } else {
        Body::from_stream(read_parts(state.clone(), blob.files.clone(), first, length))
    };
    let mut response = Response::new(body);
    *response.status_mut() = if wanted.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    set(&mut response, "content-length", &length.to_string());
    set(&mut response, "content-type", "application/octet-stream");
    set(&mut response, "etag", &blob.etag);
    set(&mut response, "last-modified", &http_date(blob.modified));
    set(&mut response, "accept-ranges", "bytes");
    set(&mut response, "x-ms-blob-type", "BlockBlob");
    if wanted.is_some() {
        set(&mut response, "content-range", &format!("bytes {first}-{last}/{}", blob.size));
    }
    Ok(response)
}

/// So many bytes of the parts, from an offset on.
fn read_parts(
    state: Arc<State>,
    files: Vec<String>,
    first: u64,
    length: u64,
) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> {
    struct Reading {
        state: Arc<State>,
        files: std::vec::IntoIter<String>,
        open: Option<tokio::fs::File>,
        skip: u64,
        left: u64,
    }
    let reading = Reading { state, files: files.into_iter(), open: None, skip: first, left: length };
    futures_util::stream::try_unfold(reading, |mut reading| async move {
        loop {
            if reading.left == 0 {
                return Ok(None);
            }
            let Some(file) = &mut reading.open else {
                let Some(name) = reading.files.next() else { return Ok(None) };
                let mut file =
                    tokio::fs::File::open(reading.state.store.root.join("blobs").join(name)).await?;
                let size = file.metadata().await?.len();
                if reading.skip >= size {
                    reading.skip -= size;
                    continue;
                }
                file.seek(std::io::SeekFrom::Start(reading.skip)).await?;
                reading.skip = 0;
                reading.open = Some(file);
                continue;
            };
            let mut buffer = vec![0; 64 * 1024];
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                reading.open = None;
                continue;
            }
            let read = read.min(usize::try_from(reading.left).unwrap_or(usize::MAX));
            buffer.truncate(read);
            reading.left -= read as u64;
            return Ok(Some((bytes::Bytes::from(buffer), reading)));
        }
    })
}

async fn delete(state: &Arc<State>, container: String, name: String) -> Result<Response, ServiceError> {
    let gone = crate::store::blocking(&state.store, move |store| {
        store.transact(|transaction| Ok(blobs::delete(transaction, &container, &name)?))
    })
    .await?;
    if !gone {
        return Ok(storage_error(404, "BlobNotFound", "there is no such blob"));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
