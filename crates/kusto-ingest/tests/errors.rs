//! Each exception of the official reference, and the error that we give in its place:
//! what happened, whether to try again, and what was sent until then.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use kusto_ingest::*;
use support::{Fault, Site, into_t1, rows};

fn v1(site: &Site) -> QueuedIngestClient {
    QueuedIngestClient::with_options(&site.cluster, IngestOptions::default().protocol(Protocol::Queue))
}

/// The service's resources without those of one type.
fn without(kind: &'static str) -> impl Fn(&support::Seen) -> Fault + Send + Sync {
    move |seen| {
        if seen.path != "/v1/rest/mgmt" {
            return Fault::None;
        }
        let all = ["SecuredReadyForAggregationQueue", "TempStorage", "IngestionsStatusTable"];
        let rows: Vec<[String; 2]> = all
            .iter()
            .filter(|name| **name != kind)
            .map(|name| [(*name).to_owned(), format!("http://127.0.0.1:9/a/{name}?sig=x")])
            .collect();
        let column = |name: &str| serde_json::json!({ "ColumnName": name, "DataType": "String", "ColumnType": "string" });
        let columns = [column("ResourceTypeName"), column("StorageRoot")];
        let table = serde_json::json!({ "TableName": "Table_0", "Columns": columns, "Rows": rows });
        let json = serde_json::json!({ "Tables": [table] });
        Fault::Answer(200, vec![("content-type", "application/json".to_owned())], json.to_string())
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_told_before_anything_is_sent() {
    let site = Site::new().await;
    let client = v1(&site);
    // DuplicateIngestionPropertyException
    let twice = into_t1().with_property("format", "json");
    let error = client.ingest(Source::bytes(rows(1)), &twice).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Usage, false), "{error}");
    // InvalidUriIngestClientException
    for url in ["", "account/container/blob.csv", "ftp://host/a.csv", "https://"] {
        let error = client.ingest(Source::blob(url), &into_t1()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{url}: {error}");
    }
    // SizeLimitExceededIngestClientException
    let large = Source::blob("https://127.0.0.1/a/c/rows.csv?sig=x").with_raw_size(7 << 30);
    let error = client.ingest(large, &into_t1()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("ignoring_size_limit"), "{error}");
    // CompressFileIngestClientException: the file cannot be read.
    let error = client.ingest_file("/does/not/exist.csv", &into_t1()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert!(error.to_string().contains("/does/not/exist.csv"), "{error}");
    assert!(site.seen().is_empty(), "{:?}", site.seen());
    // DataFormatNotSpecifiedException: what the name tells is taken, and CSV else.
    let unsaid = IngestionProperties::new("db1", "t1").unwrap().tracked();
    let handle = client.ingest(Source::bytes("1,a,0.5\n"), &unsaid).await.unwrap();
    assert_eq!(handle.ingested_within(support::LIMIT).await, Outcome::Succeeded);
    site.stop().await;
}

#[tokio::test]
async fn a_service_that_hands_out_nothing_is_named() {
    let site = Site::new().await;
    // CloudBlobContainersNotFoundException, CloudQueuesNotFoundException
    for (kind, says) in [("TempStorage", "container"), ("SecuredReadyForAggregationQueue", "queue")] {
        site.inject(without(kind));
        site.clear();
        let error = v1(&site).ingest(Source::bytes(rows(1)), &into_t1()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{kind}: {error}");
        assert!(error.to_string().contains(says), "{kind}: {error}");
        assert!(site.requests("PUT", "").is_empty(), "{kind}: nothing is uploaded for nothing");
    }
    site.stop().await;
}

#[tokio::test]
async fn what_happened_to_an_upload_or_a_message_is_the_kind() {
    let site = Site::new().await;
    // UploadFileToTempBlobIngestClientException, PostMessageToQueueFailedException
    for method in ["PUT", "POST"] {
        for (status, expected) in [
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (429, ErrorKind::Throttled),
            (503, ErrorKind::Service),
        ] {
            site.inject(move |seen| {
                let posted = method == "POST" && seen.path.ends_with("/messages");
                let put = method == "PUT" && seen.is("PUT", "");
                if posted || put { Fault::status(status) } else { Fault::None }
            });
            let retry = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
            let once = Transport::builder().retry(retry).build().unwrap();
            let client = QueuedIngestClient::with_options(
                &site.cluster.over(&once),
                IngestOptions::default().protocol(Protocol::Queue),
            );
            let error = client.ingest(Source::bytes(rows(1)), &into_t1()).await.unwrap_err();
            assert_eq!(error.kind(), expected, "{method} {status}: {error}");
            let retryable = matches!(expected, ErrorKind::Throttled | ErrorKind::Service);
            let classes = (error.is_retryable(), error.is_permanent());
            assert_eq!(classes, (retryable, !retryable), "{method} {status}: {error}");
        }
    }
    site.stop().await;
}
