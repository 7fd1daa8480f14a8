//! What the client really sends, seen by a recording proxy in front of the real local
//! service; and what it does when storage fails on the way.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use kusto_ingest::*;
use kusto_wire::IngestionMessage;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A lost source is a failed test, not one that never ends.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug, Clone)]
struct Seen {
    method: String,
    path: String,
    query: String,
    body: Vec<u8>,
    status: u16,
}

#[derive(Clone)]
struct Proxy {
    upstream: String,
    http: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Answers 503 where this says so.
    broken: Arc<dyn Fn(&str, &str) -> bool + Send + Sync>,
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let (status, answer) = if (proxy.broken)(&path, &query) {
        (503, Vec::new())
    } else {
        let url = format!("{}{}", proxy.upstream, parts.uri);
        // The host stays, so that the service hands out URLs that lead here.
        let response = proxy
            .http
            .request(parts.method.clone(), url)
            .headers(parts.headers.clone())
            .body(body.clone())
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    };
    proxy.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path,
        query,
        body: body.to_vec(),
        status,
    });
    Response::builder().status(status).body(Body::from(answer)).unwrap()
}

struct Fixture {
    client: QueuedIngestClient,
    cluster: KustoClient,
    seen: Arc<Mutex<Vec<Seen>>>,
    _folder: tempfile::TempDir,
    service: kusto_local::RunningService,
}

async fn fixture(broken: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = kusto_local::start(kusto_local::ServiceConfig::new(folder.path()), listener).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let proxy = Proxy {
        upstream: service.url(),
        http: reqwest::Client::new(),
        seen: seen.clone(),
        broken: Arc::new(broken),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(forward).with_state(proxy)).await.unwrap()
    });
    let retry = RetryPolicy {
        attempts: 2,
        first_pause: std::time::Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    let cluster = KustoClient::with_transport(
        Endpoint::parse(&url).unwrap(),
        Credential::none(),
        Transport::new(retry).unwrap(),
    );
    cluster.management("NetDefaultDB", ".create table t1 (id:long, name:string, v:real)").await.unwrap();
    cluster.management("NetDefaultDB", ".create database db1 ifnotexists").await.unwrap();
    cluster.management("db1", ".create table t1 (id:long, name:string, v:real)").await.unwrap();
    seen.lock().unwrap().clear();
    Fixture { client: QueuedIngestClient::new(&cluster), cluster, seen, _folder: folder, service }
}

impl Fixture {
    fn take(&self, method: &str, part: &str) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|seen| seen.method == method && seen.path.contains(part))
            .cloned()
            .collect()
    }

    fn message(&self) -> Value {
        let posts = self.take("POST", "/messages");
        let xml = String::from_utf8(posts.last().unwrap().body.clone()).unwrap();
        IngestionMessage::decode(&kusto_wire::storage::decode_put_message(&xml).unwrap()).unwrap().to_json()
    }

    async fn count(&self, database: &str) -> u64 {
        self.cluster.query(database, "t1 | count").await.unwrap().tables[0].rows[0][0].as_u64().unwrap()
    }
}

/// The message and the upload of a golden sample.
fn golden(name: &str) -> (Value, Vec<u8>, Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kusto-wire/testdata/python").join(name);
    let requests: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let message = requests.iter().find_map(|request| request.get("message")).unwrap().clone();
    let commands = requests
        .iter()
        .filter(|request| request["kind"] == "mgmt")
        .map(|request| {
            serde_json::from_str::<Value>(request["body"].as_str().unwrap()).unwrap()["csl"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let upload = requests.iter().find(|request| request["kind"] == "blob").unwrap();
    (message, upload["body"].as_str().unwrap().as_bytes().to_vec(), commands)
}

/// Members that differ from one run to the next, or name the client.
const OWN: [&str; 5] =
    ["Id", "BlobPath", "SourceMessageCreationTime", "ApplicationForTracing", "ClientVersionForTracing"];

fn same_meaning(ours: &Value, golden: &Value, scenario: &str) {
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(ours), keys(golden), "{scenario}");
    for (key, value) in golden.as_object().unwrap() {
        if key == "AdditionalProperties" {
            assert_eq!(keys(&ours[key]), keys(value), "{scenario}");
            for (key, value) in
                value.as_object().unwrap().iter().filter(|(key, _)| *key != "authorizationContext")
            {
                let parse =
                    |value: &Value| value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
                let ours = &ours["AdditionalProperties"][key];
                assert!(
                    ours == value || parse(ours).is_some_and(|parsed| Some(parsed) == parse(value)),
                    "{scenario}: {key}: {ours} for {value}"
                );
            }
        } else if !OWN.contains(&key.as_str()) {
            assert_eq!(&ours[key], value, "{scenario}: {key}");
        }
    }
}

fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test]
async fn requests_mean_the_same_as_the_golden_ones() {
    let rows: String = (0..100).map(|i| format!("{i},name {i},{:?}\n", f64::from(i) / 2.0)).collect();
    let mapping = r#"[{"column":"id","datatype":"long","properties":{"Path":"$.id"}},{"column":"name","datatype":"string","properties":{"Path":"$.name"}}]"#;
    let base = || {
        IngestionProperties::new("db1", "t1").unwrap().with_reporting(ReportLevel::None, ReportMethod::Queue)
    };
    let tagged = base()
        .with_reporting(ReportLevel::FailuresAndSuccesses, ReportMethod::Queue)
        .with_tags(["a", "drop-by:d", "ingest-by:i"].map(str::to_owned))
        .with_ingest_if_not_exists(["i".to_owned()])
        .with_creation_time("2024-01-01T00:00:00Z");
    let mapped = base().with_format(DataFormat::MultiJson).with_mapping(Mapping::Inline(mapping.to_owned()));
    for (scenario, file, properties) in [
        ("01_queued_file_csv.json", "rows.csv", base()),
        ("04_queued_file_json_inline_map.json", "rows.json", mapped),
        ("06_queued_file_tags_report.json", "rows.csv", tagged),
    ] {
        let fixture = fixture(|_, _| false).await;
        let (golden, head, commands) = golden(scenario);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        let mut content = if file.ends_with(".csv") { rows.clone().into_bytes() } else { head.clone() };
        content.truncate(golden["RawDataSize"].as_u64().unwrap() as usize);
        content.resize(golden["RawDataSize"].as_u64().unwrap() as usize, b'\n');
        std::fs::write(&path, &content).unwrap();
        fixture.client.ingest_file(&path, &properties).await.unwrap();
        same_meaning(&fixture.message(), &golden, scenario);
        let uploads = fixture.take("PUT", "/kinstore/");
        assert_eq!(uploads.len(), 1, "{scenario}");
        assert!(
            uploads[0].path.ends_with(&format!("{file}.gz")) && uploads[0].path.contains("db1__t1__"),
            "{}",
            uploads[0].path
        );
        assert_eq!(gunzipped(&uploads[0].body), content, "{scenario}");
        let asked: Vec<String> = fixture
            .take("POST", "/v1/rest/mgmt")
            .iter()
            .map(|seen| {
                serde_json::from_slice::<Value>(&seen.body).unwrap()["csl"].as_str().unwrap().to_owned()
            })
            .collect();
        if !commands.is_empty() {
            let mut sorted = commands.clone();
            sorted.sort();
            let mut ours = asked.clone();
            ours.sort();
            assert_eq!(ours, sorted, "{scenario}");
        }
        fixture.service.stop().await;
    }
}

#[tokio::test]
async fn a_dead_container_is_passed_over_and_the_source_is_sent_whole() {
    // The fault of an official client: its retry sends what is left of the stream, an
    // empty blob, and reports success.
    // The first two containers that are tried are dead.
    let dead = Arc::new(Mutex::new(Vec::new()));
    let fixture = fixture(move |path, _| {
        let Some(container) = path.strip_prefix("/kinstore/ingest").and_then(|rest| rest.split_once('/'))
        else {
            return false;
        };
        let mut dead = dead.lock().unwrap();
        if dead.len() < 2 && !dead.contains(&container.0.to_owned()) {
            dead.push(container.0.to_owned());
        }
        dead.contains(&container.0.to_owned())
    })
    .await;
    let rows: String = (0..1000).map(|i| format!("{i},n,{i}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, &rows).unwrap();
    let target = IngestionProperties::new("db1", "t1").unwrap().tracked();
    let handle = fixture.client.ingest_file(&path, &target).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await.unwrap(), Outcome::Succeeded);
    assert_eq!(fixture.count("db1").await, 1000);
    let uploads = fixture.take("PUT", "/kinstore/");
    assert!(uploads.iter().any(|seen| seen.status == 503), "no container failed");
    assert!(
        uploads.iter().all(|seen| gunzipped(&seen.body) == rows.as_bytes()),
        "an attempt sent half a source"
    );
    fixture.service.stop().await;
}

#[tokio::test]
async fn a_large_source_goes_in_blocks_and_each_block_is_retried_alone() {
    let failed = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let once = failed.clone();
    let fixture = fixture(move |_, query| {
        query.contains("comp=block&") && once.lock().unwrap().insert(query.to_owned())
    })
    .await;
    // Noise does not compress, so that there are several blocks.
    let mut seed = 7u64;
    let rows: String = (0..400_000)
        .map(|i| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{i},{seed:016x}{:016x},1\n", seed.rotate_left(17))
        })
        .collect();
    let target = IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv).tracked();
    let handle = fixture.client.ingest_bytes(rows, &target).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await.unwrap(), Outcome::Succeeded);
    assert_eq!(fixture.count("db1").await, 400_000);
    let blocks: Vec<Seen> = fixture
        .take("PUT", "/kinstore/")
        .into_iter()
        .filter(|seen| seen.query.contains("comp=block&"))
        .collect();
    let blobs: std::collections::HashSet<&str> = blocks.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(blobs.len(), 1, "a failed block must not begin the upload anew");
    assert!(
        blocks.len() >= 4 && blocks.len() == 2 * failed.lock().unwrap().len(),
        "{} requests",
        blocks.len()
    );
    fixture.service.stop().await;
}

#[tokio::test]
async fn outcomes_are_told_apart() {
    let fixture = fixture(|_, _| false).await;
    let target = IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv);
    let untracked = fixture.client.ingest_bytes("1,a,1\n", &target).await.unwrap();
    assert!(matches!(untracked.ingested_within(LIMIT).await.unwrap(), Outcome::Unknown { .. }));
    let bad = fixture.client.ingest_bytes("1,\"a\n", &target.clone().tracked()).await.unwrap();
    assert!(matches!(
        bad.ingested_within(LIMIT).await.unwrap(),
        Outcome::Failed { code, permanent: true, .. } if code == "Stream_ClosingQuoteMissing"
    ));
    let missing = IngestionProperties::new("db1", "nope").unwrap().tracked();
    let missing = fixture.client.ingest_bytes("1\n", &missing).await.unwrap();
    assert!(
        matches!(missing.ingested_within(LIMIT).await.unwrap(), Outcome::Failed { code, .. } if code == "BadRequest_TableNotExist")
    );
    let empty = fixture.client.ingest_bytes("", &target).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Source);
    let wrong = target.with_mapping(Mapping::Inline("[]".to_owned()));
    assert_eq!(fixture.client.ingest_bytes("1\n", &wrong).await.unwrap_err().kind(), ErrorKind::Usage);
    let container = fixture.take("PUT", "/kinstore/")[0].clone();
    let blob = SecretUrl::new(format!("http://elsewhere{}?{}", container.path, container.query));
    let again = IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv).tracked();
    let handle = fixture.client.ingest_blob(blob, Some(6), &again).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await.unwrap(), Outcome::Succeeded);
    assert!(!format!("{handle:?} {:?}", fixture.client).contains("sig="));
    fixture.service.stop().await;
}

#[tokio::test]
async fn many_ingestions_at_once_ask_for_resources_once() {
    let fixture = fixture(|_, _| false).await;
    let target = IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv).tracked();
    let all = (0..16).map(|i| {
        let (client, target) = (fixture.client.clone(), target.clone());
        async move {
            client
                .ingest_bytes(format!("{i},a,1\n"), &target)
                .await
                .unwrap()
                .ingested_within(LIMIT)
                .await
                .unwrap()
        }
    });
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Succeeded), "{outcomes:?}");
    assert_eq!(fixture.count("db1").await, 16);
    let asked = fixture
        .take("POST", "/v1/rest/mgmt")
        .iter()
        .filter(|seen| seen.body.windows(4).any(|part| part == b".get"))
        .count();
    assert_eq!(asked, 2, "one request for resources and one for the token");
    fixture.service.stop().await;
}

#[tokio::test]
async fn old_resources_serve_while_new_ones_cannot_be_had() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = down.clone();
    let fixture =
        fixture(move |path, _| path.contains("/mgmt") && switch.load(std::sync::atomic::Ordering::Relaxed))
            .await;
    let target = IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv).tracked();
    let first = fixture.client.ingest_bytes("1,a,1\n", &target).await.unwrap();
    assert_eq!(first.ingested_within(LIMIT).await.unwrap(), Outcome::Succeeded);
    down.store(true, std::sync::atomic::Ordering::Relaxed);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(7200)).await;
    tokio::time::resume();
    let second = fixture.client.ingest_bytes("2,a,1\n", &target).await.unwrap();
    assert_eq!(second.ingested_within(LIMIT).await.unwrap(), Outcome::Succeeded);
    let failed = fixture.take("POST", "/v1/rest/mgmt").iter().filter(|seen| seen.status == 503).count();
    assert!(failed > 0, "no refresh was tried");
    fixture.service.stop().await;
}
