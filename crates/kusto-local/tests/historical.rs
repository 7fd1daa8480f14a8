//! Loads of what storage has: blobs are listed by container, prefix and pattern, queued as one
//! operation, followed, and cancelled.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use serde_json::{Value, json};
use std::io::Write as _;
use std::ops::Deref;
use support::Site;

/// A service with a container that may be listed.
struct History {
    site: Site,
    /// Its URL and its signature.
    container: (String, String),
}

impl Deref for History {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl History {
    async fn start() -> Self {
        let site = Site::start().await;
        let root = site.command(".create tempstorage").await[0][0].as_str().unwrap().to_owned();
        let (url, signature) = root.split_once('?').unwrap();
        Self { site, container: (url.to_owned(), signature.to_owned()) }
    }

    async fn put(&self, name: &str, content: impl Into<reqwest::Body>) {
        let (url, signature) = &self.container;
        self.site.put(&format!("{url}/{name}?{signature}"), content).await;
    }

    /// What List Blobs answers.
    async fn list(&self, query: &str) -> kusto_wire::storage::BlobPage {
        let (url, signature) = &self.container;
        let url = format!("{url}?restype=container&comp=list&{query}&{signature}");
        let answer = self.http.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        kusto_wire::storage::decode_blob_page(&answer.text().await.unwrap()).unwrap()
    }

    fn locator(&self, prefix: &str) -> String {
        format!("\"{}/{prefix}?{}\"", self.container.0, self.container.1)
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

async fn with_history() -> History {
    let site = History::start().await;
    site.command(".create table T (id:long, name:string)").await;
    site.put("h/2024-01-05/a.csv", "1,a\n").await;
    site.put("h/2024-01-05/b%20b.csv", "2,b\n").await;
    site.put("h/2024-02-06/c.csv.gz", gzip("3,c\n4,d\n")).await;
    site.put("h/other.json", "{}").await;
    site.put("i/2024-03-07/e.csv", "5,e\n").await;
    site
}

const FORMAT: &str = "PathFormat=(\"/\" datetime_pattern(\"yyyy'-'MM'-'dd\", creationTime) \"/\")";

#[tokio::test]
async fn containers_are_listed_in_pages_and_by_prefixes() {
    let site = with_history().await;
    let names = |page: &kusto_wire::storage::BlobPage| -> Vec<String> {
        page.blobs.iter().map(|blob| blob.name.clone()).collect()
    };
    let all = site.list("").await;
    assert_eq!(
        names(&all),
        [
            "h/2024-01-05/a.csv",
            "h/2024-01-05/b b.csv",
            "h/2024-02-06/c.csv.gz",
            "h/other.json",
            "i/2024-03-07/e.csv"
        ]
    );
    assert_eq!(all.blobs[0].size, 4);
    let folders = site.list("prefix=h/&delimiter=/").await;
    assert_eq!(
        (names(&folders), folders.prefixes),
        (vec!["h/other.json".into()], vec!["h/2024-01-05/".into(), "h/2024-02-06/".into()])
    );
    // A page at a time gives the same, with folders too.
    let (mut marker, mut blobs, mut prefixes) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = site.list(&format!("prefix=h/&delimiter=/&maxresults=1&marker={marker}")).await;
        assert!(page.blobs.len() + page.prefixes.len() <= 1);
        // Clients ask for the next page with what this one says.
        assert_eq!((page.prefix.as_str(), page.delimiter.as_str(), page.max_results), ("h/", "/", Some(1)));
        blobs.extend(names(&page));
        prefixes.extend(page.prefixes);
        marker = page.next_marker;
        if marker.is_empty() {
            break;
        }
    }
    assert_eq!((blobs.len(), prefixes.len()), (1, 2));
    // The containers of `.get ingestion resources` take blobs and do not show them.
    let resources = site.command(".get ingestion resources").await;
    let upload = resources.as_array().unwrap().iter().find(|row| row[0] == "TempStorage").unwrap();
    let (url, signature) = upload[1].as_str().unwrap().split_once('?').unwrap();
    let answer =
        site.http.get(format!("{url}?restype=container&comp=list&{signature}")).send().await.unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn what_storage_has_is_listed_and_loaded_as_one_operation() {
    let site = with_history().await;
    let listed = site.command(&format!(".list blobs ({}) Suffix='.csv' {FORMAT}", site.locator("h/"))).await;
    let shown: Vec<(String, Value)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row[0].as_str().unwrap().rsplit_once("/h/").unwrap().1.to_owned(), row[2].clone()))
        .collect();
    let captured = json!({ "CreationTime": "01/05/2024 00:00:00" });
    assert_eq!(
        shown,
        [("2024-01-05/a.csv".into(), captured.clone()), ("2024-01-05/b%20b.csv".into(), captured)]
    );
    assert!(!listed.to_string().contains("sig="), "{listed}");
    let two = site.command(&format!(".list blobs ({}) MaxFiles=2", site.locator(""))).await;
    assert_eq!(two.as_array().unwrap().len(), 2);

    let load = format!(
        ".ingest-from-storage-queued into table database('NetDefaultDB').T EnableTracking=true SkipBatching=true CompressionFactor=3.0 with (format='csv', tags='[\"drop-by:history\"]') <| .list blobs ({}) Suffix='' {FORMAT}",
        site.locator("h/2024")
    );
    let row = site.command(&load).await[0].clone();
    let id = row[0].as_str().unwrap();
    assert!(row[1].as_str().is_some_and(|id| !id.is_empty()), "the client's id of the request");
    assert_eq!(row[2], format!(".show queued ingestion operations \"{id}\""));
    let done = site.operation(id, "Completed").await;
    assert_eq!(
        done.as_array().unwrap()[4..10],
        [json!(3), json!(0), json!(0), json!(3), json!(0), json!("")]
    );
    assert_eq!(site.command(".show tables details | project TotalRowCount").await, json!([[4]]));
    let extents = site
        .command(".show table T extents where tags has 'drop-by:history' | project MaxCreatedOn, RowCount | order by MaxCreatedOn asc")
        .await;
    let days: Vec<&str> = extents.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(days.first().map(|day| &day[..10]), Some("2024-01-05"));
    assert_eq!(days.last().map(|day| &day[..10]), Some("2024-02-06"));
    let details = site.command(&format!("{} details", row[2].as_str().unwrap())).await;
    assert_eq!(details.as_array().unwrap().len(), 3);
    assert!(details.as_array().unwrap().iter().all(|row| row[2] == "Succeeded" && row[5] == ""), "{details}");
    assert!(!details.to_string().contains("sig="), "{details}");
}

#[tokio::test]
async fn named_blobs_are_loaded_and_what_fails_says_why() {
    let site = with_history().await;
    let load = format!(
        ".ingest-from-storage-queued into table T SkipBatching=true <| {} {}",
        site.locator("i/2024-03-07/e.csv"),
        site.locator("i/nothing.csv")
    );
    let id = site.command(&load).await[0][0].as_str().unwrap().to_owned();
    let done = site.operation(&id, "Completed").await;
    assert_eq!(
        done.as_array().unwrap()[4..10],
        [json!(2), json!(0), json!(0), json!(1), json!(1), json!("Download_SourceNotFound")]
    );
    let details = site.command(&format!(".show queued ingestion operations (\"{id}\") details")).await;
    let failed = details.as_array().unwrap().iter().find(|row| row[2] == "Failed").unwrap();
    assert!(failed[5].as_str().unwrap().starts_with("Download_SourceNotFound: "), "{failed}");
    // Nothing is posted when the listing cannot be had.
    let elsewhere = site.service.url().replace("127.0.0.1", "localhost");
    let error = site
        .try_command(&format!(
            ".ingest-from-storage-queued into table T <| .list blobs ('{elsewhere}/acct/c')"
        ))
        .await
        .unwrap_err();
    assert!(error.contains("/acct/c"), "{error}");
}

#[tokio::test]
async fn a_cancelled_load_stops_wherever_its_blobs_are() {
    let site = with_history().await;
    site.command(".alter table T policy ingestionbatching '{\"MaximumBatchingTimeSpan\":\"00:30:00\"}'")
        .await;
    let load = format!(
        ".ingest-from-storage-queued into table T with (format='csv') <| .list blobs ({})",
        site.locator("h/2024")
    );
    let begin = async || site.command(&load).await[0][0].as_str().unwrap().to_owned();
    // One at once, on the queue or in a batch, and one in its batch for certain.
    let first = begin().await;
    let cancelled = site.command(&format!(".cancel queued ingestion operation \"{first}\"")).await[0].clone();
    assert_eq!((&cancelled[3], &cancelled[4], &cancelled[6]), (&json!("Canceled"), &json!(3), &json!(3)));
    let second = begin().await;
    site.until(".show ingestion sources | where State == 'Batched' | count", json!([[3]])).await;
    site.command(&format!(".cancel queued ingestion operation \"{second}\"")).await;
    // What comes after is loaded, and nothing of theirs with it.
    let third = format!(
        ".ingest-from-storage-queued into table T SkipBatching=true with (format='csv') <| {}",
        site.locator("i/2024-03-07/e.csv")
    );
    let third = site.command(&third).await[0][0].as_str().unwrap().to_owned();
    site.operation(&third, "Completed").await;
    assert_eq!(site.command(".show tables details | project TotalRowCount").await, json!([[1]]));
    for id in [first, second] {
        let row = site.operation(&id, "Canceled").await;
        assert_eq!((&row[5], &row[6], &row[7]), (&json!(0), &json!(3), &json!(0)), "{row}");
    }
    // What is done stays done.
    let row = site.command(&format!(".cancel queued ingestion operation \"{third}\"")).await[0].clone();
    assert_eq!((&row[3], &row[7]), (&json!("Completed"), &json!(1)));
}

#[tokio::test]
async fn a_load_brings_the_columns_of_its_mapping() {
    let site = with_history().await;
    let mapping = r#"[{"column":"id","Properties":{"Ordinal":"0"}},{"column":"letter","datatype":"string","Properties":{"Ordinal":"1"}}]"#;
    let load = |more: &str| {
        format!(
            ".ingest-from-storage-queued into table T SkipBatching=true with (format='csv', ingestionMapping='{mapping}'{more}) <| {}",
            site.locator("i/2024-03-07/e.csv")
        )
    };
    // Without the property the mapping names a column that is not there.
    let id = site.command(&load("")).await[0][0].as_str().unwrap().to_owned();
    let failed = site.operation(&id, "Failed").await;
    assert_eq!(failed[9], "BadRequest_InconsistentMapping", "{failed}");
    let id = site.command(&load(", extend_schema=true")).await[0][0].as_str().unwrap().to_owned();
    site.operation(&id, "Completed").await;
    let schema = site.command(".show table T cslschema | project Schema").await;
    assert_eq!(schema, json!([["id:long,name:string,letter:string"]]));
    let id = site.command(&load(", recreate_schema=true")).await[0][0].as_str().unwrap().to_owned();
    let failed = site.operation(&id, "Failed").await;
    assert_eq!(failed[9], "BadRequest_MalformedIngestionProperty", "{failed}");
}

#[tokio::test]
async fn what_an_ingestion_reads_is_duplicated_once() {
    let site = with_history().await;
    let (url, signature) = site.container.clone();
    let target = format!("{url}/copies/?{signature}");
    let promised = site.command(&format!(".dup-next-ingest into T to h@'{target}'")).await[0].clone();
    assert_eq!(promised[0], "T");
    assert!(promised[1].as_str().unwrap().contains("/copies/T/"), "{promised}");
    assert!(!promised.to_string().contains("sig="), "{promised}");
    site.command(&format!(".dup-next-failed-ingest into T to h@'{target}'")).await;
    // By the queue the first, and a command that fails the other.
    let load = format!(
        ".ingest-from-storage-queued into table T SkipBatching=true with (format='csv', tags='[\"a\"]') <| {}",
        site.locator("i/2024-03-07/e.csv")
    );
    let id = site.command(&load).await[0][0].as_str().unwrap().to_owned();
    site.operation(&id, "Completed").await;
    let copies = async || -> Vec<String> {
        site.list("prefix=copies/").await.blobs.into_iter().map(|blob| blob.name).collect()
    };
    let first = copies().await;
    let folder = promised[2].as_str().unwrap().split_once("/copies/").unwrap().1;
    let folder = folder.strip_suffix("/command.json").unwrap();
    assert_eq!(first, [format!("copies/{folder}/0-e.csv"), format!("copies/{folder}/command.json")]);
    let read = async |name: &str| {
        let answer = site.http.get(format!("{url}/{name}?{signature}")).send().await.unwrap();
        answer.text().await.unwrap()
    };
    assert_eq!(read(&first[0]).await, "5,e\n");
    let command: Value = serde_json::from_str(&read(&first[1]).await).unwrap();
    assert_eq!((&command["Table"], &command["Failure"]), (&json!("T"), &Value::Null));
    assert_eq!(command["IngestionProperties"]["tags"].to_string(), json!("[\"a\"]").to_string());
    assert!(!command.to_string().contains("authorizationContext"), "{command}");

    site.put("bad.csv", "1,\"open\n").await;
    let direct = format!(".ingest into table T ({}) with (format='csv')", site.locator("bad.csv"));
    for _ in 0..2 {
        site.try_command(&direct).await.unwrap_err();
    }
    let second: Vec<String> = copies().await.into_iter().filter(|name| !first.contains(name)).collect();
    assert_eq!(second.len(), 2, "{second:?}");
    let command: Value = serde_json::from_str(&read(&second[1]).await).unwrap();
    assert!(command["Failure"].as_str().unwrap().contains("quote"), "{command}");
    // A container that cannot be written to is refused at once.
    let error = site.try_command(&format!(".dup-next-ingest into T to h@'{url}/copies'")).await.unwrap_err();
    assert!(error.contains("does not let blobs be written"), "{error}");
}
