//! Streamed rows: visible with the answer, once and only once while they become extents, and
//! there after a restart.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::{RunningService, ServiceConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Site {
    service: RunningService,
    http: reqwest::Client,
}

impl Site {
    async fn start(folder: &Path, seal_after: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = ServiceConfig::new(folder);
        config.seal_after = seal_after;
        let service = kusto_local::start(config, listener).await.unwrap();
        Self { service, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// The same data under a service that seals after another time.
    async fn again(self, folder: &Path, seal_after: Duration) -> Self {
        self.service.stop().await;
        Self::start(folder, seal_after).await
    }

    async fn send(&self, path: &str, body: String) -> Value {
        let answer = self.http.post(format!("{}{path}", self.service.url())).body(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn command(&self, text: &str) -> Value {
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        self.send("/v1/rest/mgmt", body).await["Tables"][0]["Rows"].clone()
    }

    async fn rows(&self, query: &str) -> Value {
        let body = json!({ "db": "NetDefaultDB", "csl": query }).to_string();
        let frames = self.send("/v2/rest/query", body).await;
        let found = frames.as_array().unwrap().iter().find(|frame| frame["TableKind"] == "PrimaryResult");
        found.unwrap()["Rows"].clone()
    }

    async fn stream(&self, table: &str, rows: &str) {
        let path = format!("/v1/rest/ingest/NetDefaultDB/{table}?streamFormat=csv");
        self.send(&path, rows.to_owned()).await;
    }

    async fn extents(&self, table: &str) -> usize {
        self.command(&format!(".show table {table} extents")).await.as_array().unwrap().len()
    }

    /// Waits until a table has no row in the row store.
    async fn sealed(&self, table: &str) {
        let begun = Instant::now();
        while self.rows(&format!("{table} | where isnull(extent_id()) | count")).await != json!([[0]]) {
            assert!(begun.elapsed() < Duration::from_secs(30), "nothing seals the rows");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Longer than a test.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn streamed_rows_are_seen_at_once_and_become_an_extent() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NEVER).await;
    site.command(".create table T (a:long, b:string)").await;
    site.stream("T", "1,x\n2,y\n").await;
    site.stream("T", "3,z\n").await;
    assert_eq!(site.rows("T | order by a asc").await, json!([[1, "x"], [2, "y"], [3, "z"]]));
    assert_eq!(site.extents("T").await, 0, "small payloads wait for each other");
    let times = "T | order by a asc | project a, ingestion_time()";
    let before = site.rows(times).await;
    assert_eq!(site.rows("T | distinct ingestion_time() | count").await, json!([[2]]));
    assert_eq!(
        site.rows("T | take 1 | project isnull(extent_id()), extent_tags()").await,
        json!([[true, []]])
    );
    let site = site.again(folder.path(), Duration::ZERO).await;
    site.sealed("T").await;
    assert_eq!(site.extents("T").await, 1);
    assert_eq!(site.rows(times).await, before);
    // A column that is renamed between the answer and the extent.
    let site = site.again(folder.path(), NEVER).await;
    site.stream("T", "4,w\n").await;
    site.command(".rename column T.b to c").await;
    site.command(".alter-merge table T (b:string)").await;
    assert_eq!(site.rows("T | where a == 4 | project a, c, b").await, json!([[4, "w", ""]]));
    let site = site.again(folder.path(), Duration::ZERO).await;
    site.sealed("T").await;
    assert_eq!(site.rows("T | where a == 4 | project a, c, b").await, json!([[4, "w", ""]]));
    // What goes before it is an extent does not come back.
    let site = site.again(folder.path(), NEVER).await;
    site.stream("T", "5,v,\n").await;
    site.command(".clear table T data").await;
    site.stream("T", "6,u,\n").await;
    assert_eq!(site.rows("T | project a").await, json!([[6]]));
    site.command(".set-or-replace T <| print a = 8, c = \"s\", b = \"\"").await;
    site.stream("T", "9,r,\n").await;
    site.command(".create table Gone (a:long)").await;
    site.stream("Gone", "1\n").await;
    site.command(".drop table Gone").await;
    let site = site.again(folder.path(), Duration::ZERO).await;
    site.sealed("T").await;
    assert_eq!(site.rows("T | order by a asc | project a").await, json!([[8], [9]]));
    site.service.stop().await;
}

#[tokio::test]
async fn streamed_rows_are_counted_once_at_every_moment() {
    let folder = tempfile::tempdir().unwrap();
    let site = Arc::new(Site::start(folder.path(), Duration::from_millis(50)).await);
    site.command(".create table T (a:long)").await;
    let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let (site, sent, answered) = (site.clone(), sent.clone(), answered.clone());
            tokio::spawn(async move {
                for number in 0..250 {
                    sent.fetch_add(1, Ordering::SeqCst);
                    site.stream("T", &format!("{}\n", writer * 1000 + number)).await;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut looks = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let least = answered.load(Ordering::SeqCst);
        let count = site.rows("T | summarize count(), dcount(a)").await;
        let most = sent.load(Ordering::SeqCst);
        let (count, distinct) = (count[0][0].as_u64().unwrap(), count[0][1].as_u64().unwrap());
        assert!(
            (least..=most).contains(&count) && count == distinct,
            "{least} <= {count} ({distinct}) <= {most}"
        );
        looks += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(looks > 3, "{looks} looks");
    site.sealed("T").await;
    assert_eq!(site.rows("T | summarize count(), dcount(a)").await, json!([[1000, 1000]]));
}

#[tokio::test]
async fn streamed_rows_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NEVER).await;
    site.command(".create table T (a:long)").await;
    site.stream("T", "1\n").await;
    let site = site.again(folder.path(), Duration::ZERO).await;
    assert_eq!(site.rows("T").await, json!([[1]]));
    site.sealed("T").await;
    assert_eq!(site.rows("T").await, json!([[1]]));
    site.service.stop().await;
}

#[tokio::test]
async fn what_is_streamed_is_counted_and_what_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NEVER).await;
    site.command(".create table T (a:long, b:string)").await;
    site.stream("T", "1,x\n2,y\n").await;
    site.stream("T", "3,z\n").await;
    for _ in 0..2 {
        let url =
            format!("{}/v1/rest/ingest/NetDefaultDB/T?streamFormat=csv&mappingName=none", site.service.url());
        assert_eq!(site.http.post(url).body("4,\"w").send().await.unwrap().status(), 400);
    }
    let counted = site
        .command(".show streamingingestion statistics | where IngestionStatus == 'Success' | project Database, Table, Count, TotalDataSize, MaxRowCount, TotalRowCount, Format = tostring(IngestionProperties.Format)")
        .await;
    assert_eq!(counted, json!([["NetDefaultDB", "T", 2, 12, 2, 3, "csv"]]));
    let failed = site
        .command(".show streamingingestion failures | project Table, Count, FailureKind, ErrorCode, Mapping = tostring(IngestionProperties.Mapping)")
        .await;
    assert_eq!(failed, json!([["T", 2, "Permanent", "BadRequest_MappingReferenceWasNotFound", "none"]]));
}
