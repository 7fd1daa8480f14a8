//! Update policies on every way in: commands, streaming and the queue.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use serde_json::json;
use std::time::{Duration, Instant};
use support::{PATIENCE, Site};

/// Queues a blob by REST v2; how its operation ends: ingested, failed, and why.
async fn queue(site: &Site, table: &str, rows: &str) -> (u64, u64, String) {
    let resources = site.command(".get ingestion resources").await;
    let container = resources.as_array().unwrap().iter().find(|row| row[0] == "TempStorage").unwrap();
    let name = format!("/{}.csv?", uuid::Uuid::new_v4());
    let blob = container[1].as_str().unwrap().replace('?', &name);
    site.put(&blob, rows.to_owned()).await;
    let request = json!({ "blobs": [{ "url": blob, "sourceId": uuid::Uuid::new_v4().to_string() }],
        "properties": { "format": "csv", "enableTracking": true, "skipBatching": true, "tags": ["drop-by:q"] } });
    let path = format!("/v1/rest/ingestion/queued/NetDefaultDB/{table}");
    let (status, answer) = site.post(&path, request.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let id = answer["ingestionOperationId"].as_str().unwrap();
    let command = format!(
        ".show queued ingestion operations \"{id}\" | project Pending, Ingested, Failed, SampleFailedReasons"
    );
    let begun = Instant::now();
    loop {
        let shown = site.command(&command).await[0].clone();
        if shown[0] == 0 {
            let reason = shown[3].as_str().unwrap().to_owned();
            return (shown[1].as_u64().unwrap(), shown[2].as_u64().unwrap(), reason);
        }
        assert!(begun.elapsed() < PATIENCE, "{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
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
        site.command(text).await;
    }
    site.try_command(".ingest inline into table Raw <| 1:a").await.unwrap();
    assert_eq!(site.stream("Raw", "2:b\n3:c\n").await, 200);
    assert_eq!(queue(&site, "Raw", "4:a\n5:b\n").await, (1, 0, String::new()));
    let query = async |text: &str| site.rows(text).await;
    assert_eq!(query("Parsed | order by id asc").await, json!([[1, "a"], [2, "b"], [4, "a"], [5, "b"]]));
    assert_eq!(query("Count | order by n asc").await, json!([[1], [1], [2]]));
    assert_eq!(query("Raw | count").await, json!([[5]]));
    // The tags of the source go along where the policy says so, and no further.
    assert_eq!(query("Parsed | where extent_tags() has 'drop-by:q' | count").await, json!([[2]]));
    assert_eq!(query("Count | where extent_tags() has 'drop-by:q' | count").await, json!([[0]]));
    // Nothing comes of it: no extent.
    site.try_command(".ingest inline into table Raw <| 9:z").await.unwrap();
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
    site.try_command(".create tables S (a:long), T (a:long), L (a:long)").await.unwrap();
    site.try_command(&policy(true)).await.unwrap();
    site.try_command(".drop table L").await.unwrap();
    let error = site.try_command(".ingest inline into table S <| 1").await.unwrap_err();
    assert!(error.contains("update policy of table T") && error.contains('L'), "{error}");
    assert_eq!(site.stream("S", "2\n").await, 400);
    assert_eq!(queue(&site, "S", "3\n").await, (0, 1, "UpdatePolicy_BadRequest".to_owned()));
    assert_eq!(
        site.try_command(".show tables details | where TableName == 'S' | project TotalRowCount").await,
        Ok(json!([[0]]))
    );
    // Without a transaction the rows stay, and the failure is shown.
    site.try_command(".create table L (a:long)").await.unwrap();
    site.try_command(&policy(false)).await.unwrap();
    site.try_command(".drop table L").await.unwrap();
    site.try_command(".ingest inline into table S <| 4").await.unwrap();
    assert_eq!(queue(&site, "S", "5\n").await, (1, 0, String::new()));
    let failures = site
        .try_command(".show ingestion failures | where OriginatesFromUpdatePolicy | distinct Table, ErrorCode, OperationKind")
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
        let error = site.try_command(text).await.unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    // A circle ends.
    site.try_command(r#".alter table T policy update '[{"Source":"S","Query":"S"}]'"#).await.unwrap();
    site.try_command(r#".alter table S policy update '[{"Source":"T","Query":"T","IsTransactional":true}]'"#)
        .await
        .unwrap();
    let error = site.try_command(".ingest inline into table S <| 6").await.unwrap_err();
    assert!(error.contains("leads back"), "{error}");
}
