//! REST v2 ingestion request by request as Java's second client (`kusto-ingest-v2`) and .NET's
//! make it by the published protocol: no token before a challenge, an upload to the lake,
//! a submission, and polls until every blob has ended.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use kusto_local::{AccessConfig, Principal};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::ops::Deref;
use std::time::{Duration, Instant};
use support::{PATIENCE, Site};

const TOKEN: &str = "token-of-the-test";

/// A service that asks for a token.
struct Guarded(Site);

impl Deref for Guarded {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Guarded {
    async fn start() -> Self {
        let principal = || Principal::parse("aadapp=root;t").unwrap();
        let access = AccessConfig::open().with_token(TOKEN, principal()).with_admin(principal());
        Self(Site::with(|config| config.access = access).await)
    }

    async fn once(&self, method: Method, path: &str, body: Option<&Value>, token: Option<&str>) -> Response {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.service.url()))
            .header("x-ms-app", "app")
            .header("x-ms-client-version", "Kusto.Java.Client:[1.0.0]")
            .header("x-ms-client-request-id", "KIJC.execute;1")
            .header("x-ms-version", "2024-12-12");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        match token {
            Some(token) => request.bearer_auth(token).send().await.unwrap(),
            None => request.send().await.unwrap(),
        }
    }

    /// A request as Java's second client makes it: it sends its token only when it is asked.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let asked = self.once(method.clone(), path, body, None).await;
        assert_eq!(asked.status(), 401);
        let challenge = asked.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("authorization_uri="), "{challenge}");
        let answer = self.once(method, path, body, Some(TOKEN)).await;
        let status = answer.status().as_u16();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn command(&self, text: &str) -> Value {
        let body = json!({ "db": "NetDefaultDB", "csl": text });
        let answer = self.once(Method::POST, "/v1/rest/mgmt", Some(&body), Some(TOKEN)).await;
        assert!(answer.status().is_success(), "{text}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        body["Tables"][0]["Rows"].clone()
    }

    /// Create, append and flush: what the data lake's client does. The URL of the file.
    async fn to_lake(&self, folder: &str, name: &str, content: &str) -> String {
        let (base, signature) = folder.split_once('?').unwrap();
        let file = format!("{base}/{name}");
        let put = self.http.put(format!("{file}?resource=file&{signature}")).header("content-length", "0");
        assert_eq!(put.send().await.unwrap().status(), 201);
        let append = self.http.patch(format!("{file}?action=append&position=0&{signature}"));
        assert_eq!(append.body(content.to_owned()).send().await.unwrap().status(), 202);
        let length = content.len();
        let flush = self.http.patch(format!("{file}?action=flush&position={length}&{signature}"));
        assert_eq!(flush.header("content-length", "0").send().await.unwrap().status(), 200);
        format!("{file}?{signature}")
    }
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn rest_v2_as_its_clients_speak_it() {
    let site = Guarded::start().await;
    site.command(".create table T (id:long, name:string)").await;
    let (status, configuration) = site.call(Method::GET, "/v1/rest/ingestion/configuration", None).await;
    assert_eq!(status, 200);
    assert_eq!(keys(&configuration), ["containerSettings", "ingestionSettings"]);
    let (containers, settings) = (&configuration["containerSettings"], &configuration["ingestionSettings"]);
    assert_eq!(keys(containers), ["containers", "lakeFolders", "preferredUploadMethod", "refreshInterval"]);
    assert_eq!(containers["refreshInterval"], "01:00:00");
    assert_eq!(
        settings,
        &json!({ "maxBlobsPerBatch": 20, "maxDataSize": 6_442_450_944u64, "preferredIngestionMethod": "Rest" })
    );

    let folder = containers["lakeFolders"][0]["path"].as_str().unwrap();
    let good = site.to_lake(folder, "good.csv", "1,a\n2,b\n").await;
    let bad = site.to_lake(folder, "bad.csv", "3,\"open\n").await;
    let (one, two) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
    let path = "/v1/rest/ingestion/queued/NetDefaultDB/T";
    let request = json!({
        "timestamp": "2026-01-02T03:04:05.678Z",
        "blobs": [{ "url": good, "sourceId": one, "rawSize": 8 }, { "url": bad, "sourceId": two }],
        "properties": { "format": "csv", "enableTracking": true, "skipBatching": true, "deleteAfterDownload": false,
            "tags": ["drop-by:v2"], "ingestIfNotExists": [], "ignoreFirstRecord": false },
    });
    let (status, submitted) = site.call(Method::POST, path, Some(&request)).await;
    assert_eq!(status, 200, "{submitted}");
    assert_eq!(keys(&submitted), ["ingestionOperationId"]);
    let id = submitted["ingestionOperationId"].as_str().unwrap();
    assert!(!id.is_empty());

    let begun = Instant::now();
    let ended = loop {
        let (status, found) = site.call(Method::GET, &format!("{path}/{id}?details=true"), None).await;
        assert_eq!(status, 200, "{found}");
        let details = found["details"].as_array().unwrap();
        assert_eq!(details.len(), 2, "the client takes no details for no end");
        let is_end =
            |blob: &Value| matches!(blob["status"].as_str(), Some("Succeeded" | "Failed" | "Canceled"));
        assert!(
            details
                .iter()
                .all(|blob| is_end(blob) || matches!(blob["status"].as_str(), Some("Queued" | "InProgress")))
        );
        if details.iter().all(is_end) {
            break found;
        }
        assert!(begun.elapsed() < PATIENCE, "{found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(keys(&ended), ["details", "lastUpdated", "startTime", "status"]);
    assert_eq!(ended["status"], json!({ "succeeded": 1, "failed": 1, "inProgress": 0, "canceled": 0 }));
    let of = |id: &str| {
        ended["details"].as_array().unwrap().iter().find(|blob| blob["sourceId"] == id).unwrap().clone()
    };
    assert_eq!(of(&one)["status"], "Succeeded");
    let failed = of(&two);
    assert_eq!(
        (&failed["status"], &failed["errorCode"], &failed["failureStatus"]),
        (&json!("Failed"), &json!("Stream_ClosingQuoteMissing"), &json!("Permanent"))
    );
    assert!(failed["startedAt"].is_string() && failed["lastUpdateTime"].is_string(), "{failed}");
    // The summary has the counts alone.
    let (_, summary) = site.call(Method::GET, &format!("{path}/{id}?details=false"), None).await;
    assert_eq!((&summary["status"], &summary["details"]), (&ended["status"], &json!([])));
    assert_eq!(
        site.command(".show table T extents where tags has 'drop-by:v2' | project RowCount").await,
        json!([[2]])
    );

    // Without tracking there is no id to ask after, and errors say what a client must know.
    let untracked = json!({ "blobs": [{ "url": good }], "properties": { "format": "csv" } });
    assert_eq!(
        site.call(Method::POST, path, Some(&untracked)).await.1,
        json!({ "ingestionOperationId": "" })
    );
    let (status, unknown) = site.call(Method::GET, &format!("{path}/{}", uuid::Uuid::new_v4()), None).await;
    assert_eq!((status, &unknown["error"]["@permanent"]), (404, &json!(true)), "{unknown}");
    let many: Vec<Value> =
        (0..21).map(|n| json!({ "url": format!("https://a.blob.core.windows.net/c/{n}.csv") })).collect();
    let many = json!({ "blobs": many, "properties": { "format": "csv" } });
    assert_eq!(site.call(Method::POST, path, Some(&many)).await.0, 400);
    assert_eq!(
        site.call(Method::POST, "/v1/rest/ingestion/queued/NetDefaultDB/Nope", Some(&untracked)).await.0,
        400
    );
}
