//! Queries and commands end when they are cancelled or their time is up, and nothing of theirs
//! stays.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::{RunningService, ServiceConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Site {
    service: RunningService,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = kusto_local::start(ServiceConfig::new(folder.path()), listener).await.unwrap();
        Self { service, http: reqwest::Client::builder().no_proxy().build().unwrap(), _folder: folder }
    }

    async fn send(&self, path: &str, id: &str, csl: &str, options: Value) -> (u16, Value) {
        let body =
            json!({ "db": "NetDefaultDB", "csl": csl, "properties": { "Options": options } }).to_string();
        let request = self.http.post(format!("{}{path}", self.service.url()));
        let answer = request.header("x-ms-client-request-id", id).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn command(&self, text: &str) -> Value {
        let (status, body) = self.send("/v1/rest/mgmt", "command", text, json!({})).await;
        assert_eq!(status, 200, "{body}");
        body["Tables"][0]["Rows"].clone()
    }

    async fn until(&self, command: &str, wanted: Value) {
        let begun = Instant::now();
        loop {
            let found = self.command(command).await;
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{command}: {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Longer than any test: a hundred billion rows.
const LONG: &str = "range x from 1 to 100000000000 step 1 | where x % 7 == 8";

#[tokio::test]
async fn a_running_query_is_listed_and_cancelled() {
    let site = Arc::new(Site::start().await);
    let asked = site.clone();
    let query = tokio::spawn(async move { asked.send("/v2/rest/query", "KPC.run;1", LONG, json!({})).await });
    site.until(
        ".show running queries | project ClientActivityId, State",
        json!([["KPC.run;1", "InProgress"]]),
    )
    .await;
    let cancelled = site.command(".cancel query 'KPC.run;1' with (reason='too long')").await;
    assert_eq!(cancelled, json!([[true, ""]]));
    let (status, body) = query.await.unwrap();
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["@message"].as_str().unwrap().contains("cancelled: too long"), "{body}");
    site.until(".show running queries | count", json!([[0]])).await;
    let failure = site
        .command(".show queries | where ClientActivityId == 'KPC.run;1' | project State, FailureReason")
        .await;
    assert_eq!(failure, json!([["Failed", "the request was cancelled: too long"]]));
}

#[tokio::test]
async fn a_query_ends_with_the_time_that_it_has() {
    let site = Site::start().await;
    let options = json!({ "servertimeout": "00:00:00.2" });
    let (status, body) = site.send("/v2/rest/query", "q", LONG, options.clone()).await;
    assert_eq!(status, 504, "{body}");
    assert_eq!(body["error"]["@permanent"], false, "{body}");
    let joined = format!("print a = 1 | join kind=inner (print a = 1) on a | union ({LONG})");
    assert_eq!(site.send("/v2/rest/query", "q", &joined, options).await.0, 504);
}

#[tokio::test]
async fn a_cancelled_command_leaves_nothing() {
    let site = Site::start().await;
    let id = site.command(&format!(".set async Big <| {LONG}")).await[0][0].as_str().unwrap().to_owned();
    let stopped =
        site.command(&format!(".cancel operation {id} with (reason='changed my mind')")).await[0].clone();
    assert_eq!(
        (&stopped[0], &stopped[1], &stopped[3], &stopped[4]),
        (&json!(id), &json!("TableSet"), &json!("Cancelled successfully"), &json!("changed my mind"))
    );
    site.until(&format!(".show operations {id} | project State"), json!([["Canceled"]])).await;
    assert_eq!(site.command(".show tables | count").await, json!([[0]]));
    // What has ended is not cancelled any more.
    let late = site.command(&format!(".cancel operation {id}")).await[0].clone();
    assert_eq!(late[3], "Cancel failed");
    site.command(".set Small <| print a = 1").await;
}
