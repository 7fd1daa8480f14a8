//! Queries by GET, as links have them.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use serde_json::{Value, json};
use support::Site;

#[tokio::test]
async fn a_link_asks_and_changes_nothing() {
    let site = Site::start().await;
    let get = async |path: &str| -> (u16, Value) {
        let answer = site.http.get(format!("{}{path}", site.service.url())).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    };
    let (status, body) = get("/v1/rest/query?db=NetDefaultDB&csl=print%20x%20%3D%201").await;
    assert_eq!((status, &body["Tables"][0]["Rows"]), (200, &json!([[1]])));
    let (status, body) = get("/v2/rest/query?csl=range+x+from+1+to+2+step+1").await;
    assert_eq!(status, 200);
    let rows = body.as_array().unwrap().iter().find(|frame| frame["TableKind"] == "PrimaryResult");
    assert_eq!(rows.unwrap()["Rows"], json!([[1], [2]]));
    for path in [
        "/v1/rest/query?csl=.create+table+T+(a:long)",
        "/v2/rest/query?db=NetDefaultDB",
        "/v1/rest/query?db=Nope&csl=print+1",
    ] {
        let (status, body) = get(path).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
    assert_eq!(get("/v1/rest/mgmt?csl=.show+version").await.0, 404);
}
