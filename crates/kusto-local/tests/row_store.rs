//! Streamed rows: visible with the answer, once and only once while they become extents, and
//! there after a restart.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::Site;

/// A service that seals streamed rows after some time.
async fn sealing_after(time: Duration) -> Site {
    Site::with(|config| config.seal_after = time).await
}

/// The same data under one that seals after another time.
async fn again(site: Site, time: Duration) -> Site {
    site.again(|config| config.seal_after = time).await
}

async fn stream(site: &Site, table: &str, rows: &str) {
    assert_eq!(site.stream(table, rows).await, 200, "{table}: {rows}");
}

async fn extents(site: &Site, table: &str) -> usize {
    site.command(&format!(".show table {table} extents")).await.as_array().unwrap().len()
}

/// Waits until a table has no row in the row store.
async fn sealed(site: &Site, table: &str) {
    let query = format!("{table} | where isnull(extent_id()) | count");
    site.until(&query, json!([[0]])).await;
}

/// Longer than a test.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn streamed_rows_are_seen_at_once_and_become_an_extent() {
    let site = sealing_after(NEVER).await;
    site.command(".create table T (a:long, b:string)").await;
    stream(&site, "T", "1,x\n2,y\n").await;
    stream(&site, "T", "3,z\n").await;
    assert_eq!(site.rows("T | order by a asc").await, json!([[1, "x"], [2, "y"], [3, "z"]]));
    assert_eq!(extents(&site, "T").await, 0, "small payloads wait for each other");
    let times = "T | order by a asc | project a, ingestion_time()";
    let before = site.rows(times).await;
    assert_eq!(site.rows("T | distinct ingestion_time() | count").await, json!([[2]]));
    assert_eq!(
        site.rows("T | take 1 | project isnull(extent_id()), extent_tags()").await,
        json!([[true, []]])
    );
    let site = again(site, Duration::ZERO).await;
    sealed(&site, "T").await;
    assert_eq!(extents(&site, "T").await, 1);
    assert_eq!(site.rows(times).await, before);
    // A column that is renamed between the answer and the extent.
    let site = again(site, NEVER).await;
    stream(&site, "T", "4,w\n").await;
    site.command(".rename column T.b to c").await;
    site.command(".alter-merge table T (b:string)").await;
    assert_eq!(site.rows("T | where a == 4 | project a, c, b").await, json!([[4, "w", ""]]));
    let site = again(site, Duration::ZERO).await;
    sealed(&site, "T").await;
    assert_eq!(site.rows("T | where a == 4 | project a, c, b").await, json!([[4, "w", ""]]));
    // What goes before it is an extent does not come back.
    let site = again(site, NEVER).await;
    stream(&site, "T", "5,v,\n").await;
    site.command(".clear table T data").await;
    stream(&site, "T", "6,u,\n").await;
    assert_eq!(site.rows("T | project a").await, json!([[6]]));
    site.command(".set-or-replace T <| print a = 8, c = \"s\", b = \"\"").await;
    stream(&site, "T", "9,r,\n").await;
    site.command(".create table Gone (a:long)").await;
    stream(&site, "Gone", "1\n").await;
    site.command(".drop table Gone").await;
    let site = again(site, Duration::ZERO).await;
    sealed(&site, "T").await;
    assert_eq!(site.rows("T | order by a asc | project a").await, json!([[8], [9]]));
    site.service.stop().await;
}

#[tokio::test]
async fn streamed_rows_are_counted_once_at_every_moment() {
    let site = Arc::new(sealing_after(Duration::from_millis(50)).await);
    site.command(".create table T (a:long)").await;
    let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let (site, sent, answered) = (site.clone(), sent.clone(), answered.clone());
            tokio::spawn(async move {
                for number in 0..250 {
                    sent.fetch_add(1, Ordering::SeqCst);
                    stream(&site, "T", &format!("{}\n", writer * 1000 + number)).await;
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
    sealed(&site, "T").await;
    assert_eq!(site.rows("T | summarize count(), dcount(a)").await, json!([[1000, 1000]]));
}

#[tokio::test]
async fn streamed_rows_are_there_after_a_restart() {
    let site = sealing_after(NEVER).await;
    site.command(".create table T (a:long)").await;
    stream(&site, "T", "1\n").await;
    let site = again(site, Duration::ZERO).await;
    assert_eq!(site.rows("T").await, json!([[1]]));
    sealed(&site, "T").await;
    assert_eq!(site.rows("T").await, json!([[1]]));
    site.service.stop().await;
}

#[tokio::test]
async fn what_is_streamed_is_counted_and_what_fails_says_why() {
    let site = sealing_after(NEVER).await;
    site.command(".create table T (a:long, b:string)").await;
    stream(&site, "T", "1,x\n2,y\n").await;
    stream(&site, "T", "3,z\n").await;
    for _ in 0..2 {
        let url =
            format!("{}/v1/rest/ingest/NetDefaultDB/T?streamFormat=csv&mappingName=none", site.service.url());
        assert_eq!(site.http.post(url).body("4,\"w").send().await.unwrap().status(), 400);
    }
    // Groups are by the hour, which may turn meanwhile.
    let counted = site
        .command(".show streamingingestion statistics | where IngestionStatus == 'Success' | summarize sum(Count), sum(TotalDataSize), max(MaxRowCount), sum(TotalRowCount) by Database, Table, Format = tostring(IngestionProperties.Format)")
        .await;
    assert_eq!(counted, json!([["NetDefaultDB", "T", "csv", 2, 12, 2, 3]]));
    let failed = site
        .command(".show streamingingestion failures | summarize sum(Count) by Table, FailureKind, ErrorCode, Mapping = tostring(IngestionProperties.Mapping)")
        .await;
    assert_eq!(failed, json!([["T", "Permanent", "BadRequest_MappingReferenceWasNotFound", "none", 2]]));
}
