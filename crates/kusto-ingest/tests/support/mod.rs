//! A real local service behind a proxy that records every request and injects faults at
//! the HTTP layer: answers of its own, resets before and within a body, lost answers,
//! slow ones.
#![allow(dead_code, reason = "each test target uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use kusto_ingest::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A lost source is a failed test, not one that never ends.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A request that arrived, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    /// 0 when no answer was sent.
    pub(crate) status: u16,
}

impl Seen {
    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && format!("{}?{}", self.path, self.query).contains(part)
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    None,
    /// Answered without asking the service.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection breaks after so many bytes of the body.
    ResetWithin(usize),
    /// The service is asked and its answer is thrown away with the connection.
    LoseAnswer,
    /// The service is asked, and its answer comes late.
    Late(Duration),
}

impl Fault {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    /// An error body as the service writes it.
    pub(crate) fn kusto(status: u16, code: &str, message: &str, permanent: bool) -> Self {
        let body = serde_json::json!({ "error": {
            "code": code, "message": message, "@message": message, "@type": "x", "@permanent": permanent,
        }});
        Self::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }
}

type Rule = dyn Fn(&Seen) -> Fault + Send + Sync;

struct Proxy {
    upstream: String,
    http: reqwest::Client,
    seen: Mutex<Vec<Seen>>,
    rule: Mutex<Arc<Rule>>,
    /// Connections that are open.
    open: AtomicUsize,
}

#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken on purpose")
    }
}
impl std::error::Error for Broken {}

async fn answer(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Broken> {
    let (parts, mut body) = request.into_parts();
    let mut seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body: Bytes::new(),
        status: 0,
    };
    let rule = proxy.rule.lock().unwrap().clone();
    let fault = rule(&seen);
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Broken) };
        if let Some(data) = frame.data_ref() {
            received.extend_from_slice(data);
        }
        if matches!(fault, Fault::ResetWithin(limit) if received.len() >= limit) {
            break;
        }
    }
    seen.body = received.into();
    let note = |status: u16| {
        proxy.seen.lock().unwrap().push(Seen { status, ..seen.clone() });
    };
    if let Fault::ResetWithin(_) = fault {
        note(0);
        return Err(Broken);
    }
    if let Fault::Answer(status, headers, text) = &fault {
        note(*status);
        let mut response = Response::builder().status(*status);
        for (name, value) in headers {
            response = response.header(*name, value);
        }
        return Ok(response.body(Full::from(text.clone())).unwrap());
    }
    // The host stays, so that the service hands out URLs that lead here.
    let forwarded = proxy
        .http
        .request(parts.method.clone(), format!("{}{}", proxy.upstream, parts.uri))
        .headers(parts.headers)
        .body(seen.body.clone())
        .send()
        .await
        .map_err(|_| Broken)?;
    let (status, headers) = (forwarded.status(), forwarded.headers().clone());
    let bytes = forwarded.bytes().await.map_err(|_| Broken)?;
    match fault {
        Fault::LoseAnswer => {
            note(0);
            return Err(Broken);
        }
        // Noted first, since a client that gives up ends this function too.
        Fault::Late(pause) => {
            note(status.as_u16());
            tokio::time::sleep(pause).await;
        }
        _ => note(status.as_u16()),
    }
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    for (name, value) in &headers {
        if name != "transfer-encoding" && name != "content-length" {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

/// A service, the proxy in front of it, and a client of both.
pub(crate) struct Site {
    pub(crate) cluster: KustoClient,
    pub(crate) url: String,
    proxy: Arc<Proxy>,
    service: kusto_local::RunningService,
    _folder: tempfile::TempDir,
}

/// Two attempts, and no waiting for them.
pub(crate) fn quick_retry() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..RetryPolicy::default()
    }
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(quick_retry()).await
    }

    pub(crate) async fn with(retry: RetryPolicy) -> Self {
        Self::over(Transport::new(retry).unwrap()).await
    }

    /// The service's storage is its own, or the account of `KIN_TEST_STORAGE`.
    pub(crate) async fn over(transport: Transport) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = kusto_local::ServiceConfig::new(folder.path());
        if let Ok(account) = std::env::var("KIN_TEST_STORAGE") {
            // An account for each service, since services share the queues of one.
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, Ordering::SeqCst);
            let account = account.replace("{account}", &format!("kin{number}"));
            config.storage = Some(kusto_local::StorageAccount::parse(&account).unwrap());
        }
        let service = kusto_local::start(config, listener).await.unwrap();
        let proxy = Arc::new(Proxy {
            upstream: service.url(),
            http: reqwest::Client::new(),
            seen: Mutex::default(),
            rule: Mutex::new(Arc::new(|_| Fault::None)),
            open: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = proxy.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let proxy = serving.clone();
                proxy.open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let answering = proxy.clone();
                    let service = service_fn(move |request| answer(answering.clone(), request));
                    // A broken connection is what some rules want.
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                        .await;
                    proxy.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        let cluster =
            KustoClient::with_transport(Endpoint::parse(&url).unwrap(), Credential::none(), transport);
        // A storage account is shared by the tests of a run; a database is not.
        let site = Self { cluster, url, proxy, service, _folder: folder };
        site.command("NetDefaultDB", ".create database db1 ifnotexists").await;
        for database in ["NetDefaultDB", "db1"] {
            site.command(database, ".create table t1 (id:long, name:string, v:real)").await;
        }
        site.clear();
        site
    }

    pub(crate) async fn command(&self, database: &str, text: &str) {
        self.cluster.management(database, text).await.unwrap();
    }

    /// What is done with requests from now on.
    pub(crate) fn inject(&self, rule: impl Fn(&Seen) -> Fault + Send + Sync + 'static) {
        *self.proxy.rule.lock().unwrap() = Arc::new(rule);
    }

    pub(crate) fn clear(&self) {
        self.proxy.seen.lock().unwrap().clear();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.proxy.seen.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self, method: &str, part: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.is(method, part)).collect()
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.proxy.open.load(Ordering::SeqCst)
    }

    pub(crate) async fn count(&self, database: &str, table: &str) -> u64 {
        let result = self.cluster.query(database, &format!("['{table}'] | count")).await.unwrap();
        result.tables[0].rows[0][0].as_u64().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.service.stop().await;
    }
}

pub(crate) fn into_t1() -> IngestionProperties {
    IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv).tracked()
}

/// So many rows of `t1` as CSV.
pub(crate) fn rows(count: usize) -> String {
    (0..count).map(|i| format!("{i},name {i},{:?}\n", i as f64 / 2.0)).collect()
}

/// Rows of `t1` that do not compress: about 45 bytes each.
pub(crate) fn noise(count: usize) -> String {
    let mut seed = 7u64;
    (0..count)
        .map(|i| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{i},{seed:016x}{:016x},1\n", seed.rotate_left(17))
        })
        .collect()
}

pub(crate) fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}
