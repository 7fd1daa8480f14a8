//! The HTTP face: one router for the Kusto endpoints and the storage endpoints.

mod address;
mod blob;
mod ingest;
mod kusto;
mod lake;
mod queue;
mod table;

pub(crate) use address::{Address, StorageService};

use crate::access::Caller;
use crate::state::{ACCOUNT, State};
use crate::store::reports::STATUS_TABLE;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use std::collections::HashMap;
use std::sync::Arc;

/// Undoes percent-encoding; bytes that are no UTF-8 are replaced.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How a connection reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// http
    Plain,
    /// https
    Secure,
}

/// A request, taken apart once.
pub(crate) struct Call {
    pub(crate) address: Address,
    /// Who sends it; anonymous on paths that ask nobody.
    pub(crate) caller: Caller,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The whole body as text, at most so many bytes.
    pub(crate) async fn text(self, limit: usize) -> Result<String, StatusCode> {
        let bytes =
            axum::body::to_bytes(self.body, limit).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The segments of a path as they are written. Go's queue client escapes the slash
/// between account and queue, Node's table client the one before the table: that one is
/// taken for the slash that it stands for.
fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let first =
        if first.to_ascii_lowercase().contains("%2f") { percent_decode(first) } else { first.to_owned() };
    first.split('/').chain(rest.iter().flat_map(|rest| rest.split('/'))).map(str::to_owned).collect()
}

/// The answer to every request.
pub(crate) async fn serve(state: Arc<State>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Absolute-form targets (`PUT https://host/path`) have the same path.
    let path = parts.uri.path().to_owned();
    let query =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(Peer::Plain);
    let address = Address::of(peer, &parts.uri, &parts.headers);
    let storage = address.storage_service();
    let caller = Caller::anonymous();
    let mut call = Call { address, caller, method: parts.method, path, query, headers: parts.headers, body };
    let segments = segments(&call.path);
    let mut names: Vec<&str> = segments.iter().map(String::as_str).collect();
    // An account's own host has no account in the path.
    if matches!(storage, Some(StorageService::Blob | StorageService::Queue)) {
        names.insert(0, ACCOUNT);
    }
    // Some clients only leave a URL alone when it has `ingest-` in it, so one leading
    // segment before the API path is taken as an instance name.
    let api = match names.as_slice() {
        [_, rest @ ..] if matches!(rest, ["v1" | "v2", "rest", ..]) => rest,
        all => all,
    };
    // Storage goes by signatures, and a client must be able to ask where to sign in.
    if matches!(api, ["v1" | "v2", "rest", ..]) && api != ["v1", "rest", "auth", "metadata"] {
        match state.config.access.identify(&call.headers, &state.issuers).await {
            Ok(caller) => call.caller = caller,
            Err(error) => return kusto::Ids::of(&call).refuse(&state, &error),
        }
    }
    match api {
        ["healthz" | "readyz"] => text(StatusCode::OK, "text/plain", "ready\n".to_owned()),
        ["v1", "rest", "auth", "metadata"] => kusto::auth_metadata(&state),
        ["v1", "rest", "mgmt"] if call.method == Method::POST => kusto::management(&state, call).await,
        [version @ ("v1" | "v2"), "rest", "query"] if matches!(call.method, Method::POST | Method::GET) => {
            let version = if *version == "v1" { kusto::ResultFormat::V1 } else { kusto::ResultFormat::V2 };
            kusto::query(&state, call, version).await
        }
        ["v1", "rest", "ingest", database, table] if call.method == Method::POST => {
            ingest::stream(&state, call, database, table).await
        }
        ["v1", "rest", "ingestion", "configuration"] if call.method == Method::GET => {
            ingest::configuration(&state, &call)
        }
        ["v1", "rest", "ingestion", "queued", database, table, rest @ ..] if rest.len() <= 1 => {
            ingest::queued(&state, call, database, table, rest.first().copied()).await
        }
        [first] | [_, first] if percent_decode(first).starts_with(STATUS_TABLE) => {
            let target = percent_decode(first);
            table::serve(&state, call, &target).await
        }
        [account, queue, "messages", rest @ ..] if *account == ACCOUNT && rest.len() <= 1 => {
            let id = rest.first().map(|id| percent_decode(id));
            queue::serve(&state, call, queue, id).await
        }
        [account, container] if *account == ACCOUNT => {
            let container = (*container).to_owned();
            blob::container(&state, call, &container).await
        }
        [account, container, rest @ ..] if *account == ACCOUNT => {
            let name = percent_decode(&rest.join("/"));
            blob::serve(&state, call, container, &name).await
        }
        [""] => text(
            StatusCode::OK,
            "text/plain",
            "kusto-local: use this URL as the cluster URL of a Kusto client; /readyz tells when it is ready\n".to_owned(),
        ),
        _ => kusto::not_found(&call),
    }
}

pub(crate) fn text(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// Sets a header whose value the service made itself.
pub(crate) fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = http::HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The headers that every storage answer has.
pub(crate) fn storage_headers(response: &mut Response) {
    set(response, "x-ms-request-id", &uuid::Uuid::new_v4().to_string());
    set(response, "x-ms-version", crate::sas::VERSION);
    set(response, "date", &http_date(kusto_types::DateTime::now().ticks()));
}

/// The error answer of the blob and queue services.
pub(crate) fn storage_error(status: u16, code: &'static str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = text(status, "application/xml", kusto_wire::storage::encode_error(code, message));
    set(&mut response, "x-ms-error-code", code);
    storage_headers(&mut response);
    response
}

/// The answer of storage while the disk has no room: its clients try again by themselves.
pub(crate) fn no_room() -> Response {
    let mut response = storage_error(
        503,
        "ServerBusy",
        "the disk of the service is nearly full; free some, or lower kin serve --min-free",
    );
    set(&mut response, "retry-after", &crate::room::AGAIN.as_secs().to_string());
    response
}

/// RFC 1123 text of an instant.
pub(crate) fn http_date(ticks: i64) -> String {
    let instant = kusto_types::DateTime::from_ticks(ticks).unwrap_or_else(kusto_types::DateTime::now);
    chrono::DateTime::from_timestamp(instant.unix_seconds(), 0)
        .map(|at| at.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}
