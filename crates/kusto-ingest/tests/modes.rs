//! Every mode with every source against the real service: on the service's own storage,
//! and on a storage account when `KIN_TEST_STORAGE` names one (`cargo xtask test` runs
//! it both ways).
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use bytes::Bytes;
use futures_util::StreamExt;
use kusto_ingest::*;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;
use support::{Fault, LIMIT, Site, into_t1, noise, rows};

fn with(site: &Site, protocol: Protocol) -> QueuedIngestClient {
    QueuedIngestClient::with_options(&site.cluster, IngestOptions::default().protocol(protocol))
}

const BOTH: [Protocol; 2] = [Protocol::Queue, Protocol::Rest];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A container that the service hands out.
async fn container(site: &Site) -> SecretUrl {
    let resources = site.cluster.management("NetDefaultDB", ".get ingestion resources").await.unwrap();
    let table = resources.primary().unwrap();
    (0..table.rows.len())
        .find(|row| table.text(*row, "ResourceTypeName").as_deref() == Some("TempStorage"))
        .and_then(|row| table.text(row, "StorageRoot"))
        .map(SecretUrl::new)
        .unwrap()
}

/// Puts a blob with a request of the test's own.
async fn put(container: &SecretUrl, name: &str, bytes: impl Into<Bytes>) -> SecretUrl {
    let (base, sas) = container.with_secrets().split_once('?').unwrap();
    let url = SecretUrl::new(format!("{base}/{name}?{sas}"));
    let put = reqwest::Client::new()
        .put(url.with_secrets())
        .header("x-ms-blob-type", "BlockBlob")
        .header("x-ms-version", "2021-12-02")
        .body(bytes.into());
    put.send().await.unwrap().error_for_status().unwrap();
    url
}

/// Each kind of source with ten rows of `t1`, made anew for each use.
fn sources(folder: &std::path::Path) -> Vec<(&'static str, Source)> {
    let plain = folder.join("plain.csv");
    std::fs::write(&plain, rows(10)).unwrap();
    let packed = folder.join("packed.csv.gz");
    std::fs::write(&packed, gzip(rows(10).as_bytes())).unwrap();
    let chunks = || {
        let text = rows(10);
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            text.as_bytes().chunks(7).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        futures_util::stream::iter(chunks)
    };
    vec![
        ("a file", Source::file(plain)),
        ("a gzipped file", Source::file(packed)),
        ("bytes", Source::bytes(rows(10))),
        ("gzipped bytes", Source::bytes(gzip(rows(10).as_bytes()))),
        ("a reader", Source::reader(std::io::Cursor::new(rows(10).into_bytes()))),
        ("a stream", Source::stream(chunks())),
        ("a writer", Source::written(|out| out.write_all(rows(10).as_bytes()))),
        ("a one-time writer", Source::written_once(|out| out.write_all(rows(10).as_bytes()))),
    ]
}

#[tokio::test]
async fn every_source_goes_every_way() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let clients: Vec<(&str, Box<dyn IngestClient>, Method)> = vec![
        ("queued v1", Box::new(with(&site, Protocol::Queue)), Method::Queued),
        ("queued v2", Box::new(with(&site, Protocol::Rest)), Method::Queued),
        ("streaming", Box::new(StreamingIngestClient::new(&site.cluster)), Method::Streaming),
        ("managed", Box::new(ManagedStreamingIngestClient::new(&site.cluster)), Method::Streaming),
        ("direct", Box::new(DirectIngestClient::new(&site.cluster)), Method::Direct),
        (
            "direct async",
            Box::new(DirectIngestClient::new(&site.cluster).with_execution(Execution::Async)),
            Method::Direct,
        ),
    ];
    let mut expected = 0;
    for (way, client, method) in &clients {
        let mut handles = Vec::new();
        for (what, source) in sources(folder.path()) {
            let handle = Ingest::new(client.as_ref(), source, &into_t1())
                .await
                .unwrap_or_else(|error| panic!("{what} {way}: {error} {error:?}"));
            let queued = *way == "managed" && what == "a one-time writer";
            assert_eq!(handle.method(), if queued { Method::Queued } else { *method }, "{what} {way}");
            handles.push((what, handle));
        }
        for (what, handle) in handles {
            assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded, "{what} {way}");
            expected += 10;
        }
        assert_eq!(site.count("db1", "t1").await, expected, "{way}");
    }
    site.stop().await;
}

#[tokio::test]
async fn blobs_go_every_way_and_several_are_one_operation() {
    let site = Site::new().await;
    // Blobs of a user's: nothing but their URLs goes through the client.
    let container = container(&site).await;
    let mut urls = Vec::new();
    for i in 0..25 {
        let text = rows(i + 1);
        urls.push((put(&container, &format!("mine/b{i}.csv"), text.clone()).await, Some(text.len() as u64)));
    }
    let mut count = 0;
    let blobs = || urls.iter().map(|(url, size)| Blob::new(url.clone()).with_raw_size(size.unwrap()));
    for protocol in BOTH {
        site.clear();
        let handle = with(&site, protocol).ingest(Source::blobs(blobs()), &into_t1()).await.unwrap();
        assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded, "{protocol:?}");
        assert_eq!(handle.details().await.unwrap().len(), 25);
        count += (1..=25).sum::<u64>();
        assert_eq!(site.count("db1", "t1").await, count);
        if protocol == Protocol::Rest {
            assert_eq!(site.requests("POST", "/ingestion/queued/").len(), 2, "20 blobs a request");
        }
    }
    let first = || Source::blob(urls[0].0.clone());
    let streamed = StreamingIngestClient::new(&site.cluster).ingest(first(), &into_t1()).await.unwrap();
    assert_eq!(streamed.ingested().await, Outcome::Succeeded);
    let managed = ManagedStreamingIngestClient::new(&site.cluster);
    let handle = managed.ingest(first(), &into_t1()).await.unwrap();
    assert_eq!(handle.route(), Some(&Route::Streamed { attempt: 1 }));
    let handle = managed.ingest(Source::blobs(blobs()), &into_t1()).await.unwrap();
    assert!(matches!(handle.route(), Some(Route::Queued { .. })));
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    let direct = DirectIngestClient::new(&site.cluster);
    let handle = direct.ingest(Source::blobs(blobs()), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested().await, Outcome::Succeeded);
    count += 1 + 1 + 2 * (1..=25).sum::<u64>();
    assert_eq!(site.count("db1", "t1").await, count);
    // One bad blob is its own fault.
    let missing = urls[0].0.with_secrets().replacen("b0.csv", "gone.csv", 1);
    let some = [Blob::new(urls[1].0.clone()), Blob::new(SecretUrl::new(missing))];
    let handle = with(&site, Protocol::Rest).ingest(Source::blobs(some), &into_t1()).await.unwrap();
    let outcome = handle.ingested_within(LIMIT).await;
    assert!(
        matches!(&outcome, Outcome::PartiallySucceeded { details } if details.contains("1 of 2")),
        "{outcome:?}"
    );
    let twice = [Blob::new(urls[1].0.clone()), Blob::new(urls[1].0.clone())];
    let error = with(&site, Protocol::Rest).ingest(Source::blobs(twice), &into_t1()).await.unwrap_err();
    assert!(error.to_string().contains("stands twice"), "{error}");
    site.stop().await;
}

#[tokio::test]
async fn a_source_over_the_part_size_is_split_between_records_under_one_handle() {
    let site = Site::new().await;
    // Quoted fields with line ends, and a header that only the first part has.
    let mut text = String::from("id,name,v\n");
    for i in 0..2000 {
        text.push_str(&format!("{i},\"a\n\"\"{i}\"\"\",0.5\n"));
    }
    for protocol in BOTH {
        let options = IngestOptions::default().protocol(protocol).split_over(10_000);
        let client = QueuedIngestClient::with_options(&site.cluster, options);
        let table = format!("split{protocol:?}");
        site.command("db1", &format!(".create table {table} (id:long, name:string, v:real)")).await;
        let target = IngestionProperties::new("db1", &table).unwrap().ignoring_first_record().tracked();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, &text).unwrap();
        for source in [
            Source::file(&path),
            Source::reader(std::io::Cursor::new(text.clone().into_bytes())).with_format(DataFormat::Csv),
        ] {
            let handle = client.ingest(source, &target).await.unwrap();
            assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded, "{protocol:?}");
            let details = handle.details().await.unwrap();
            let ids: std::collections::HashSet<SourceId> =
                details.iter().map(|source| source.source_id).collect();
            assert!(ids.len() >= 3 && ids.contains(&handle.source_id()), "{} parts", ids.len());
        }
        let query = format!(
            "{table} | summarize count(), dcount(id), max(id), countif(name == strcat('a\\n\"', tostring(id), '\"'))"
        );
        let result = site.cluster.query("db1", &query).await.unwrap();
        let values: Vec<u64> = result.tables[0].rows[0].iter().map(|value| value.as_u64().unwrap()).collect();
        assert_eq!(values, [4000, 2000, 1999, 4000], "{protocol:?}");
    }
    site.stop().await;
}

#[tokio::test]
async fn the_protocol_is_the_services_choice_and_the_callers() {
    let site = Site::new().await;
    let asked = |site: &Site| {
        (site.requests("POST", "/ingestion/queued/").len(), site.requests("POST", ".get").len())
    };
    let preferred = with(&site, Protocol::Preferred);
    let handle = preferred.ingest(Source::bytes(rows(1)), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(asked(&site).0, 1, "the service prefers REST");
    // A service without v2.
    site.inject(|seen| if seen.path.contains("/configuration") { Fault::status(404) } else { Fault::None });
    site.clear();
    let old = with(&site, Protocol::Preferred);
    let handle = old.ingest(Source::bytes(rows(1)), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(asked(&site).0, 0);
    let error = with(&site, Protocol::Rest).ingest(Source::bytes(rows(1)), &into_t1()).await.unwrap_err();
    assert!(error.to_string().contains("no REST ingestion"), "{error}");
    site.stop().await;
}

#[tokio::test]
async fn outcomes_are_told_apart() {
    let site = Site::new().await;
    for protocol in BOTH {
        let client = with(&site, protocol);
        let untracked = IngestionProperties::new("db1", "t1").unwrap();
        let handle = client.ingest(Source::bytes("1,a,1\n"), &untracked).await.unwrap();
        assert!(matches!(handle.ingested_within(LIMIT).await, Outcome::Unknown { .. }));
        let bad = client.ingest(Source::bytes("1,\"a\n"), &into_t1()).await.unwrap();
        let outcome = bad.ingested_within(LIMIT).await;
        let Outcome::Failed { code, permanent, .. } = &outcome else { panic!("{outcome:?}") };
        assert_eq!((code, *permanent), (&IngestionErrorCode::StreamClosingQuoteMissing, true));
        assert!(!code.hint().is_empty());
        let once = into_t1().once_as(format!("{protocol:?}"));
        let first = client.ingest(Source::bytes("1,a,1\n"), &once).await.unwrap();
        assert_eq!(first.ingested_within(LIMIT).await, Outcome::Succeeded);
        let before = site.count("db1", "t1").await;
        let second = client.ingest(Source::bytes("1,a,1\n"), &once).await.unwrap();
        second.ingested_within(LIMIT).await;
        assert_eq!(site.count("db1", "t1").await, before);
        let empty = client.ingest(Source::bytes(""), &into_t1()).await.unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::Source);
        let wrong = into_t1().with_mapping(Mapping::inline_json("[]"));
        let error = client.ingest(Source::bytes("1\n"), &wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!format!("{first:?} {client:?}").contains("sig="));
    }
    site.stop().await;
}

#[tokio::test]
async fn a_handle_is_written_down_and_taken_up_by_another_process() {
    let site = Site::new().await;
    for protocol in BOTH {
        let handle = with(&site, protocol).ingest(Source::bytes(rows(3)), &into_t1()).await.unwrap();
        let json = handle.to_json();
        assert!(!json.contains("sig="), "{json}");
        drop(handle);
        let taken = with(&site, protocol).resume(&json).unwrap();
        assert_eq!(taken.ingested_within(LIMIT).await, Outcome::Succeeded);
        let elsewhere = KustoClient::from_connection_string("http://127.0.0.1:1").unwrap();
        let error = QueuedIngestClient::new(&elsewhere).resume(&json).unwrap_err();
        assert!(error.to_string().contains("belongs to"), "{error}");
    }
    let client = with(&site, Protocol::Queue);
    assert!(client.resume("{}").is_err());
    assert!(client.resume("no").is_err());
    site.stop().await;
}

#[tokio::test]
async fn streaming_refuses_what_it_cannot_carry_and_managed_queues_it() {
    let site = Site::new().await;
    let streaming = StreamingIngestClient::new(&site.cluster);
    let managed = ManagedStreamingIngestClient::new(&site.cluster);
    let inline = Mapping::inline(MappingKind::Csv, [ColumnMapping::ordinal("id", 0)]).unwrap();
    for (properties, says) in [
        (into_t1().with_tags(["a".to_owned()]), "tags"),
        (into_t1().with_mapping(inline), "an inline mapping"),
        (into_t1().ignoring_first_record(), "ignoreFirstRecord"),
        (into_t1().with_creation_time("2024-01-01"), "creationTime"),
    ] {
        let source = || Source::bytes("9,x,1\n8,x,1\n");
        let error = streaming.ingest(source(), &properties).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(says), "{error}");
        let handle = managed.ingest(source(), &properties).await.unwrap();
        let Some(Route::Queued {
            because: FallbackReason::RequestPreventsStreaming { options },
            attempts: 0,
        }) = handle.route()
        else {
            panic!("{:?}", handle.route())
        };
        assert_eq!(options, &[says]);
        assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded, "{says}");
    }
    site.clear();
    // Sizes are those of the bytes that are sent: 30 MB that compress well are streamed,
    // 12 MB that do not are queued, whatever the source is.
    let compressible = "1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,1\n".repeat(600_000);
    let handle = managed.ingest(Source::bytes(compressible), &into_t1()).await.unwrap();
    assert_eq!(handle.route(), Some(&Route::Streamed { attempt: 1 }));
    let large = noise(800_000);
    assert!(large.len() > MAX_STREAMED * 3 / 2);
    let error = streaming.ingest(Source::bytes(large.clone()), &into_t1()).await.unwrap_err();
    assert!(error.to_string().contains("limit of streaming"), "{error}");
    for source in [
        Source::bytes(large.clone()),
        Source::reader(std::io::Cursor::new(large.clone().into_bytes())),
        Source::bytes(gzip(large.as_bytes())),
    ] {
        let handle = managed.ingest(source, &into_t1()).await.unwrap();
        let route = handle.route().unwrap();
        assert!(
            matches!(route, Route::Queued { because: FallbackReason::TooLarge, attempts: 0 }),
            "{route:?}"
        );
        assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    }
    let bodies = site.requests("POST", "/v1/rest/ingest/");
    assert!(bodies.iter().all(|seen| seen.body.len() <= MAX_STREAMED));
    assert_eq!(site.count("db1", "t1").await, 7 + 600_000 + 3 * 800_000);
    site.stop().await;
}

#[tokio::test]
async fn tables_that_cannot_be_streamed_to_are_remembered() {
    let site = Site::new().await;
    site.command("db1", ".alter table t1 policy streamingingestion disable").await;
    let strict = ManagedStreamingIngestClient::new(&site.cluster);
    let error = strict.ingest(Source::bytes("1,a,1\n"), &into_t1()).await.unwrap_err();
    assert_eq!(error.code(), Some("BadRequest_StreamingIngestionPolicyNotEnabled"));
    let policy = DefaultManagedStreamingPolicy { continue_when_streaming_is_off: true, ..Default::default() };
    let managed = ManagedStreamingIngestClient::new(&site.cluster).with_policy(policy);
    site.clear();
    for expected in ["streaming_off", "remembered", "remembered"] {
        let handle = managed.ingest(Source::bytes("1,a,1\n"), &into_t1()).await.unwrap();
        let route = serde_json::to_value(handle.route().unwrap()).unwrap();
        assert_eq!(route["because"]["reason"], expected, "{route}");
        assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    }
    assert_eq!(site.requests("POST", "/v1/rest/ingest/").len(), 1, "a remembered table is not tried");
    // Another table is none of this one's business.
    site.command("db1", ".create table t2 (id:long)").await;
    let other = IngestionProperties::new("db1", "t2").unwrap();
    let handle = managed.ingest(Source::bytes("1\n"), &other).await.unwrap();
    assert_eq!(handle.route(), Some(&Route::Streamed { attempt: 1 }));
    site.stop().await;
}

#[tokio::test]
async fn queries_fill_tables_and_capacity_is_kept() {
    let site = Site::new().await;
    let direct = DirectIngestClient::new(&site.cluster);
    let into = |table: &str| IngestionProperties::new("db1", table).unwrap();
    let numbers = "print id=1, name='a', v=0.5";
    let run = async |ingestion: QueryIngestion, table: &str| {
        direct.ingest_from_query(&ingestion, &into(table)).await
    };
    run(QueryIngestion::set(numbers).in_folder("f"), "q").await.unwrap();
    let exists = run(QueryIngestion::set(numbers), "q").await.unwrap_err();
    assert_eq!(exists.code(), Some("BadRequest_EntityNameAlreadyExists"));
    run(QueryIngestion::append(numbers), "q").await.unwrap();
    run(QueryIngestion::set_or_append(numbers), "q").await.unwrap();
    assert_eq!(site.count("db1", "q").await, 3);
    let handle = run(QueryIngestion::set_or_replace(numbers), "q").await.unwrap();
    assert_eq!(handle.ingested().await, Outcome::Succeeded);
    assert_eq!(site.count("db1", "q").await, 1);
    let mismatch = run(QueryIngestion::append("print x='text'"), "q").await.unwrap_err();
    assert!(mismatch.is_permanent());
    let slow = DirectIngestClient::new(&site.cluster).with_execution(Execution::Async);
    let handle = slow.ingest_from_query(&QueryIngestion::append(numbers), &into("q")).await.unwrap();
    let handle = slow.resume(&handle.to_json()).unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    let failing = slow.ingest_from_query(&QueryIngestion::append("print x='t'"), &into("q")).await.unwrap();
    assert!(matches!(failing.ingested_within(LIMIT).await, Outcome::Failed { permanent: true, .. }));
    // The engine takes four at once on this machine; the client sends no more, so that
    // none of forty is refused.
    site.clear();
    let all = (0..40).map(|i| {
        let direct = direct.clone();
        async move { direct.ingest(Source::bytes(format!("{i},a,1\n")), &into_t1()).await }
    });
    for handle in futures_util::future::join_all(all).await {
        assert_eq!(handle.unwrap().ingested().await, Outcome::Succeeded);
    }
    assert_eq!(site.count("db1", "t1").await, 40);
    assert!(site.seen().iter().all(|seen| seen.status != 429));
    site.stop().await;
}

#[tokio::test]
async fn reports_are_read_from_the_queues_and_none_is_lost() {
    let site = Site::new().await;
    let client = with(&site, Protocol::Queue);
    let reporting = IngestionProperties::new("db1", "t1")
        .unwrap()
        .with_reporting(ReportLevel::FailuresAndSuccesses, ReportMethod::QueueAndTable);
    let all = (0..40).map(async |i| {
        let handle = client.ingest(Source::bytes(format!("{i},\"a\n")), &reporting).await.unwrap();
        handle.ingested_within(LIMIT).await;
        handle.source_id().to_string()
    });
    let ids: std::collections::HashSet<String> =
        futures_util::future::join_all(all).await.into_iter().collect();
    let good = client.ingest(Source::bytes("1,a,1\n"), &reporting).await.unwrap();
    assert_eq!(good.ingested_within(LIMIT).await, Outcome::Succeeded);
    let failures = client.failures();
    let ours = |reports: &[FailureMessage]| {
        reports.iter().filter(|report| ids.contains(&report.ingestion_source_id)).count()
    };
    let peeked = failures.peek(10).await.unwrap();
    assert_eq!(peeked.len(), 10);
    // What is taken and not acknowledged comes back.
    let leases = failures.receive(40, Duration::from_secs(1)).await.unwrap();
    assert_eq!(leases.len(), 40);
    drop(leases);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut popped = Vec::new();
    while popped.len() < 40 {
        let some = failures.pop(17).await.unwrap();
        assert!(!some.is_empty() && some.len() <= 17);
        popped.extend(some);
    }
    assert_eq!(ours(&popped), 40);
    assert!(failures.pop(10).await.unwrap().is_empty());
    let successes = client.successes().pop(10).await.unwrap();
    assert_eq!(successes.len(), 1);
    assert_eq!(successes[0].ingestion_source_id, good.source_id().to_string());
    site.stop().await;
}

#[tokio::test]
async fn uploads_go_where_the_caller_says() {
    let site = Site::new().await;
    let container = container(&site).await;
    let own = ContainerUploader::new([container.clone()]).unwrap();
    let client = QueuedIngestClient::with_options(&site.cluster, IngestOptions::default().containers(own));
    let handle = client.ingest(Source::bytes(rows(5)), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);

    /// Fails once, then puts the blob with a request of its own.
    struct Custom(SecretUrl, Mutex<usize>);
    impl Uploader for Custom {
        fn upload<'u>(
            &'u self,
            name: &'u str,
            mut body: futures_util::stream::BoxStream<'u, Result<Bytes, Error>>,
        ) -> futures_util::future::BoxFuture<'u, Result<SecretUrl, Error>> {
            Box::pin(async move {
                let mut bytes = Vec::new();
                while let Some(block) = body.next().await {
                    bytes.extend_from_slice(&block?);
                    let mut calls = self.1.lock().unwrap();
                    *calls += 1;
                    if *calls == 1 {
                        return Err(Error::new(ErrorKind::Service, "not yet"));
                    }
                }
                Ok(put(&self.0, name, bytes).await)
            })
        }
    }
    let custom = IngestOptions::default().uploader(Custom(container, Mutex::new(0)));
    let client = QueuedIngestClient::with_options(&site.cluster, custom);
    let handle = client.ingest(Source::bytes(noise(200_000)), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(site.count("db1", "t1").await, 200_005);
    site.stop().await;
}

#[tokio::test]
async fn progress_is_told_and_ends_with_the_outcome() {
    let site = Site::new().await;
    let progress = Progress::default();
    let mut events = progress.events();
    let source = Source::bytes(noise(300_000));
    let id = source.id();
    let size = noise(300_000).len() as u64;
    let client = with(&site, Protocol::Queue);
    let handle = client.ingest(source, &into_t1()).with_progress(&progress).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(progress.read(), size);
    drop((progress, handle));
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event);
    }
    assert!(matches!(seen.first(), Some(ProgressEvent::Read(_))));
    assert!(seen.contains(&ProgressEvent::Read(size)));
    assert!(seen.contains(&ProgressEvent::Accepted(id)));
    assert_eq!(seen.last(), Some(&ProgressEvent::Decided(id, Outcome::Succeeded)));
    site.stop().await;
}

#[test]
fn the_blocking_clients_wait() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = runtime.block_on(Site::new());
    let client = blocking::Blocking::new(with(&site, Protocol::Queue)).unwrap();
    let handle = client.ingest(Source::bytes(rows(4)), &into_t1()).unwrap();
    assert_eq!(handle.ingested_within(LIMIT), Outcome::Succeeded);
    assert_eq!(handle.details().unwrap().len(), 1);
    assert!(client.resume(&handle.handle().to_json()).unwrap().ingested().is_success());
    runtime.block_on(async {
        assert_eq!(site.count("db1", "t1").await, 4);
        site.stop().await;
    });
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn rows_of_a_type_become_rows_of_a_table() {
    #[derive(serde::Serialize)]
    struct Row {
        id: i64,
        name: String,
        v: f64,
    }
    let row = |id: i64| Row { id, name: format!("naïve \"{id}\""), v: 0.25 };
    let site = Site::new().await;
    let target = IngestionProperties::new("db1", "t1").unwrap().tracked();
    for source in
        [Source::rows((0..1000).map(row).collect::<Vec<_>>()), Source::rows_once((0..1000).map(row))]
    {
        let handle = with(&site, Protocol::Rest).ingest(source, &target).await.unwrap();
        assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    }
    let result =
        site.cluster.query("db1", "t1 | where name == 'naïve \"7\"' and v == 0.25 | count").await.unwrap();
    assert_eq!(result.tables[0].rows[0][0], 2);
    let wrong = with(&site, Protocol::Rest).ingest(Source::rows(vec![1, 2, 3]), &target).await.unwrap_err();
    assert!(std::error::Error::source(&wrong).unwrap().to_string().contains("JSON object"), "{wrong}");
    site.stop().await;
}

#[cfg(feature = "arrow")]
#[tokio::test]
async fn record_batches_become_rows_of_a_table() {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchIterator, StringArray};
    let batch = |from: i64| {
        let ids = Int64Array::from_iter_values(from..from + 1000);
        let names = StringArray::from_iter_values((from..from + 1000).map(|id| format!("n{id}")));
        let values = Float64Array::from_iter_values((0..1000).map(|_| 0.5));
        RecordBatch::try_from_iter([
            ("id", Arc::new(ids) as ArrayRef),
            ("name", Arc::new(names)),
            ("v", Arc::new(values)),
        ])
        .unwrap()
    };
    let site = Site::new().await;
    let batches: Vec<RecordBatch> = (0..5).map(|i| batch(i * 1000)).collect();
    let schema = batches[0].schema();
    let mapping = Mapping::of_arrow_schema(&schema).unwrap();
    let target = IngestionProperties::new("db1", "t1").unwrap().tracked();
    let mapped = target.clone().with_mapping(mapping);
    let stream = futures_util::stream::iter(batches.clone().into_iter().map(Ok));
    let reader = RecordBatchIterator::new(batches.clone().into_iter().map(Ok), schema.clone());
    for (source, target) in [
        (Source::record_batches(batches).unwrap(), &target),
        (Source::record_batch_stream(schema, stream), &mapped),
        (Source::record_batch_reader(reader), &mapped),
    ] {
        let handle = with(&site, Protocol::Rest).ingest(source, target).await.unwrap();
        assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    }
    let result = site
        .cluster
        .query("db1", "t1 | summarize count(), dcount(id), countif(name == strcat('n', tostring(id)))")
        .await
        .unwrap();
    assert_eq!(result.tables[0].rows[0], [15_000, 5_000, 15_000].map(serde_json::Value::from));
    assert!(Source::record_batches(Vec::new()).is_err());
    site.stop().await;
}

#[tokio::test]
async fn uploads_go_to_a_data_lake_where_that_is_wanted() {
    let site = Site::new().await;
    let options = IngestOptions::default().upload_method(UploadMethod::Lake).memory_budget(4 << 20);
    let client = QueuedIngestClient::with_options(&site.cluster, options);
    let result = client.ingest(Source::bytes(noise(100_000)), &into_t1()).await;
    if std::env::var("KIN_TEST_STORAGE").is_ok() {
        // Azurite has no data lake, and the service says so by naming no folders.
        assert!(result.unwrap_err().to_string().contains("no lake folders"));
        return site.stop().await;
    }
    assert_eq!(result.unwrap().ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(site.count("db1", "t1").await, 100_000);
    assert!(
        site.requests("PATCH", "action=append").len() >= 4 && site.requests("PUT", "comp=block").is_empty()
    );
    // A folder that fails is passed over, and the flush is sent again when its answer is lost.
    let dead = Mutex::new(None::<String>);
    let flushed = Mutex::new(false);
    site.inject(move |seen| {
        let container = seen.path.split('/').nth(2).unwrap_or_default().to_owned();
        if seen.is("PATCH", "action=flush") && !std::mem::replace(&mut *flushed.lock().unwrap(), true) {
            return Fault::LoseAnswer;
        }
        let first = dead.lock().unwrap().get_or_insert(container.clone()).clone();
        if seen.is("PUT", "resource=file") && container == first { Fault::status(500) } else { Fault::None }
    });
    let handle = client.ingest(Source::bytes(noise(1000)), &into_t1()).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    assert_eq!(site.count("db1", "t1").await, 101_000);
    site.stop().await;
}
