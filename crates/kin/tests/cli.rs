//! The real binary, as a person or a script runs it.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data")
}

fn kin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kin"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KIN_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env("KIN_DATA_DIR", folder.join("data"))
        .env("KIN_WAIT_SECONDS", "60")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command must end with this code; its standard output.
fn expect(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = kin(folder, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn query(folder: &Path, kql: &str) -> String {
    expect(folder, 0, &["query", kql, "--output", "csv"]).lines().skip(1).collect::<Vec<_>>().join(";")
}

/// A service in a process of its own.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    fn start(data: &Path, crash_at: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kin"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.env_remove("KIN_CRASH_AT");
        if let Some(step) = crash_at {
            command.env("KIN_CRASH_AT", step);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: line.split_whitespace().last().unwrap().to_owned() }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn the_example_data_is_ingested_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (file, table, rows) in [
        ("flights.csv.gz", "Flights", 27004),
        ("weather.csv", "Weather", 2226),
        ("planes.csv", "Planes", 3322),
        ("airports.csv", "Airports", 1458),
        ("airlines.csv", "Airlines", 16),
        ("earthquakes.json", "Earthquakes", 600),
    ] {
        let path = examples().join(file);
        let out = expect(root, 0, &["ingest", path.to_str().unwrap(), "--table", table]);
        assert!(out.contains(&format!("rows     {rows}")), "{file}: {out}");
        assert_eq!(query(root, &format!("{table} | count")), rows.to_string(), "{file}");
    }
    // NA stands for nothing: it does not turn a number column into text.
    let schema = expect(root, 0, &["query", ".show table Flights cslschema", "--output", "json"]);
    assert!(
        schema.contains("dep_delay:long")
            && schema.contains("time_hour:datetime")
            && schema.contains("tailnum:string"),
        "{schema}"
    );
    assert_eq!(query(root, "Flights | where isnull(dep_delay) | count"), "521");
    assert_eq!(query(root, "Airlines | where carrier == 'UA' | project name"), "United Air Lines Inc.");
    assert_eq!(
        query(root, "Earthquakes | top 1 by mag | project t = geometry.type, ok = mag > 4"),
        "Point,true"
    );
    assert_eq!(
        query(
            root,
            "Flights | summarize arg_max(distance, dest) by origin | order by origin asc | project dest"
        ),
        "HNL;HNL;DEN"
    );
}

#[test]
fn json_lines_carry_ids_that_status_answers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("a.csv"), "x,y\n1,2\n").unwrap();
    let out = expect(root, 0, &["ingest", "a.csv", "--table", "T", "--output", "json"]);
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["status"].as_str(), lines[1]["rows"].as_u64()), (Some("ingested"), Some(1)));
    let id = lines[0]["source_id"].as_str().unwrap();
    assert!(expect(root, 0, &["status", id]).contains("ingested"));
    expect(root, 5, &["status", "74be27de-1e4e-49d9-b579-fe0b331d3642"]);
    expect(root, 2, &["status", "nonsense"]);
}

#[test]
fn folders_headers_and_column_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("in")).unwrap();
    std::fs::write(root.join("in/1.csv"), "id,name\n1,a\n2,b\n").unwrap();
    std::fs::write(root.join("in/2.csv"), "name,id\nc,3.5\n").unwrap();
    expect(root, 0, &["ingest", "in", "--table", "T"]);
    assert_eq!(query(root, "T | order by id asc | project id, name"), "1.0,a;2.0,b;3.5,c");
    std::fs::write(root.join("in/notes.md"), "not data").unwrap();
    let output = kin(root, &["ingest", "in", "--table", "T2"]);
    assert!(
        output.status.success() && text(&output.stderr).contains("left out in/notes.md"),
        "{}",
        text(&output.stderr)
    );
    // A property whose name no column can have still finds its column.
    std::fs::write(root.join("odd.json"), "{\"it's\":1,\"b\":2}\n").unwrap();
    expect(root, 0, &["ingest", "odd.json", "--table", "Odd"]);
    assert_eq!(query(root, "Odd | project it_s, b"), "1,2");
    std::fs::write(root.join("bare.csv"), "1,a\n2,b\n").unwrap();
    expect(root, 0, &["ingest", "bare.csv", "--table", "B"]);
    assert_eq!(query(root, "B | count"), "2");
    std::fs::write(root.join("map.json"), r#"[{"column":"id","Ordinal":1},{"column":"name","Ordinal":0}]"#)
        .unwrap();
    std::fs::write(root.join("swapped.csv"), "z,9\n").unwrap();
    expect(root, 0, &["ingest", "swapped.csv", "--table", "T", "--mapping", "map.json"]);
    assert_eq!(query(root, "T | where name == 'z' | project id"), "9.0");
}

#[test]
fn bad_input_is_a_clear_error_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(root.join(name), bytes).unwrap();
    write("good.csv", b"id,name\n1,a\n");
    write("empty.csv", b"");
    write("quote.csv", b"id,name\n1,\"a\n2,b\n");
    write("width.csv", b"id,name\n1,a\n2\n");
    write("latin.csv", b"id,name\n1,caf\xe9\n");
    write("fake.parquet", b"this is not parquet");
    write("utf16.csv", b"\xff\xfei\0d\0");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for row in 0..20_000 {
        writeln!(encoder, "{row},{}", row * 7919 % 10_007).unwrap();
    }
    let whole = encoder.finish().unwrap();
    write("cut.csv.gz", &whole[..whole.len() / 2]);
    expect(root, 0, &["ingest", "good.csv", "--table", "T"]);
    for (file, code, part) in [
        ("nowhere.csv", 2, "nowhere.csv"),
        ("empty.csv", 1, "empty"),
        ("quote.csv", 1, "quote"),
        ("width.csv", 1, "fields"),
        ("latin.csv", 1, "UTF-8"),
        ("fake.parquet", 1, "parquet"),
        ("utf16.csv", 1, "UTF-16"),
        ("cut.csv.gz", 1, "cut off"),
    ] {
        let output = kin(root, &["ingest", file, "--table", "T"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{file}: {said}");
        assert!(said.to_lowercase().contains(&part.to_lowercase()), "{file}: {said}");
        assert!(!said.contains("panicked"), "{file}: {said}");
    }
    // A good file beside a bad one is ingested; the command still says that one failed.
    expect(root, 1, &["ingest", "good.csv", "width.csv", "--table", "T"]);
    assert_eq!(query(root, "T | count"), "2");
    expect(root, 1, &["ingest", "good.csv", "--table", "T", "--mapping", "unknown"]);
    expect(root, 2, &["ingest", "good.csv", "--table", "T", "--format", "docx"]);
    expect(root, 2, &["ingest", "good.csv"]);
    expect(root, 2, &["ingest", "good.csv", "--table", "bad'name"]);
    expect(root, 1, &["query", "Nope | count"]);
    assert_eq!(query(root, "T | count"), "2");
}

#[test]
fn a_cluster_url_creates_nothing_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let service = Service::start(&root.join("served"), None);
    std::fs::write(root.join("a.csv"), "x,y\n1,2\n").unwrap();
    let output = kin(root, &["ingest", "a.csv", "--table", "T", "--cluster", &service.url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("BadRequest_TableNotExist"), "{}", text(&output.stderr));
    expect(root, 0, &["ingest", "a.csv", "--table", "T", "--cluster", &service.url, "--create-merge"]);
    assert_eq!(expect(root, 0, &["query", "T", "--cluster", &service.url, "--output", "csv"]), "x,y\n1,2\n");
    expect(
        root,
        0,
        &[
            "ingest",
            "a.csv",
            "--table",
            "T",
            "--cluster",
            &service.url,
            "--ignore-first-record",
            "--wait",
            "accepted",
        ],
    );
    service.kill();
    expect(root, 4, &["query", "print 1", "--cluster", "http://127.0.0.1:9"]);
}

/// Every place between two steps of the service: it aborts there, starts again, and
/// every accepted file is in the table exactly once.
/// Streams rows over a connection of its own; the status, if an answer came.
fn stream(url: &str, table: &str, rows: &str) -> Option<String> {
    use std::io::{Read, Write};
    let address = url.strip_prefix("http://").unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(
        connection,
        "POST /v1/rest/ingest/NetDefaultDB/{table}?streamFormat=csv HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{rows}",
        rows.len()
    )
    .unwrap();
    let mut answer = String::new();
    // A process that ends may reset the connection: there is no answer then.
    let _broken = connection.read_to_string(&mut answer);
    answer.split(' ').nth(1).map(str::to_owned)
}

#[test]
fn a_crash_while_rows_are_streamed_loses_and_doubles_nothing() {
    for step in ["rows-streamed", "rows-written", "rows-sealed"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let data = root.join("served");
        let mut doomed = Service::start(&data, Some(step));
        let query = |url: &str, text: &str| {
            let shown = expect(root, 0, &["query", text, "--cluster", url, "--output", "csv"]);
            shown.lines().last().unwrap().to_owned()
        };
        query(&doomed.url, ".create table T (a:long)");
        let answer = stream(&doomed.url, "T", "1\n2\n3\n");
        assert_eq!(answer.as_deref(), if step == "rows-streamed" { None } else { Some("200") }, "{step}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while doomed.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{step}: the service did not reach it");
            std::thread::sleep(Duration::from_millis(20));
        }
        let again = Service::start(&data, None);
        assert_eq!(query(&again.url, "T | summarize strcat(count(), ' ', dcount(a))"), "3 3", "{step}");
        while query(&again.url, "T | where isnull(extent_id()) | count") != "0" {
            assert!(Instant::now() < deadline + Duration::from_secs(30), "{step}: nothing seals the rows");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(query(&again.url, "T | summarize strcat(count(), ' ', dcount(a))"), "3 3", "{step}");
        assert_eq!(query(&again.url, ".show table T extents | count"), "1", "{step}");
    }
}

#[test]
fn a_crash_between_any_two_steps_loses_and_doubles_nothing() {
    for step in [
        "message-put",
        "source-accepted",
        "batch-sealed",
        "load-begun",
        "extent-written",
        "batch-committed",
        "reports-drained",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let data = root.join("served");
        std::fs::write(root.join("first.csv"), "x,y\n1,2\n").unwrap();
        let mut big = String::from("x,y\n");
        (0..5000).for_each(|row| big.push_str(&format!("{row},{row}\n")));
        std::fs::write(root.join("second.csv"), &big).unwrap();
        let calm = Service::start(&data, None);
        expect(root, 0, &["ingest", "first.csv", "--table", "T", "--cluster", &calm.url, "--create-merge"]);
        calm.kill();
        let mut doomed = Service::start(&data, Some(step));
        let accepted = kin(
            root,
            &[
                "ingest",
                "second.csv",
                "--table",
                "T",
                "--cluster",
                &doomed.url,
                "--ignore-first-record",
                "--wait",
                "accepted",
            ],
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        while doomed.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{step}: the service did not reach it");
            std::thread::sleep(Duration::from_millis(20));
        }
        // A message that was put is the service's, even where the client never heard so.
        assert!(accepted.status.success() || step == "message-put", "{step}: {}", text(&accepted.stderr));
        let again = Service::start(&data, None);
        let deadline = Instant::now() + Duration::from_secs(30);
        let count = || {
            expect(root, 0, &["query", "T | count", "--cluster", &again.url, "--output", "csv"])
                .lines()
                .last()
                .unwrap()
                .to_owned()
        };
        while count() != "5001" {
            assert!(Instant::now() < deadline, "{step}: {} rows", count());
            std::thread::sleep(Duration::from_millis(50));
        }
        // Long enough for a second load, were there one.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(count(), "5001", "{step}");
        let finished = expect(
            root,
            0,
            &[
                "query",
                ".show ingestion sources | where State == 'Succeeded' | count",
                "--cluster",
                &again.url,
                "--output",
                "csv",
            ],
        );
        assert_eq!(finished.lines().last(), Some("2"), "{step}");
    }
}

/// A message that cannot be read is kept and visible, and the queue goes on.
#[test]
fn a_poison_message_is_visible_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let service = Service::start(&root.join("served"), None);
    let resources = expect(
        root,
        0,
        &["query", ".get ingestion resources", "--cluster", &service.url, "--output", "json"],
    );
    let queue = resources
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|row| row["ResourceTypeName"] == "SecuredReadyForAggregationQueue")
        .unwrap()["StorageRoot"]
        .as_str()
        .unwrap()
        .to_owned();
    let (base, sas) = queue.split_once('?').unwrap();
    let host = service.url.strip_prefix("http://").unwrap();
    let path = base.strip_prefix(&service.url).unwrap();
    let body = "<QueueMessage><MessageText>bm90IGpzb24=</MessageText></QueueMessage>";
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "POST {path}/messages?{sas} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
    let answer = BufReader::new(stream).lines().next().unwrap().unwrap();
    assert!(answer.contains("201"), "{answer}");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let failures = expect(
            root,
            0,
            &[
                "query",
                ".show ingestion failures | project ErrorCode",
                "--cluster",
                &service.url,
                "--output",
                "csv",
            ],
        );
        if failures.contains("BadRequest_CorruptedMessage") {
            break;
        }
        assert!(Instant::now() < deadline, "{failures}");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::write(root.join("a.csv"), "x,y\n1,2\n").unwrap();
    expect(root, 0, &["ingest", "a.csv", "--table", "T", "--cluster", &service.url, "--create-merge"]);
}

/// Whatever the log level, no signature and no identity token is printed.
#[test]
fn no_secret_is_printed_at_any_level() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("a.csv"), "x,y\n1,2\n").unwrap();
    std::fs::write(root.join("bad.csv"), "x,y\n1,2\n3\n").unwrap();
    for file in ["a.csv", "bad.csv"] {
        let output = Command::new(env!("CARGO_BIN_EXE_kin"))
            .args(["ingest", file, "--table", "T", "--data-dir", "data"])
            .current_dir(root)
            .env("KIN_LOG", "trace")
            .output()
            .unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("kusto_local"), "{file}: nothing was logged: {said}");
        for secret in ["sig=", "kin1."] {
            assert!(!said.contains(secret), "{file}: {secret} in {said}");
        }
    }
}
