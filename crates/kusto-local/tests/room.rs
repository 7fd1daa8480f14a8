//! A disk without room: every way in is told to come again, nothing is lost, and what is there
//! can still be asked for.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::{RunningService, ServiceConfig};
use kusto_types::ByteSize;
use serde_json::{Value, json};
use std::path::Path;

async fn start(folder: &Path, min_free: u64) -> RunningService {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ServiceConfig::new(folder);
    config.min_free = ByteSize(min_free);
    kusto_local::start(config, listener).await.unwrap()
}

async fn send(service: &RunningService, path: &str, body: String) -> (u16, Option<String>, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(format!("{}{path}", service.url())).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
    (status, after, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

async fn command(service: &RunningService, text: &str) -> (u16, Option<String>, Value) {
    send(service, "/v1/rest/mgmt", json!({ "db": "NetDefaultDB", "csl": text }).to_string()).await
}

#[tokio::test]
async fn a_full_disk_takes_no_data_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path(), 0).await;
    command(&service, ".create table T (a:long)").await;
    assert_eq!(command(&service, ".ingest inline into table T <| 1").await.0, 200);
    service.stop().await;

    let service = start(folder.path(), u64::MAX).await;
    for text in [".ingest inline into table T <| 2", ".append T <| print a = 2", ".set U <| print a = 2"] {
        let (status, after, body) = command(&service, text).await;
        assert_eq!((status, after.as_deref()), (429, Some("30")), "{text}: {body}");
        assert_eq!(body["error"]["@permanent"], false, "{body}");
        assert!(body["error"]["@message"].as_str().unwrap().contains("the disk of the service"), "{body}");
    }
    let streamed = send(&service, "/v1/rest/ingest/NetDefaultDB/T?streamFormat=csv", "2\n".to_owned()).await;
    assert_eq!((streamed.0, streamed.1.as_deref()), (429, Some("30")));
    let queued = json!({ "blobs": [{ "url": "https://x.blob.core.windows.net/c/b.csv" }], "properties": { "format": "csv" } });
    let queued = send(&service, "/v1/rest/ingestion/queued/NetDefaultDB/T", queued.to_string()).await;
    assert_eq!(queued.0, 429);
    // Storage answers as Azure's does when it is busy.
    let resources = command(&service, ".get ingestion resources").await.2;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for row in resources["Tables"][0]["Rows"].as_array().unwrap() {
        let url = row[1].as_str().unwrap();
        let request = match row[0].as_str().unwrap() {
            "TempStorage" => {
                http.put(url.replace('?', "/b.csv?")).header("x-ms-blob-type", "BlockBlob").body("3\n")
            }
            "SecuredReadyForAggregationQueue" => {
                http.post(url.replace('?', "/messages?")).body("<QueueMessage/>")
            }
            _ => continue,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{row}");
        assert_eq!(answer.headers()["x-ms-error-code"], "ServerBusy");
        assert_eq!(answer.headers()["retry-after"], "30");
    }
    // Room is made by dropping what is there, so that commands and queries go on.
    let counted = command(&service, "T | count").await;
    assert_eq!(counted.2["Tables"][0]["Rows"], json!([[1]]));
    assert_eq!(command(&service, ".drop table T").await.0, 200);
    service.stop().await;
}
