//! The six faults that were measured in the official clients: each has a test that this
//! client does not have it.

use super::*;

#[tokio::test]
async fn official_fault_1_a_retry_never_sends_an_empty_blob() {
    // Python sends what is left of a consumed stream to the next container.
    let site = Site::new().await;
    site.inject(dead_containers(1, Fault::status(500)));
    let client = QueuedIngestClient::with_options(&site.cluster, options(Protocol::Queue));
    let handle = client.ingest(What::SmallOnce.source(), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    let uploads = site.requests("PUT", BLOB);
    assert_eq!(uploads.len(), 3);
    assert!(uploads.iter().all(|seen| gunzipped(&seen.body) == rows(10).as_bytes()));
    // When the bytes are gone, it is an error and nothing is posted.
    site.clear();
    site.inject(last_block_dies());
    let error = client.ingest(What::LargeOnce.source(), &into_t1()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("can be read only once"), "{error}");
    assert!(site.requests("POST", MESSAGES).is_empty());
    site.stop().await;
}

/// The last block never arrives. It is sent once an earlier one has, so that bytes of the
/// source are gone by then.
fn last_block_dies() -> impl Fn(&Seen) -> Fault + Send + Sync + 'static {
    let id: String = url::form_urlencoded::byte_serialize(block_id(3).as_bytes()).collect();
    move |seen| if seen.query.contains(&format!("blockid={id}&")) { Fault::status(500) } else { Fault::None }
}

#[tokio::test]
async fn official_fault_2_nothing_hangs() {
    // Node inserts its status row until it is refused; an upsert never refuses.
    let site = Site::new().await;
    site.inject(always("POST", STATUS, Fault::status(204)));
    let client = QueuedIngestClient::with_options(&site.cluster, options(Protocol::Queue));
    let handle = client.ingest(What::Small.source(), &into_t1()).within(LIMIT).await.unwrap();
    assert_eq!(site.requests("POST", STATUS).len(), 1);
    drop(handle);
    // A server that takes the connection and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let cluster = KustoClient::from_connection_string(&url).unwrap();
    let client = QueuedIngestClient::new(&cluster);
    let error =
        client.ingest(What::Small.source(), &into_t1()).within(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    // A source that never ends its read.
    let (reader, _writer) = tokio::io::duplex(64);
    let error = QueuedIngestClient::new(&site.cluster)
        .ingest(Source::reader(reader), &into_t1())
        .within(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    site.stop().await;
}

#[tokio::test]
async fn official_fault_3_blocks_keep_their_order() {
    // Answers come in any order: the later the block, the sooner.
    let site = Site::new().await;
    site.inject(|seen| {
        if seen.is("PUT", BLOCK) {
            let sum: u64 = seen.query.bytes().map(u64::from).sum();
            return Fault::Late(Duration::from_millis(300 - sum % 300));
        }
        Fault::None
    });
    let client = QueuedIngestClient::with_options(&site.cluster, options(Protocol::Queue));
    let handle = client.ingest(What::Large.source(), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    let query = "t1 | extend n = id | summarize count(), min(n), max(n), dcount(n)";
    let result = site.cluster.query("db1", query).await.unwrap();
    assert_eq!(result.tables[0].rows[0], [100_000, 0, 99_999, 100_000].map(serde_json::Value::from));
    let list = &site.requests("PUT", LIST)[0];
    let ids = kusto_wire::storage::decode_block_list(std::str::from_utf8(&list.body).unwrap()).unwrap();
    assert_eq!(ids, (0..4).map(block_id).collect::<Vec<_>>());
    site.stop().await;
}

#[tokio::test]
async fn official_fault_4_permanent_errors_are_not_retried() {
    // Python, Node and Go stream three times what the service refuses for good.
    let site = Site::new().await;
    let managed = ManagedStreamingIngestClient::new(&site.cluster).with_policy(quick_policy());
    let error = managed.ingest(Source::bytes("1,\"open\n"), &into_t1()).await.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (Some("Stream_ClosingQuoteMissing"), 1));
    assert!(error.is_permanent() && error.activity_id().is_some());
    assert_eq!(site.requests("POST", STREAM).len(), 1);
    assert!(site.requests("POST", SUBMIT).is_empty());
    site.stop().await;
}

#[tokio::test]
async fn official_fault_5_oversize_files_are_not_streamed() {
    // Node never looks at a file's size.
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.csv");
    std::fs::write(&path, noise(800_000)).unwrap();
    let managed = ManagedStreamingIngestClient::new(&site.cluster);
    let handle = managed.ingest(Source::file(path), &into_t1()).await.unwrap();
    assert_eq!(handle.route(), Some(&Route::Queued { because: FallbackReason::TooLarge, attempts: 0 }));
    assert!(site.requests("POST", STREAM).is_empty());
    site.stop().await;
}

#[tokio::test]
async fn official_fault_6_popped_reports_are_not_lost() {
    // Node divides the number by the queues and asks for none; a message that is taken and
    // fails to be deleted is gone for the caller.
    let site = Site::new().await;
    let client = QueuedIngestClient::with_options(&site.cluster, options(Protocol::Queue));
    let reporting = IngestionProperties::new("db1", "t1")
        .unwrap()
        .with_reporting(ReportLevel::FailuresOnly, ReportMethod::QueueAndTable);
    let handle = client.ingest(Source::bytes("1,\"open\n"), &reporting).await.unwrap();
    let id = handle.source_id().to_string();
    let failures = client.failures();
    while failures.peek(1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut leases = failures.receive(1, Duration::from_secs(1)).await.unwrap();
    site.inject(always("DELETE", MESSAGES, Fault::status(500)));
    leases.pop().unwrap().acknowledge().await.unwrap_err();
    site.inject(|_| Fault::None);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let popped = failures.pop(1).await.unwrap();
    assert_eq!(popped.len(), 1, "the report comes back");
    assert_eq!(popped[0].ingestion_source_id, id);
    let deleted = site.requests("DELETE", MESSAGES).iter().filter(|seen| seen.status == 204).count();
    assert_eq!(deleted, 1, "what was given out is off the queue");
    assert!(failures.pop(1).await.unwrap().is_empty());
    site.stop().await;
}
