//! Sources are read from the hosts that the service was told, and a redirect is no way
//! around that.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::{ServiceConfig, SourceHosts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A site on 127.0.0.1 that has a row, and redirects to it under two names.
async fn site() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = match path {
                "/here" => format!(
                    "302 Found\r\nlocation: http://127.0.0.1:{port}/row.csv\r\ncontent-length: 0\r\n\r\n"
                ),
                "/there" => format!(
                    "302 Found\r\nlocation: http://localhost:{port}/row.csv\r\ncontent-length: 0\r\n\r\n"
                ),
                "/round" => format!(
                    "302 Found\r\nlocation: http://127.0.0.1:{port}/round\r\ncontent-length: 0\r\n\r\n"
                ),
                _ => "200 OK\r\ncontent-length: 2\r\n\r\n1\n".to_owned(),
            };
            let _gone = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn sources_are_read_from_the_hosts_that_were_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ServiceConfig::new(folder.path());
    config.source_hosts = SourceHosts::Only(Vec::new()).with("127.0.0.1");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = kusto_local::start(config, listener).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let command = async |text: String| {
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let answer = http.post(format!("{}/v1/rest/mgmt", service.url())).body(body).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    command(".create table T (a:long)".to_owned()).await;
    let port = site().await;
    for (url, code) in [
        (format!("http://127.0.0.1:{port}/row.csv"), None),
        (format!("http://127.0.0.1:{port}/here"), None),
        (format!("http://localhost:{port}/row.csv"), Some("Download_Forbidden")),
        ("http://169.254.169.254/latest/meta-data".to_owned(), Some("Download_Forbidden")),
        (format!("http://127.0.0.1@localhost:{port}/row.csv"), Some("Download_Forbidden")),
        (format!("http://127.0.0.1:{port}/there"), Some("Download_Forbidden")),
        (format!("http://127.0.0.1:{port}/round"), Some("Download_Forbidden")),
        ("file:///etc/passwd".to_owned(), Some("BadRequest_InvalidBlobUri")),
    ] {
        let (status, body) = command(format!(".ingest into table T ('{url}') with (format='csv')")).await;
        match code {
            None => assert_eq!(status, 200, "{url}: {body}"),
            Some(code) => {
                assert_eq!((status, body["error"]["code"].as_str()), (400, Some(code)), "{url}: {body}");
            }
        }
    }
    let (_, body) = command("T | count".to_owned()).await;
    assert_eq!(body["Tables"][0]["Rows"][0][0], 2);
    service.stop().await;
}
