//! The fault matrix: each way of ingesting under each fault of the network, of storage
//! and of the service. A case says what is injected, and how many requests, which bytes
//! and which outcome must follow; the rows in the table are counted every time.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod official;
#[path = "../support/mod.rs"]
mod support;

use futures_util::StreamExt;
use kusto_ingest::*;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Fault, LIMIT, Seen, Site, gunzipped, into_t1, noise, rows};

type Rule = Box<dyn Fn(&Seen) -> Fault + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Queue,
    Rest,
    Streaming,
    Managed,
    Direct,
}

/// What is ingested.
#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// Ten rows: one request uploads them.
    Small,
    /// Ten rows, read once.
    SmallOnce,
    /// 100,000 rows that do not compress well: several blocks.
    Large,
    /// The same, read once.
    LargeOnce,
}

impl What {
    fn rows(self) -> u64 {
        match self {
            Self::Small | Self::SmallOnce => 10,
            Self::Large | Self::LargeOnce => 100_000,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Small | Self::SmallOnce => rows(10),
            Self::Large | Self::LargeOnce => noise(100_000),
        }
    }

    fn source(self) -> Source {
        match self {
            Self::Small | Self::Large => Source::bytes(self.text()),
            Self::SmallOnce | Self::LargeOnce => {
                Source::reader(std::io::Cursor::new(self.text().into_bytes()))
            }
        }
    }
}

/// How a case ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// In the table, once.
    Ingested,
    /// In the table, once; the last answer says that it was there already.
    There,
    /// The call fails with this kind, and nothing is in the table.
    Fails(ErrorKind),
    /// The call fails though the rows are in the table: the answer was lost.
    FailsIngested(ErrorKind),
}

struct Case {
    name: String,
    way: Way,
    what: What,
    rule: Rule,
    end: End,
    /// How many requests of a method with this in their URL there must be.
    requests: Vec<(&'static str, &'static str, usize)>,
    /// How many times a whole source may have been sent at most, in all requests.
    times: f64,
    properties: IngestionProperties,
    route: Option<&'static str>,
}

fn case(
    name: impl Into<String>,
    way: Way,
    what: What,
    rule: impl Fn(&Seen) -> Fault + Send + Sync + 'static,
) -> Case {
    Case {
        name: name.into(),
        way,
        what,
        rule: Box::new(rule),
        end: End::Ingested,
        requests: Vec::new(),
        times: 1.0,
        properties: into_t1(),
        route: None,
    }
}

impl Case {
    fn ends(mut self, end: End) -> Self {
        self.end = end;
        self
    }
    fn with(mut self, method: &'static str, part: &'static str, count: usize) -> Self {
        self.requests.push((method, part, count));
        self
    }
    fn sends(mut self, times: f64) -> Self {
        self.times = times;
        self
    }
    fn by(mut self, properties: IngestionProperties) -> Self {
        self.properties = properties;
        self
    }
    fn goes(mut self, route: &'static str) -> Self {
        self.route = Some(route);
        self
    }
}

/// The fault for the first `count` requests of a kind, then none.
fn first(
    count: usize,
    method: &'static str,
    part: &'static str,
    fault: Fault,
) -> impl Fn(&Seen) -> Fault + Send + Sync + 'static {
    let left = AtomicUsize::new(count);
    move |seen| {
        let hit = seen.is(method, part)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if hit { fault.clone() } else { Fault::None }
    }
}

/// The fault for each different request of a kind, at its first attempt.
fn each_once(
    method: &'static str,
    part: &'static str,
    fault: Fault,
) -> impl Fn(&Seen) -> Fault + Send + Sync + 'static {
    let known = Mutex::new(HashSet::new());
    move |seen| {
        let hit =
            seen.is(method, part) && known.lock().unwrap().insert((seen.path.clone(), seen.query.clone()));
        if hit { fault.clone() } else { Fault::None }
    }
}

fn always(
    method: &'static str,
    part: &'static str,
    fault: Fault,
) -> impl Fn(&Seen) -> Fault + Send + Sync + 'static {
    first(usize::MAX, method, part, fault)
}

/// The first `count` containers that are tried are dead.
fn dead_containers(count: usize, fault: Fault) -> impl Fn(&Seen) -> Fault + Send + Sync + 'static {
    let dead = Mutex::new(Vec::<String>::new());
    move |seen| {
        let Some((container, _)) =
            seen.path.strip_prefix("/kinstore/ingest").and_then(|rest| rest.split_once('/'))
        else {
            return Fault::None;
        };
        let mut dead = dead.lock().unwrap();
        if dead.len() < count && !dead.iter().any(|known| known == container) {
            dead.push(container.to_owned());
        }
        if dead.iter().any(|known| known == container) { fault.clone() } else { Fault::None }
    }
}

fn expired() -> Fault {
    Fault::Answer(403, vec![("x-ms-error-code", "AuthenticationFailed".to_owned())], String::new())
}

fn throttled(after: u64) -> Fault {
    Fault::Answer(429, vec![("retry-after", after.to_string())], String::new())
}

const BLOB: &str = "/kinstore/ingest";
const BLOCK: &str = "comp=block&";
const LIST: &str = "comp=blocklist";
const MESSAGES: &str = "/messages";
const STATUS: &str = "/ingestionsstatus";
const SUBMIT: &str = "/ingestion/queued/";
const STREAM: &str = "/v1/rest/ingest/";

fn cases() -> Vec<Case> {
    use End::*;
    use What::*;
    let server = || Fault::kusto(503, "General_InternalServerError", "busy", false);
    let permanent = || Fault::kusto(400, "BadRequest_InvalidBlob", "never", true);
    let mut cases = vec![
        case("no fault, small", Way::Queue, Small, |_| Fault::None)
            .with("PUT", BLOB, 1)
            .with("POST", STATUS, 1)
            .with("POST", MESSAGES, 1),
        case("no fault, large", Way::Queue, Large, |_| Fault::None)
            .with("PUT", BLOCK, 4)
            .with("PUT", LIST, 1),
        // Storage.
        case("every block 503 once", Way::Queue, Large, each_once("PUT", BLOCK, Fault::status(503)))
            .with("PUT", BLOCK, 8)
            .with("PUT", LIST, 1)
            .sends(2.0),
        case("every block throttled once", Way::Rest, Large, each_once("PUT", BLOCK, throttled(0)))
            .with("PUT", BLOCK, 8)
            .sends(2.0),
        case(
            "every block's answer is lost once",
            Way::Queue,
            LargeOnce,
            each_once("PUT", BLOCK, Fault::LoseAnswer),
        )
        .with("PUT", BLOCK, 8)
        .with("PUT", LIST, 1)
        .sends(2.0),
        case("the block list's answer is lost", Way::Queue, Large, first(1, "PUT", LIST, Fault::LoseAnswer))
            .with("PUT", LIST, 2),
        case(
            "a block is answered too late",
            Way::Queue,
            Large,
            first(1, "PUT", BLOCK, Fault::Late(Duration::from_secs(4))),
        )
        .with("PUT", BLOCK, 5)
        .sends(1.3),
        case("a small blob 503 once", Way::Queue, SmallOnce, first(1, "PUT", BLOB, Fault::status(503)))
            .with("PUT", BLOB, 2)
            .sends(2.0),
        case("a permanent 400 of storage", Way::Queue, Small, always("PUT", BLOB, Fault::status(400)))
            .with("PUT", BLOB, 3)
            .with("POST", MESSAGES, 0)
            .ends(Fails(ErrorKind::Rejected))
            .sends(3.0),
        case("signatures run out", Way::Queue, Small, first(3, "PUT", BLOB, expired()))
            .with("PUT", BLOB, 4)
            .with("POST", "/v1/rest/mgmt", 4)
            .sends(4.0),
        case("signatures run out, v2", Way::Rest, SmallOnce, first(3, "PUT", BLOB, expired()))
            .with("PUT", BLOB, 4)
            .with("GET", "/configuration", 2)
            .sends(4.0),
        case("signatures are refused for ever", Way::Queue, Small, always("PUT", BLOB, expired()))
            .with("PUT", BLOB, 6)
            .ends(Fails(ErrorKind::Unauthorized))
            .sends(6.0),
        // A stream that is read once survives dead containers too: nothing was let go.
        case("one dead container", Way::Queue, LargeOnce, dead_containers(1, Fault::status(500))).sends(2.7),
        case("two dead containers", Way::Queue, Large, dead_containers(2, Fault::status(500))).sends(4.5),
        case("two dead containers, small", Way::Rest, SmallOnce, dead_containers(2, Fault::status(500)))
            .with("PUT", BLOB, 5)
            .sends(5.0),
        case("three dead containers", Way::Queue, Small, dead_containers(3, Fault::status(500)))
            .with("PUT", BLOB, 6)
            .with("POST", MESSAGES, 0)
            .ends(Fails(ErrorKind::Service))
            .sends(6.0),
        case("containers break connections", Way::Queue, Large, dead_containers(2, Fault::ResetWithin(1000)))
            .sends(4.5),
        // The v1 protocol.
        case("the status row 503 once", Way::Queue, Small, first(1, "POST", STATUS, Fault::status(503)))
            .with("POST", STATUS, 2)
            .with("POST", MESSAGES, 1),
        case(
            "the status row's answer is lost",
            Way::Queue,
            Small,
            first(1, "POST", STATUS, Fault::LoseAnswer),
        )
        .with("POST", STATUS, 2)
        .with("POST", MESSAGES, 1),
        // An upsert answers 204 for ever; an official client inserts until it is refused.
        case("the status row is an upsert", Way::Queue, Small, always("POST", STATUS, Fault::status(204)))
            .with("POST", STATUS, 1)
            .with("POST", MESSAGES, 1)
            .by(IngestionProperties::new("db1", "t1")
                .unwrap()
                .with_reporting(ReportLevel::None, ReportMethod::Table)),
        case("a queue is dead", Way::Queue, Small, first(2, "POST", MESSAGES, Fault::status(500)))
            .with("POST", MESSAGES, 3),
        case("all queues are dead", Way::Queue, Small, always("POST", MESSAGES, Fault::status(500)))
            .with("POST", MESSAGES, 6)
            .ends(Fails(ErrorKind::Service)),
        case(
            "the message's answer is lost",
            Way::Queue,
            Small,
            first(1, "POST", MESSAGES, Fault::LoseAnswer),
        )
        .with("POST", MESSAGES, 2),
        case(
            "the resources are no JSON",
            Way::Queue,
            Small,
            always("POST", "/v1/rest/mgmt", Fault::Answer(200, Vec::new(), "<html>".to_owned())),
        )
        .with("POST", "/v1/rest/mgmt", 1)
        .ends(Fails(ErrorKind::Protocol))
        .sends(0.0),
        case("the resources 503 once", Way::Queue, Small, first(1, "POST", "/v1/rest/mgmt", server())).with(
            "POST",
            "/v1/rest/mgmt",
            3,
        ),
        case(
            "the resources are refused",
            Way::Queue,
            Small,
            always("POST", "/v1/rest/mgmt", Fault::kusto(403, "Forbidden", "no", true)),
        )
        .with("POST", "/v1/rest/mgmt", 1)
        .ends(Fails(ErrorKind::Unauthorized))
        .sends(0.0),
        // The v2 protocol.
        case("the request 503 once", Way::Rest, Small, first(1, "POST", SUBMIT, server()))
            .with("POST", SUBMIT, 2),
        case("the request is throttled once", Way::Rest, Small, first(1, "POST", SUBMIT, throttled(1)))
            .with("POST", SUBMIT, 2),
        case("the request's answer is lost", Way::Rest, Small, first(1, "POST", SUBMIT, Fault::LoseAnswer))
            .with("POST", SUBMIT, 2),
        case("the request is wrong", Way::Rest, Small, always("POST", SUBMIT, permanent()))
            .with("POST", SUBMIT, 1)
            .ends(Fails(ErrorKind::Rejected)),
        case(
            "500 that is permanent",
            Way::Rest,
            Small,
            always("POST", SUBMIT, Fault::kusto(500, "x", "never", true)),
        )
        .with("POST", SUBMIT, 1)
        .ends(Fails(ErrorKind::Service)),
        case("the request breaks off", Way::Rest, Small, first(1, "POST", SUBMIT, Fault::ResetWithin(10)))
            .with("POST", SUBMIT, 2),
        case(
            "the answer is no JSON",
            Way::Rest,
            Small,
            always("POST", SUBMIT, Fault::Answer(200, Vec::new(), "{".to_owned())),
        )
        .with("POST", SUBMIT, 1)
        .ends(Fails(ErrorKind::Protocol)),
        // Streaming.
        case("503 once", Way::Streaming, Small, first(1, "POST", STREAM, server()))
            .with("POST", STREAM, 2)
            .sends(2.0),
        case("throttled once", Way::Streaming, Small, first(1, "POST", STREAM, throttled(1)))
            .with("POST", STREAM, 2)
            .sends(2.0),
        case("the answer is lost", Way::Streaming, SmallOnce, first(1, "POST", STREAM, Fault::LoseAnswer))
            .with("POST", STREAM, 2)
            .sends(2.0),
        case("breaks off", Way::Streaming, Small, first(1, "POST", STREAM, Fault::ResetWithin(10)))
            .with("POST", STREAM, 2)
            .sends(2.0),
        case("permanent", Way::Streaming, Small, always("POST", STREAM, permanent()))
            .with("POST", STREAM, 1)
            .ends(Fails(ErrorKind::Rejected)),
        case("503 for ever", Way::Streaming, Small, always("POST", STREAM, server()))
            .with("POST", STREAM, 2)
            .ends(Fails(ErrorKind::Service))
            .sends(2.0),
        // Managed streaming: the pauses of its policy are short here.
        case("503 once", Way::Managed, Small, first(1, "POST", STREAM, server()))
            .with("POST", STREAM, 2)
            .goes("streamed")
            .sends(2.0),
        case("503 for ever", Way::Managed, SmallOnce, always("POST", STREAM, server()))
            .with("POST", STREAM, 4)
            .with("POST", SUBMIT, 1)
            .goes("transient_failures")
            .sends(5.0),
        case("the answer is lost", Way::Managed, Small, first(1, "POST", STREAM, Fault::LoseAnswer))
            .with("POST", STREAM, 2)
            .goes("streamed")
            .sends(2.0),
        // Streamed, not heard of, queued: once in the table all the same.
        case("every answer is lost", Way::Managed, Small, always("POST", STREAM, Fault::LoseAnswer))
            .with("POST", STREAM, 4)
            .with("POST", SUBMIT, 1)
            .goes("transient_failures")
            .sends(5.0),
        case("permanent", Way::Managed, Small, always("POST", STREAM, permanent()))
            .with("POST", STREAM, 1)
            .with("POST", SUBMIT, 0)
            .ends(Fails(ErrorKind::Rejected)),
        case(
            "500 that is permanent",
            Way::Managed,
            Small,
            always("POST", STREAM, Fault::kusto(500, "x", "never", true)),
        )
        .with("POST", STREAM, 1)
        .ends(Fails(ErrorKind::Service)),
        case("throttled for long", Way::Managed, Small, always("POST", STREAM, throttled(60)))
            .with("POST", STREAM, 1)
            .with("POST", SUBMIT, 1)
            .goes("throttled")
            .sends(2.0),
        case("too large for the engine", Way::Managed, SmallOnce, always("POST", STREAM, Fault::status(413)))
            .with("POST", STREAM, 1)
            .goes("too_large")
            .sends(2.0),
        case("an engine without streaming", Way::Managed, Small, always("POST", STREAM, Fault::status(404)))
            .with("POST", STREAM, 1)
            .goes("streaming_off")
            .sends(2.0),
        case("breaks off", Way::Managed, Small, first(2, "POST", STREAM, Fault::ResetWithin(5)))
            .with("POST", STREAM, 3)
            .goes("streamed")
            .sends(3.0),
        // Direct: commands must not run twice.
        case(
            "throttled once",
            Way::Direct,
            Small,
            refuse_commands(1, Fault::Answer(429, vec![("retry-after", "1".to_owned())], String::new())),
        )
        .with("POST", "/v1/rest/mgmt", 3)
        .sends(2.0),
        case("503 once", Way::Direct, Small, refuse_commands(1, server()))
            .with("POST", "/v1/rest/mgmt", 3)
            .sends(2.0),
        case("permanent", Way::Direct, Small, refuse_commands(9, permanent()))
            .with("POST", "/v1/rest/mgmt", 2)
            .ends(Fails(ErrorKind::Rejected)),
        case("the answer is lost", Way::Direct, Small, refuse_commands(1, Fault::LoseAnswer))
            .with("POST", "/v1/rest/mgmt", 2)
            .ends(FailsIngested(ErrorKind::Unreachable)),
        case(
            "the answer is lost, and a tag makes it safe",
            Way::Direct,
            Small,
            refuse_commands(1, Fault::LoseAnswer),
        )
        .with("POST", "/v1/rest/mgmt", 3)
        .by(into_t1().once_as("x"))
        .ends(There)
        .sends(2.0),
        case(
            "large, and every block 503 once",
            Way::Direct,
            Large,
            each_once("PUT", BLOCK, Fault::status(503)),
        )
        .with("PUT", BLOCK, 8)
        .sends(2.0),
    ];
    // Each block of a source breaks off alone, at its beginning and near its end.
    for block in 0..4 {
        for (within, what) in [(1, Large), (500_000, LargeOnce)] {
            let id = url::form_urlencoded::byte_serialize(block_id(block).as_bytes()).collect::<String>();
            let left = AtomicUsize::new(1);
            let rule = move |seen: &Seen| {
                let hit = seen.query.contains(&format!("blockid={id}&"))
                    && left
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                        .is_ok();
                // The last block is shorter than that.
                if hit { Fault::ResetWithin(if block == 3 { 1 } else { within }) } else { Fault::None }
            };
            cases.push(
                case(format!("block {block} breaks off after {within} bytes"), Way::Queue, what, rule)
                    .with("PUT", BLOCK, 5)
                    .with("PUT", LIST, 1)
                    .sends(1.3),
            );
        }
    }
    cases
}

/// As the client writes the ids of blocks.
fn block_id(index: usize) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{index:012}"))
}

/// The fault for the first `count` ingestion commands. The rule sees no body, so it
/// counts: the first management request of a direct client asks for the capacity.
fn refuse_commands(count: usize, fault: Fault) -> impl Fn(&Seen) -> Fault + Send + Sync + 'static {
    let seen_before = AtomicUsize::new(0);
    move |seen| {
        if !seen.is("POST", "/v1/rest/mgmt") {
            return Fault::None;
        }
        let number = seen_before.fetch_add(1, Ordering::SeqCst);
        if number >= 1 && number <= count { fault.clone() } else { Fault::None }
    }
}

fn quick_policy() -> DefaultManagedStreamingPolicy {
    DefaultManagedStreamingPolicy {
        pauses: vec![Duration::from_millis(5); 3],
        jitter: Duration::ZERO,
        continue_when_streaming_is_off: true,
        ..Default::default()
    }
}

/// Blocks of 592 KiB, so that a few megabytes are several.
fn options(protocol: Protocol) -> IngestOptions {
    IngestOptions::default().protocol(protocol).memory_budget(4 << 20)
}

async fn ingest(site: &Site, case: &Case) -> Result<IngestionHandle, Error> {
    let (source, properties) = (case.what.source(), &case.properties);
    match case.way {
        Way::Queue => {
            QueuedIngestClient::with_options(&site.cluster, options(Protocol::Queue))
                .ingest(source, properties)
                .await
        }
        Way::Rest => {
            QueuedIngestClient::with_options(&site.cluster, options(Protocol::Rest))
                .ingest(source, properties)
                .await
        }
        Way::Streaming => StreamingIngestClient::new(&site.cluster).ingest(source, properties).await,
        Way::Managed => {
            let options = options(Protocol::Rest).memory_budget(64 << 20);
            ManagedStreamingIngestClient::with_options(&site.cluster, options)
                .with_policy(quick_policy())
                .ingest(source, properties)
                .await
        }
        Way::Direct => {
            DirectIngestClient::with_options(&site.cluster, options(Protocol::Queue))
                .ingest(source, properties)
                .await
        }
    }
}

/// The blob that uploads made, from the blocks that were answered with success.
fn blobs(seen: &[Seen]) -> HashMap<String, Vec<u8>> {
    let mut blocks: HashMap<(String, String), Vec<u8>> = HashMap::new();
    let mut blobs = HashMap::new();
    for seen in seen.iter().filter(|seen| seen.method == "PUT" && seen.path.starts_with(BLOB)) {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        match query.get("comp").map(String::as_str) {
            Some("block") => {
                // A block whose answer was lost is there as well.
                blocks.insert((seen.path.clone(), query["blockid"].clone()), seen.body.to_vec());
            }
            Some("blocklist") => {
                let ids =
                    kusto_wire::storage::decode_block_list(std::str::from_utf8(&seen.body).unwrap()).unwrap();
                let whole =
                    ids.iter().flat_map(|id| blocks[&(seen.path.clone(), id.clone())].clone()).collect();
                blobs.insert(seen.path.clone(), whole);
            }
            _ => {
                blobs.insert(seen.path.clone(), seen.body.to_vec());
            }
        }
    }
    blobs
}

/// Runs a case; what is wrong about it.
async fn run(mut case: Case) -> Vec<String> {
    let transport = Transport::builder()
        .retry(support::quick_retry())
        .attempt_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    let site = Site::over(transport).await;
    let rule = std::mem::replace(&mut case.rule, Box::new(|_| Fault::None));
    site.inject(move |seen| rule(seen));
    let mut wrong = Vec::new();
    let result = ingest(&site, &case).await;
    let seen = site.seen();
    site.inject(|_| Fault::None);
    for (method, part, count) in &case.requests {
        let found = seen.iter().filter(|seen| seen.is(method, part)).count();
        if found != *count {
            wrong.push(format!("{found} requests {method} {part}, expected {count}"));
        }
    }
    // What was sent: whole sources only, and not more often than the fault costs.
    let text = case.what.text();
    let uploaded = blobs(&seen);
    for (path, blob) in &uploaded {
        if gunzipped(blob) != text.as_bytes() {
            wrong.push(format!("blob {path} is not the source"));
        }
    }
    let source_bytes = uploaded.values().map(Vec::len).next();
    let sent: usize = seen
        .iter()
        .filter(|seen| (seen.is("PUT", BLOB) && !seen.is("PUT", LIST)) || seen.is("POST", STREAM))
        .map(|seen| seen.body.len())
        .sum();
    let encoded =
        source_bytes.or(seen.iter().find(|seen| seen.is("POST", STREAM)).map(|seen| seen.body.len()));
    if let Some(encoded) = encoded.filter(|encoded| *encoded > 0)
        && sent as f64 > encoded as f64 * case.times + 1.0
    {
        wrong.push(format!("{sent} bytes were sent of {encoded}, expected {} times at most", case.times));
    }
    let rows_expected = match (&result, case.end) {
        (Ok(handle), end @ (End::Ingested | End::There)) => {
            let route = handle.route().map(|route| {
                let route = serde_json::to_value(route).unwrap();
                route["because"]["reason"].as_str().or(route["route"].as_str()).unwrap().to_owned()
            });
            if route.as_deref() != case.route {
                wrong.push(format!("the route is {route:?}, expected {:?}", case.route));
            }
            let outcome = handle.ingested_within(LIMIT).await;
            let untracked = matches!(&outcome, Outcome::Unknown { reason } if reason.contains("tracked"));
            let there = end == End::There && matches!(outcome, Outcome::Skipped { .. });
            if outcome != Outcome::Succeeded && !untracked && !there {
                wrong.push(format!("the outcome is {outcome:?}"));
            }
            if untracked {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            case.what.rows()
        }
        (Err(error), End::Fails(kind)) if error.kind() == kind => 0,
        (Err(error), End::FailsIngested(kind)) if error.kind() == kind => case.what.rows(),
        (result, end) => {
            wrong.push(format!("ended with {result:?}, expected {end:?}"));
            return wrong;
        }
    };
    let found = site.count("db1", "t1").await;
    if found != rows_expected {
        wrong.push(format!("{found} rows in the table, expected {rows_expected}"));
    }
    site.stop().await;
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_costs_what_it_must_and_no_more() {
    let results: Vec<(String, Vec<String>)> = futures_util::stream::iter(cases())
        .map(|case| async move {
            let name = format!("{:?}, {:?}: {}", case.way, case.what, case.name);
            (name, run(case).await)
        })
        .buffer_unordered(6)
        .collect()
        .await;
    let wrong: Vec<&(String, Vec<String>)> = results.iter().filter(|(_, wrong)| !wrong.is_empty()).collect();
    assert!(results.len() >= 60, "{} cases", results.len());
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:#?}", wrong.len(), results.len());
}

#[tokio::test]
async fn a_token_that_ends_early_is_replaced_once_for_all() {
    let site = Site::new().await;
    let issued = std::sync::Arc::new(AtomicUsize::new(0));
    let count = issued.clone();
    let credential = Credential::token_callback(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(AccessToken::new(format!("token{number}"), Some(Duration::from_secs(3600)))) }
    });
    let transport = Transport::new(support::quick_retry()).unwrap();
    let cluster = KustoClient::with_transport(Endpoint::parse(&site.url).unwrap(), credential, transport);
    let client = QueuedIngestClient::with_options(&cluster, options(Protocol::Rest));
    let outcomes = async || {
        let all = (0..8).map(async |_| client.ingest(Source::bytes(rows(1)), &into_t1()).await.unwrap());
        futures_util::future::join_all(all).await
    };
    outcomes().await;
    assert_eq!(issued.load(Ordering::SeqCst), 1);
    site.inject(|seen| {
        let refused = seen.headers.get("authorization").is_some_and(|value| value == "Bearer token0");
        if refused { Fault::status(401) } else { Fault::None }
    });
    outcomes().await;
    assert_eq!(issued.load(Ordering::SeqCst), 2, "eight refusals of one token are one renewal");
    site.stop().await;
}
