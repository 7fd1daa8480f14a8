//! What the client never exceeds: its requests while ten thousand handles wait, the time
//! and the tasks that a cancelled call leaves, the memory for a source of any size.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends at the first surprise")]

mod support;

use kusto_ingest::*;
use std::time::{Duration, Instant};
use support::{Fault, LIMIT, Site, into_t1, noise};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_handles_are_one_poller() {
    let site = Site::new().await;
    let client = QueuedIngestClient::with_options(
        &site.cluster,
        IngestOptions::default().protocol(Protocol::Queue).polling(PollPolicy {
            concurrency: 8,
            per_second: 2000,
            ..PollPolicy::default()
        }),
    );
    let first = client.ingest(Source::bytes("1,a,1\n"), &into_t1()).await.unwrap();
    // Ten thousand sources, each with a status row of its own: the blob is the same.
    assert_eq!(first.ingested_within(LIMIT).await, Outcome::Succeeded);
    let template = serde_json::from_str::<serde_json::Value>(&first.to_json()).unwrap();
    let handles: Vec<IngestionHandle> = (0..10_000)
        .map(|i| {
            let mut saved = template.clone();
            // Every tenth source is the real one; the rows of the others do not exist, as
            // after a lost queue.
            if i % 10 != 0 {
                let id = SourceId::random().to_string();
                saved["source_id"] = id.as_str().into();
                saved["standing"]["keys"][0]["source_id"] = id.as_str().into();
            }
            client.resume(&saved.to_string()).unwrap()
        })
        .collect();
    site.clear();
    let begun = Instant::now();
    let outcomes = futures_util::future::join_all(handles.iter().map(IngestionHandle::ingested)).await;
    let took = begun.elapsed().as_secs_f64();
    let good = outcomes.iter().filter(|outcome| **outcome == Outcome::Succeeded).count();
    let unknown = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unknown { .. })).count();
    assert_eq!((good, unknown), (1000, 9000), "a lost queue is unknown, never a success");
    // The thousand handles of one source ask together.
    let asked = site.requests("GET", "ingestionsstatus").len();
    assert_eq!(asked, 9001);
    assert!(asked as f64 <= took * 2000.0 + 16.0, "{asked} questions in {took} s");
    assert!(site.open_connections() <= 16, "{} connections", site.open_connections());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_leaves_nothing_behind() {
    let site = Site::new().await;
    let transport = Transport::builder().retry(support::quick_retry()).build().unwrap();
    let cluster = KustoClient::with_transport(
        Endpoint::parse(&site.url).unwrap(),
        Credential::none(),
        transport.clone(),
    );
    let options = IngestOptions::default().protocol(Protocol::Queue).memory_budget(4 << 20);
    let client = QueuedIngestClient::with_options(&cluster, options);
    // Storage and service answer slowly, so that the points are spread over the whole call.
    site.inject(|_| Fault::Late(Duration::from_millis(20)));
    let text = noise(60_000);
    let whole = Instant::now();
    client.ingest(Source::bytes(text.clone()), &into_t1()).await.unwrap();
    let whole = whole.elapsed();
    let metrics = tokio::runtime::Handle::current().metrics();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let tasks = metrics.num_alive_tasks();
    let mut seed = 1u64;
    let mut slowest = Duration::ZERO;
    for point in 0..100 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let limit = whole.mul_f64((seed >> 11) as f64 / (1u64 << 53) as f64);
        let source = match point % 3 {
            0 => Source::bytes(text.clone()),
            1 => Source::reader(std::io::Cursor::new(text.clone().into_bytes())),
            _ => {
                let some = text.as_bytes()[..100_000 + point * 10_000].to_vec();
                Source::reader(Stuck(std::io::Cursor::new(some)))
            }
        };
        let call = client.ingest(source, &into_t1());
        // The deadline and the drop of the future end it alike.
        let begun = Instant::now();
        let ended = if point % 2 == 0 {
            tokio::time::timeout(limit, call.into_future()).await.map_or(Ok(()), |result| result.map(drop))
        } else {
            call.within(limit).await.map(drop)
        };
        let late = begun.elapsed().saturating_sub(limit);
        slowest = slowest.max(late);
        assert!(
            ended.is_ok() || ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::Deadline),
            "{ended:?}"
        );
    }
    // Printed to be read on a quiet machine; asserted far above, so that only a call which
    // does not end fails the test on a busy one.
    println!("100 cancelled calls ended within {slowest:?} of their limit");
    assert!(slowest < Duration::from_secs(5), "a cancelled call took {slowest:?} more");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let left = metrics.num_alive_tasks();
    // The proxy's connections and the client's idle ones are tasks too.
    let connections = site.open_connections();
    assert!(left <= tasks + 3 * connections, "{left} tasks, {tasks} before, {connections} connections");
    // Every byte of the budget is back: a large source goes through at once.
    site.inject(|_| Fault::None);
    let handle = client.ingest(Source::bytes(text), &into_t1()).within(LIMIT).await.unwrap();
    assert_eq!(handle.ingested_within(LIMIT).await, Outcome::Succeeded);
    site.stop().await;
}

/// Some bytes, and then nothing for ever.
struct Stuck(std::io::Cursor<Vec<u8>>);

impl tokio::io::AsyncRead for Stuck {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.0.position() == self.0.get_ref().len() as u64 {
            return std::task::Poll::Pending;
        }
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}
