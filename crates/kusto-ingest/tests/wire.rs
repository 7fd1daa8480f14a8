//! What the client really sends, seen by a recording proxy in front of the real local
//! service; and what it does when storage fails on the way.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use kusto_ingest::*;
use kusto_wire::IngestionMessage;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::{Fault, LIMIT, Seen, Site, gunzipped, into_t1, noise};

/// A client of the v1 protocol, which the golden samples are of.
fn v1(site: &Site) -> QueuedIngestClient {
    QueuedIngestClient::with_options(&site.cluster, IngestOptions::default().protocol(Protocol::Queue))
}

fn message(site: &Site) -> Value {
    let posts = site.requests("POST", "/messages");
    let xml = String::from_utf8(posts.last().unwrap().body.to_vec()).unwrap();
    IngestionMessage::decode(&kusto_wire::storage::decode_put_message(&xml).unwrap()).unwrap().to_json()
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

#[tokio::test]
async fn requests_mean_the_same_as_the_golden_ones() {
    let rows: String = (0..100).map(|i| format!("{i},name {i},{:?}\n", f64::from(i) / 2.0)).collect();
    let mapping = r#"[{"column":"id","datatype":"long","properties":{"Path":"$.id"}},{"column":"name","datatype":"string","properties":{"Path":"$.name"}}]"#;
    let base = || {
        IngestionProperties::new("db1", "t1").unwrap().with_reporting(ReportLevel::None, ReportMethod::Queue)
    };
    let tagged = base()
        .with_reporting(ReportLevel::FailuresAndSuccesses, ReportMethod::Queue)
        .with_tags(["a".to_owned()])
        .with_drop_by_tags(["d".to_owned()])
        .with_ingest_by_tags(["i".to_owned()])
        .with_ingest_if_not_exists(["i".to_owned()])
        .with_creation_time("2024-01-01T00:00:00Z");
    let mapped = base().with_format(DataFormat::MultiJson).with_mapping(Mapping::inline_json(mapping));
    for (scenario, file, properties) in [
        ("01_queued_file_csv.json", "rows.csv", base()),
        ("04_queued_file_json_inline_map.json", "rows.json", mapped),
        ("06_queued_file_tags_report.json", "rows.csv", tagged),
    ] {
        let site = Site::new().await;
        let (golden, head, commands) = golden(scenario);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        let mut content = if file.ends_with(".csv") { rows.clone().into_bytes() } else { head.clone() };
        content.truncate(golden["RawDataSize"].as_u64().unwrap() as usize);
        content.resize(golden["RawDataSize"].as_u64().unwrap() as usize, b'\n');
        std::fs::write(&path, &content).unwrap();
        v1(&site).ingest_file(&path, &properties).await.unwrap();
        same_meaning(&message(&site), &golden, scenario);
        let uploads = site.requests("PUT", "/kinstore/");
        assert_eq!(uploads.len(), 1, "{scenario}");
        assert!(
            uploads[0].path.ends_with(&format!("{file}.gz")) && uploads[0].path.contains("db1__t1__"),
            "{}",
            uploads[0].path
        );
        assert_eq!(gunzipped(&uploads[0].body), content, "{scenario}");
        let asked: Vec<String> = site
            .requests("POST", "/v1/rest/mgmt")
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
        site.stop().await;
    }
}

#[tokio::test]
async fn a_dead_container_is_passed_over_and_the_source_is_sent_whole() {
    // The fault of an official client: its retry sends what is left of the stream, an
    // empty blob, and reports success.
    let site = Site::new().await;
    let dead = Arc::new(Mutex::new(Vec::new()));
    let chosen = dead.clone();
    // The first two containers that are tried are dead.
    site.inject(move |seen| {
        let Some(container) =
            seen.path.strip_prefix("/kinstore/ingest").and_then(|rest| rest.split_once('/'))
        else {
            return Fault::None;
        };
        let mut dead = chosen.lock().unwrap();
        if dead.len() < 2 && !dead.contains(&container.0.to_owned()) {
            dead.push(container.0.to_owned());
        }
        if dead.contains(&container.0.to_owned()) { Fault::status(503) } else { Fault::None }
    });
    let rows: String = (0..1000).map(|i| format!("{i},n,{i}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, &rows).unwrap();
    let target = IngestionProperties::new("db1", "t1").unwrap().tracked();
    let handle = v1(&site).ingest_file(&path, &target).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(site.count("db1", "t1").await, 1000);
    let uploads = site.requests("PUT", "/kinstore/");
    assert_eq!(uploads.iter().filter(|seen| seen.status == 503).count(), 4, "two containers, two attempts");
    assert!(
        uploads.iter().all(|seen| gunzipped(&seen.body) == rows.as_bytes()),
        "an attempt sent half a source"
    );
    site.stop().await;
}

#[tokio::test]
async fn a_large_source_goes_in_blocks_and_each_block_is_retried_alone() {
    let site = Site::new().await;
    let failed = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let once = failed.clone();
    site.inject(move |seen| {
        let first = seen.query.contains("comp=block&") && once.lock().unwrap().insert(seen.query.clone());
        if first { Fault::status(503) } else { Fault::None }
    });
    let rows = noise(400_000);
    let handle = v1(&site).ingest(Source::bytes(rows), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(site.count("db1", "t1").await, 400_000);
    let blocks: Vec<Seen> = site.requests("PUT", "comp=block&");
    let blobs: std::collections::HashSet<&str> = blocks.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(blobs.len(), 1, "a failed block must not begin the upload anew");
    assert!(
        blocks.len() >= 4 && blocks.len() == 2 * failed.lock().unwrap().len(),
        "{} requests",
        blocks.len()
    );
    site.stop().await;
}

#[tokio::test]
async fn many_ingestions_at_once_ask_for_resources_once() {
    let site = Site::new().await;
    let client = v1(&site);
    let all = (0..16).map(|i| {
        let client = client.clone();
        async move {
            let source = Source::bytes(format!("{i},a,1\n"));
            client.ingest(source, &into_t1()).await.unwrap().ingested_within(LIMIT).await
        }
    });
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Succeeded), "{outcomes:?}");
    assert_eq!(site.count("db1", "t1").await, 16);
    let asked = site
        .requests("POST", "/v1/rest/mgmt")
        .iter()
        .filter(|seen| seen.body.windows(4).any(|part| part == b".get"))
        .count();
    assert_eq!(asked, 2, "one request for resources and one for the token");
    site.stop().await;
}

#[tokio::test]
async fn old_resources_serve_while_new_ones_cannot_be_had() {
    let site = Site::new().await;
    let client = v1(&site);
    let first = client.ingest(Source::bytes("1,a,1\n"), &into_t1()).await.unwrap();
    assert_eq!(first.ingested_within(LIMIT).await, Outcome::Succeeded);
    site.inject(|seen| if seen.path.contains("/mgmt") { Fault::status(503) } else { Fault::None });
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(7200)).await;
    tokio::time::resume();
    let second = client.ingest(Source::bytes("2,a,1\n"), &into_t1()).await.unwrap();
    assert_eq!(second.ingested_within(LIMIT).await, Outcome::Succeeded);
    let failed = site.requests("POST", "/v1/rest/mgmt").iter().filter(|seen| seen.status == 503).count();
    assert!(failed > 0, "no refresh was tried");
    site.stop().await;
}
