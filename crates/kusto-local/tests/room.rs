//! A disk without room: every way in is told to come again, nothing is lost, and what is there
//! can still be asked for.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use kusto_types::ByteSize;
use serde_json::{Value, json};
use support::Site;

/// Status, Retry-After and body of an answer.
async fn send(site: &Site, path: &str, body: String) -> (u16, Option<String>, Value) {
    let answer = site.http.post(format!("{}{path}", site.service.url())).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
    (status, after, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn a_full_disk_takes_no_data_and_says_so() {
    let site = Site::with(|config| config.min_free = ByteSize(0)).await;
    site.command(".create table T (a:long)").await;
    site.command(".ingest inline into table T <| 1").await;
    let site = site.again(|config| config.min_free = ByteSize(u64::MAX)).await;
    for text in [".ingest inline into table T <| 2", ".append T <| print a = 2", ".set U <| print a = 2"] {
        let command = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let (status, after, body) = send(&site, "/v1/rest/mgmt", command).await;
        assert_eq!((status, after.as_deref()), (429, Some("30")), "{text}: {body}");
        assert_eq!(body["error"]["@permanent"], false, "{body}");
        assert!(body["error"]["@message"].as_str().unwrap().contains("the disk of the service"), "{body}");
    }
    let streamed = send(&site, "/v1/rest/ingest/NetDefaultDB/T?streamFormat=csv", "2\n".to_owned()).await;
    assert_eq!((streamed.0, streamed.1.as_deref()), (429, Some("30")));
    let queued = json!({ "blobs": [{ "url": "https://x.blob.core.windows.net/c/b.csv" }], "properties": { "format": "csv" } });
    let queued = send(&site, "/v1/rest/ingestion/queued/NetDefaultDB/T", queued.to_string()).await;
    assert_eq!(queued.0, 429);
    // Storage answers as Azure's does when it is busy.
    let resources = site.command(".get ingestion resources").await;
    for row in resources.as_array().unwrap() {
        let url = row[1].as_str().unwrap();
        let request = match row[0].as_str().unwrap() {
            "TempStorage" => {
                site.http.put(url.replace('?', "/b.csv?")).header("x-ms-blob-type", "BlockBlob").body("3\n")
            }
            "SecuredReadyForAggregationQueue" => {
                site.http.post(url.replace('?', "/messages?")).body("<QueueMessage/>")
            }
            _ => continue,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{row}");
        assert_eq!(answer.headers()["x-ms-error-code"], "ServerBusy");
        assert_eq!(answer.headers()["retry-after"], "30");
    }
    // Room is made by dropping what is there, so that commands and queries go on.
    assert_eq!(site.rows("T | count").await, json!([[1]]));
    site.command(".drop table T").await;
}
