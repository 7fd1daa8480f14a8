//! The memory that a client holds for a source of any size, with the service in another
//! process. `KIN_MEMORY_GIB` makes the source larger than the one gibibyte that fits a
//! test run; nothing here depends on the size.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends at the first surprise")]

use kusto_ingest::*;
use std::io::{BufRead, Write};

/// Most bytes of memory that this process has held, from the kernel.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The service, in the process that the test starts.
#[tokio::test]
#[ignore = "a process for a_source_of_any_size_stays_within_the_budget, which starts and ends it in every run"]
async fn service() {
    let Ok(folder) = std::env::var("KIN_MEMORY_FOLDER") else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = kusto_local::start(kusto_local::ServiceConfig::new(folder), listener).await.unwrap();
    println!("URL {}", service.url());
    std::future::pending::<()>().await;
}

struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

#[tokio::test]
async fn a_source_of_any_size_stays_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "service", "--ignored", "--nocapture"])
        .env("KIN_MEMORY_FOLDER", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Child(child);
    let mut output = std::io::BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = output.find_map(|line| line.split_once("URL ").map(|(_, url)| url.to_owned())).unwrap();
    // Read on: the test harness of the child says after a minute that it still runs, and
    // would end if nobody listened.
    let _listening = std::thread::spawn(move || output.count());
    let cluster = KustoClient::from_connection_string(&url).unwrap();
    cluster.management("NetDefaultDB", ".create table big (a:long, b:string)").await.unwrap();
    // Rows that compress to about a half; the window of gzip is far smaller than the chunk.
    let mut seed = 7u64;
    let mut chunk = Vec::new();
    while chunk.len() < 1 << 20 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(chunk, "{},{seed:016x}", seed % 1000).unwrap();
    }
    let gibibytes: u64 = std::env::var("KIN_MEMORY_GIB").map_or(1, |text| text.parse().unwrap());
    let chunks = (gibibytes << 30) / chunk.len() as u64;
    let source = Source::written(move |out| (0..chunks).try_for_each(|_| out.write_all(&chunk)));
    let options = IngestOptions::default().memory_budget(64 << 20).split_over(256 << 20);
    let client = QueuedIngestClient::with_options(&cluster, options);
    let target =
        IngestionProperties::new("NetDefaultDB", "big").unwrap().with_format(DataFormat::Csv).tracked();
    let progress = Progress::default();
    let handle = client.ingest(source, &target).with_progress(&progress).await.unwrap();
    assert!(progress.read() >= (gibibytes << 30) - (2 << 20));
    assert!(handle.details().await.unwrap().len() >= 4 * gibibytes as usize - 1);
    let peak = peak();
    println!("{gibibytes} GiB: peak memory {} MiB", peak >> 20);
    assert!(peak < 128 << 20, "{} MiB", peak >> 20);
}
