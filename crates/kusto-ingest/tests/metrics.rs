//! Metrics, in a process of their own: the meter provider is global.
#![cfg(feature = "opentelemetry")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use kusto_ingest::*;
use support::{LIMIT, Site, into_t1, rows};

#[tokio::test]
async fn metrics_count_what_is_accepted_and_decided() {
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
    let exporter = InMemoryMetricExporter::default();
    let provider =
        SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    let site = Site::new().await;
    let client = QueuedIngestClient::new(&site.cluster);
    let handle = client.ingest(Source::bytes(rows(2)), &into_t1()).await.unwrap();
    handle.ingested_within(LIMIT).await;
    client.ingest(Source::bytes(""), &into_t1()).await.unwrap_err();
    provider.force_flush().unwrap();
    let mut sums = std::collections::HashMap::new();
    for metrics in exporter.get_finished_metrics().unwrap() {
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            if let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() {
                let value: u64 = sum.data_points().map(|point| point.value()).sum();
                sums.insert(metric.name().to_owned(), value);
            }
        }
    }
    let uploaded = site.requests("PUT", "/kinstore/")[0].body.len() as u64;
    for (name, expected) in [("accepted", 1), ("refused", 1), ("decided", 1), ("uploaded", uploaded)] {
        assert!(
            sums.get(&format!("kusto.ingest.{name}")).is_some_and(|sum| *sum == expected),
            "{name}: {sums:?}"
        );
    }
    site.stop().await;
}
