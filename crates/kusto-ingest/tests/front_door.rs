//! The service under the names of a real cluster, over https: every mode finds engine,
//! data management and storage by their hosts, on one port.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_ingest::*;
use std::time::Duration;

const HOSTS: [&str; 5] = [
    "c.kusto.windows.net",
    "ingest-c.kusto.windows.net",
    "kinstore.blob.core.windows.net",
    "kinstore.queue.core.windows.net",
    "kinstore.table.core.windows.net",
];

#[tokio::test]
async fn a_clusters_names_lead_to_one_port_over_https() {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = kusto_local::start(kusto_local::ServiceConfig::new(folder.path()), listener).await.unwrap();
    let authority = std::fs::read(service.certificate_authority()).unwrap();
    let mut http = reqwest::Client::builder()
        .no_proxy()
        .https_only(true)
        .add_root_certificate(reqwest::Certificate::from_pem(&authority).unwrap());
    for host in HOSTS {
        http = http.resolve(host, service.address());
    }
    let http = http.build().unwrap();
    let port = service.address().port();
    // By address and by name, HTTP/2 where the client can.
    for url in
        [service.https_url(), format!("https://localhost:{port}"), format!("https://{}:{port}", HOSTS[1])]
    {
        let answer = http.get(format!("{url}/readyz")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2), "{url}");
    }
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(plain.get(format!("{}/readyz", service.url())).send().await.unwrap().status(), 200);
    assert!(
        plain.get(format!("{}/readyz", service.https_url())).send().await.is_err(),
        "nobody said to trust it"
    );

    let transport = Transport::builder().http_client(http).build().unwrap();
    let endpoint = Endpoint::parse(&format!("https://{}:{port}", HOSTS[0])).unwrap();
    let cluster = KustoClient::with_transport(endpoint, Credential::none(), transport);
    cluster.management("NetDefaultDB", ".create table T (a:long)").await.unwrap();
    let resources = cluster.ingestion().management("NetDefaultDB", ".get ingestion resources").await.unwrap();
    let table = resources.primary().unwrap();
    for row in 0..table.rows.len() {
        let url = table.text(row, "StorageRoot").unwrap();
        let host = HOSTS.iter().position(|host| url.starts_with(&format!("https://{host}:{port}/")));
        assert!(host.is_some_and(|host| host >= 2), "{}", SecretUrl::new(url));
    }
    let queued =
        |protocol| QueuedIngestClient::with_options(&cluster, IngestOptions::default().protocol(protocol));
    let clients: [Box<dyn IngestClient>; 5] = [
        Box::new(queued(Protocol::Queue)),
        Box::new(queued(Protocol::Rest)),
        Box::new(StreamingIngestClient::new(&cluster)),
        Box::new(ManagedStreamingIngestClient::new(&cluster)),
        Box::new(DirectIngestClient::new(&cluster)),
    ];
    let target = IngestionProperties::new("NetDefaultDB", "T").unwrap().tracked();
    for client in &clients {
        let handle = Ingest::new(client.as_ref(), Source::bytes("1\n2\n"), &target).await.unwrap();
        let outcome = handle.ingested_within(Duration::from_secs(60)).await;
        assert_eq!(outcome, Outcome::Succeeded, "{:?}", handle.method());
    }
    let answer = cluster.query("NetDefaultDB", "T | count").await.unwrap();
    assert_eq!(answer.tables[0].rows[0][0].as_u64(), Some(10));
    service.stop().await;
}
