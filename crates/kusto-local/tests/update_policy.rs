//! Update policies on every way in: commands, streaming and the queue.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::{RunningService, ServiceConfig};
use serde_json::{Value, json};
use std::time::Duration;

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

    async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let answer = self.http.post(format!("{}{path}", self.service.url())).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// Rows of a command, or the text of its error.
    async fn run(&self, text: &str) -> Result<Value, String> {
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let (status, answer) = self.post("/v1/rest/mgmt", body).await;
        match status {
            200 => Ok(answer["Tables"][0]["Rows"].clone()),
            _ => Err(answer["error"]["@message"].as_str().unwrap().to_owned()),
        }
    }

    async fn stream(&self, table: &str, rows: &str) -> u16 {
        self.post(&format!("/v1/rest/ingest/NetDefaultDB/{table}?streamFormat=csv"), rows.to_owned()).await.0
    }

    /// Queues a blob by REST v2; how its operation ends.
    async fn queue(&self, table: &str, rows: &str) -> (u64, u64, String) {
        let resources = self.run(".get ingestion resources").await.unwrap();
        let container = resources.as_array().unwrap().iter().find(|row| row[0] == "TempStorage").unwrap();
        let name = format!("/{}.csv?", uuid::Uuid::new_v4());
        let blob = container[1].as_str().unwrap().replace('?', &name);
        let put = self.http.put(&blob).header("x-ms-blob-type", "BlockBlob").body(rows.to_owned());
        assert_eq!(put.send().await.unwrap().status(), 201);
        let request = json!({ "blobs": [{ "url": blob, "sourceId": uuid::Uuid::new_v4().to_string() }],
            "properties": { "format": "csv", "enableTracking": true, "skipBatching": true, "tags": ["drop-by:q"] } });
        let path = format!("/v1/rest/ingestion/queued/NetDefaultDB/{table}");
        let (status, answer) = self.post(&path, request.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        let id = answer["ingestionOperationId"].as_str().unwrap();
        for _ in 0..200 {
            let shown = self.run(&format!(".show queued ingestion operations \"{id}\"")).await.unwrap();
            if shown[0][5] == 0 {
                let reason = shown[0][9].as_str().unwrap_or_default().to_owned();
                return (shown[0][7].as_u64().unwrap(), shown[0][8].as_u64().unwrap(), reason);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the operation does not end");
    }
}

#[tokio::test]
async fn rows_go_through_update_policies_in_one_transaction() {
    let site = Site::start().await;
    for text in [
        ".create tables Raw (line:string), Parsed (id:long, name:string), Count (n:long), Known (name:string)",
        ".set-or-append Known <| datatable(name:string) [\"a\", \"b\"]",
        r#".alter table Parsed policy update @'[{"Source":"Raw","Query":"Raw | extend p = split(line, \":\") | project id = tolong(p[0]), name = tostring(p[1]) | where name in (Known)","IsTransactional":true,"PropagateIngestionProperties":true}]'"#,
        r#".alter table Count policy update '[{"IsEnabled":true,"Source":"Parsed","Query":"Parsed | count"}]'"#,
    ] {
        site.run(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    site.run(".ingest inline into table Raw <| 1:a").await.unwrap();
    assert_eq!(site.stream("Raw", "2:b\n3:c\n").await, 200);
    assert_eq!(site.queue("Raw", "4:a\n5:b\n").await, (1, 0, String::new()));
    let query = async |text: &str| {
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let frames = site.post("/v2/rest/query", body).await.1;
        let found = frames.as_array().unwrap().iter().find(|frame| frame["TableKind"] == "PrimaryResult");
        found.unwrap()["Rows"].clone()
    };
    assert_eq!(query("Parsed | order by id asc").await, json!([[1, "a"], [2, "b"], [4, "a"], [5, "b"]]));
    assert_eq!(query("Count | order by n asc").await, json!([[1], [1], [2]]));
    assert_eq!(query("Raw | count").await, json!([[5]]));
    // The tags of the source go along where the policy says so, and no further.
    assert_eq!(query("Parsed | where extent_tags() has 'drop-by:q' | count").await, json!([[2]]));
    assert_eq!(query("Count | where extent_tags() has 'drop-by:q' | count").await, json!([[0]]));
    // Nothing comes of it: no extent.
    site.run(".ingest inline into table Raw <| 9:z").await.unwrap();
    assert_eq!(query("Count | count").await, json!([[3]]));
}

#[tokio::test]
async fn a_failed_policy_fails_the_ingestion_if_it_is_transactional() {
    let site = Site::start().await;
    let policy = |transactional: bool| {
        format!(
            r#".alter table T policy update '[{{"Source":"S","Query":"S | join kind=inner L on a | project a","IsTransactional":{transactional}}}]'"#
        )
    };
    site.run(".create tables S (a:long), T (a:long), L (a:long)").await.unwrap();
    site.run(&policy(true)).await.unwrap();
    site.run(".drop table L").await.unwrap();
    let error = site.run(".ingest inline into table S <| 1").await.unwrap_err();
    assert!(error.contains("update policy of table T") && error.contains('L'), "{error}");
    assert_eq!(site.stream("S", "2\n").await, 400);
    assert_eq!(site.queue("S", "3\n").await, (0, 1, "UpdatePolicy_BadRequest".to_owned()));
    assert_eq!(
        site.run(".show tables details | where TableName == 'S' | project TotalRowCount").await,
        Ok(json!([[0]]))
    );
    // Without a transaction the rows stay, and the failure is shown.
    site.run(".create table L (a:long)").await.unwrap();
    site.run(&policy(false)).await.unwrap();
    site.run(".drop table L").await.unwrap();
    site.run(".ingest inline into table S <| 4").await.unwrap();
    assert_eq!(site.queue("S", "5\n").await, (1, 0, String::new()));
    let failures = site
        .run(".show ingestion failures | where OriginatesFromUpdatePolicy | distinct Table, ErrorCode, OperationKind")
        .await;
    assert_eq!(failures, Ok(json!([["T", "UpdatePolicy_BadRequest", "UpdatePolicy"]])));
    for (text, says) in [
        (r#".alter table T policy update '[{"Source":"Nope","Query":"S | take 1"}]'"#, "Nope"),
        (r#".alter table T policy update '[{"Source":"S","Query":"S | nope"}]'"#, "nope"),
        (
            r#".alter table T policy update '[{"Source":"S","Query":"S | extend b = 1"}]'"#,
            "matched by position",
        ),
        (r#".alter table T policy update '{"Source":"S"}'"#, "array"),
        (r#".alter database NetDefaultDB policy update '[]'"#, "a table's"),
    ] {
        let error = site.run(text).await.unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    // A circle ends.
    site.run(r#".alter table T policy update '[{"Source":"S","Query":"S"}]'"#).await.unwrap();
    site.run(r#".alter table S policy update '[{"Source":"T","Query":"T","IsTransactional":true}]'"#)
        .await
        .unwrap();
    let error = site.run(".ingest inline into table S <| 6").await.unwrap_err();
    assert!(error.contains("leads back"), "{error}");
}
