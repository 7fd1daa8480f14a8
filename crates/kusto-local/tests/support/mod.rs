//! A service on a folder of its own, and the requests that tests send it.
#![allow(dead_code, reason = "each test target uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::{RunningService, ServiceConfig};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than what a test waits for takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Site {
    pub(crate) service: RunningService,
    pub(crate) http: reqwest::Client,
    folder: tempfile::TempDir,
}

async fn serve(folder: &tempfile::TempDir, change: impl FnOnce(&mut ServiceConfig)) -> RunningService {
    let mut config = ServiceConfig::new(folder.path());
    change(&mut config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    kusto_local::start(config, listener).await.unwrap()
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A service with another configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = serve(&folder, change).await;
        Self { service, http: reqwest::Client::builder().no_proxy().build().unwrap(), folder }
    }

    /// The same data under a service with another configuration.
    pub(crate) async fn again(self, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        self.service.stop().await;
        let service = serve(&self.folder, change).await;
        Self { service, ..self }
    }

    pub(crate) async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let answer = self.http.post(format!("{}{path}", self.service.url())).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// The rows that a command gives, or the text of its error.
    pub(crate) async fn try_command(&self, text: &str) -> Result<Value, String> {
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let (status, answer) = self.post("/v1/rest/mgmt", body).await;
        match status {
            200 => Ok(answer["Tables"][0]["Rows"].clone()),
            _ => Err(answer["error"]["@message"].as_str().unwrap().to_owned()),
        }
    }

    /// The rows that a command gives.
    pub(crate) async fn command(&self, text: &str) -> Value {
        self.try_command(text).await.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The rows that a query gives.
    pub(crate) async fn rows(&self, query: &str) -> Value {
        let body = json!({ "db": "NetDefaultDB", "csl": query }).to_string();
        let (status, frames) = self.post("/v2/rest/query", body).await;
        assert_eq!(status, 200, "{query}: {frames}");
        let found = frames.as_array().unwrap().iter().find(|frame| frame["TableKind"] == "PrimaryResult");
        found.unwrap()["Rows"].clone()
    }

    /// Streams CSV; the status of the answer.
    pub(crate) async fn stream(&self, table: &str, rows: &str) -> u16 {
        let path = format!("/v1/rest/ingest/NetDefaultDB/{table}?streamFormat=csv");
        self.post(&path, rows.to_owned()).await.0
    }

    /// Puts a blob at a URL with its signature.
    pub(crate) async fn put(&self, url: &str, content: impl Into<reqwest::Body>) {
        let request = self.http.put(url).header("x-ms-blob-type", "BlockBlob").body(content);
        assert_eq!(request.send().await.unwrap().status(), 201, "{url}");
    }

    /// Waits until a command gives these rows.
    pub(crate) async fn until(&self, command: &str, wanted: Value) {
        let begun = Instant::now();
        loop {
            let found = self.command(command).await;
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{command}: {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The summary of a queued operation once it is in a state.
    pub(crate) async fn operation(&self, id: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let row = self.command(&format!(".show queued ingestion operations \"{id}\"")).await[0].clone();
            if row[3] == state {
                return row;
            }
            assert!(begun.elapsed() < PATIENCE, "{row}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
