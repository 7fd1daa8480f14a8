//! Ingests the same rows in each mode: `cargo run --example modes -- http://localhost:8080`.
//! Without a URL it starts a local service of its own, as the tests do.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use kusto_ingest::{
    DirectIngestClient, Error, Ingest, IngestClient, IngestionProperties, KustoClient,
    ManagedStreamingIngestClient, QueuedIngestClient, Source, StreamingIngestClient,
};
use std::time::Duration;

async fn show(name: &str, client: &dyn IngestClient, target: &IngestionProperties) -> Result<(), Error> {
    // Accepted when this returns: the service has the source.
    let handle = Ingest::new(client, Source::bytes("1,one\n2,two\n"), target).await?;
    // Ingested when this says so.
    let outcome = handle.ingested_within(Duration::from_secs(60)).await;
    println!("{name}: {outcome:?}");
    if outcome.is_success() { Ok(()) } else { Err(Error::new(kusto_ingest::ErrorKind::Service, name)) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (url, service) = match std::env::args().nth(1) {
        Some(url) => (url, None),
        None => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let config = kusto_local::ServiceConfig::new(folder.path());
            let service = kusto_local::start(config, listener).await?;
            (service.url(), Some(service))
        }
    };
    let cluster = KustoClient::from_connection_string(&url)?.with_application("modes-example");
    cluster.management("NetDefaultDB", ".create-merge table Numbers (n:long, name:string)").await?;
    let target = IngestionProperties::new("NetDefaultDB", "Numbers")?.tracked();
    show("queued", &QueuedIngestClient::new(&cluster), &target).await?;
    show("streaming", &StreamingIngestClient::new(&cluster), &target).await?;
    show("managed", &ManagedStreamingIngestClient::new(&cluster), &target).await?;
    show("direct", &DirectIngestClient::new(&cluster), &target).await?;
    if let Some(service) = service {
        service.stop().await;
    }
    Ok(())
}
