//! Queries and commands end when they are cancelled or their time is up, and nothing of theirs
//! stays.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use support::Site;

/// Sends a query under an id; status and body.
async fn ask(site: &Site, id: &str, query: &str, options: Value) -> (u16, Value) {
    let body =
        json!({ "db": "NetDefaultDB", "csl": query, "properties": { "Options": options } }).to_string();
    let request = site.http.post(format!("{}/v2/rest/query", site.service.url()));
    let answer = request.header("x-ms-client-request-id", id).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// Longer than any test: a hundred billion rows.
const LONG: &str = "range x from 1 to 100000000000 step 1 | where x % 7 == 8";

#[tokio::test]
async fn a_running_query_is_listed_and_cancelled() {
    let site = Arc::new(Site::start().await);
    let asked = site.clone();
    let query = tokio::spawn(async move { ask(&asked, "KPC.run;1", LONG, json!({})).await });
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
    let (status, body) = ask(&site, "q", LONG, options.clone()).await;
    assert_eq!(status, 504, "{body}");
    assert_eq!(body["error"]["@permanent"], false, "{body}");
    let joined = format!("print a = 1 | join kind=inner (print a = 1) on a | union ({LONG})");
    assert_eq!(ask(&site, "q", &joined, options).await.0, 504);
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
