//! Many small files: each is in the table once, and the table does not stay in as many
//! pieces. `KIN_MANY=10000` is the size that is reported; CI takes a tenth.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use futures_util::StreamExt;
use kusto_ingest::*;
use std::time::{Duration, Instant};
use support::{Site, into_t1};

async fn extents(site: &Site) -> u64 {
    let details = site.cluster.management("db1", ".show table t1 details").await.unwrap();
    details.primary().unwrap().text(0, "TotalExtents").unwrap().parse().unwrap()
}

#[tokio::test]
async fn many_small_files_are_committed_once_and_their_extents_merged() {
    let many: usize = std::env::var("KIN_MANY").map_or(1000, |text| text.parse().unwrap());
    let streamed = many / 5;
    let site = Site::new().await;
    let options = IngestOptions::default().protocol(Protocol::Queue);
    let queued = QueuedIngestClient::with_options(&site.cluster, options);
    let streaming = StreamingIngestClient::new(&site.cluster);
    let target = IngestionProperties::new("db1", "t1").unwrap().with_format(DataFormat::Csv);
    let begun = Instant::now();
    let source = |n: usize| Source::bytes(format!("{n},name {n},0.5\n"));
    // An extent for each, which only the merge can put together; as many at once as a
    // service of two cores takes.
    let (streaming, queued, target) = (&streaming, &queued, &target);
    let sends = (0..streamed).map(async |n| streaming.ingest(source(n), &into_t1()).await.unwrap());
    futures_util::stream::iter(sends).buffer_unordered(6).count().await;
    let sends = (streamed..many).map(async |n| queued.ingest(source(n), target).await.unwrap());
    futures_util::stream::iter(sends).buffer_unordered(32).count().await;
    println!("{many} files accepted after {:?}", begun.elapsed());
    while site.count("db1", "t1").await < many as u64 {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} rows", site.count("db1", "t1").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("ingested after {:?}, {} extents", begun.elapsed(), extents(&site).await);
    while extents(&site).await >= 50 {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} extents", extents(&site).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("{} extents after {:?}", extents(&site).await, begun.elapsed());
    let query = "t1 | summarize count(), dcount(id), sum(id), dcount(name)";
    let answer = site.cluster.query("db1", query).await.unwrap();
    let many = many as u64;
    let row: Vec<u64> = answer.tables[0].rows[0].iter().map(|value| value.as_u64().unwrap()).collect();
    assert_eq!(row, [many, many, many * (many - 1) / 2, many]);
    site.stop().await;
}
