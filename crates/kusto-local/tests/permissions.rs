//! Role by operation by path: each cell is a request that is sent, and what came back is
//! compared with `docs/permissions.md`. `KIN_WRITE=1` writes the page anew.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use base64::Engine as _;
use kusto_local::{AccessConfig, Principal, RunningService, ServiceConfig};
use reqwest::Client;
use serde_json::{Value, json};
use std::time::Duration;

/// Who sends: the column's head, the token, and the grant in the database or on the table.
const CALLERS: [(&str, Option<&str>, Option<(&str, &str)>); 12] = [
    ("no token", None, None),
    ("unknown token", Some("nobody's"), None),
    ("no role", Some("t0"), None),
    ("Database Admin", Some("t1"), Some(("database", "admins"))),
    ("Database User", Some("t2"), Some(("database", "users"))),
    ("Database Viewer", Some("t3"), Some(("database", "viewers"))),
    ("Database UnrestrictedViewer", Some("t4"), Some(("database", "unrestrictedviewers"))),
    ("Database Ingestor", Some("t5"), Some(("database", "ingestors"))),
    ("Database Monitor", Some("t6"), Some(("database", "monitors"))),
    ("Table Admin", Some("t7"), Some(("table", "admins"))),
    ("Table Ingestor", Some("t8"), Some(("table", "ingestors"))),
    ("AllDatabasesAdmin", Some("root"), None),
];

/// What is asked, and the least role by the documentation. `{t}` is the caller's own table,
/// `{n}` a name that is not taken.
const COMMANDS: [(&str, &str); 52] = [
    ("query", "{t} | count"),
    ("query of another database", "database('Other').T | count"),
    (".show version", ".show version"),
    (".show databases", ".show databases"),
    (".show tables", ".show tables"),
    (".show table policy", ".show table {t} policy ingestionbatching"),
    (".show table principals", ".show table {t} principals"),
    (".get ingestion resources", ".get ingestion resources"),
    (".get kusto identity token", ".get kusto identity token"),
    (".create table", ".create table {n}a (a:long)"),
    (".create-merge of an existing table", ".create-merge table {t} (a:long, b:string)"),
    (
        ".create mapping of a table",
        ".create-or-alter table {t} ingestion csv mapping 'm' '[{\"column\":\"a\",\"Ordinal\":0}]'",
    ),
    (".ingest inline", ".ingest inline into table {t} <| 1"),
    (".ingest with extend_schema", ".ingest inline into table {t} with (extend_schema=true) <| 1"),
    (".append from a query", ".append {t} <| print a=1, b='x'"),
    (".append from another database", ".append {t} <| database('Other').T"),
    (".set a new table", ".set {n}b <| print a=1"),
    (".set-or-append an existing table", ".set-or-append {t} <| print a=1, b='x'"),
    (".set-or-replace an existing table", ".set-or-replace {t} <| print a=1, b='x'"),
    (".alter table policy", ".alter table {t} policy ingestionbatching '{}'"),
    (".alter database policy", ".alter database D policy streamingingestion '{\"IsEnabled\":true}'"),
    (".add table principals", ".add table {t} ingestors ('aadapp=z;t')"),
    (".add database principals", ".add database D viewers ('aadapp=z;t')"),
    (".clear cache", ".clear database cache streamingingestion schema"),
    (".create database", ".create database {n}c"),
    (".show table extents", ".show table {t} extents"),
    (".clear table data", ".clear table {t} data"),
    (".alter table", ".alter table {t} (a:long, b:string)"),
    (".alter table docstring", ".alter table {t} docstring 'x'"),
    (".alter table policy retention", ".alter table {t} policy retention softdelete = 9d"),
    (".drop column", ".drop column {t}.b"),
    (".create tables", ".create tables {n}d (a:long), {n}e (a:long)"),
    (".create function", ".create function {n}f () { print 1 }"),
    (".show functions", ".show functions"),
    (".drop function", ".drop function {n}f ifexists"),
    (".drop extents", ".drop extents from {t}"),
    (
        ".show principal access",
        ".show principal access with (accesstype='ingest', database='D', table='{t}')",
    ),
    (".show queries", ".show queries"),
    (".show running queries", ".show running queries"),
    (".show journal", ".show journal"),
    (".show database details", ".show database D details"),
    (".show databases details", ".show databases details"),
    (".show cluster policy", ".show cluster policy capacity"),
    (".alter cluster policy", ".alter cluster policy capacity '{}'"),
    (".show streamingingestion statistics", ".show streamingingestion statistics"),
    (".alter table column-docstrings", ".alter-merge table {t} column-docstrings (a: 'x')"),
    (".list blobs", ".list blobs ('{c}')"),
    (
        ".ingest-from-storage-queued",
        ".ingest-from-storage-queued into table {t} with (format='csv') <| '{c}'",
    ),
    (
        ".ingest-from-storage-queued with extend_schema",
        ".ingest-from-storage-queued into table {t} with (format='csv', extend_schema=true) <| '{c}'",
    ),
    (".move extents", ".move extents all from table {t} to table {t}"),
    (".rename table", ".rename table {t} to {t}"),
    (".drop table", ".drop table {t}"),
];

struct Site {
    service: RunningService,
    http: Client,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut access = AccessConfig::open().with_token("root", Principal::parse("aadapp=root;t").unwrap());
        access = access.with_admin(Principal::parse("aadapp=root;t").unwrap());
        for n in 0..9 {
            let principal = Principal::parse(&format!("aadapp=app{n};t")).unwrap();
            access = access.with_token(format!("t{n}"), principal);
        }
        let mut config = ServiceConfig::new(folder.path());
        config.access = access;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = kusto_local::start(config, listener).await.unwrap();
        Self { service, http: Client::builder().no_proxy().build().unwrap(), _folder: folder }
    }

    /// Status and body of a request.
    async fn send(&self, token: Option<&str>, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.service.url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if method == "POST" {
            request = request.body(match body {
                Value::String(text) => text,
                other => other.to_string(),
            });
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        if status == 401 {
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer "), "{challenge}");
        }
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        if status == 403 {
            assert_eq!(
                (&body["error"]["code"], &body["error"]["@permanent"]),
                (&json!("Forbidden"), &json!(true))
            );
            assert!(body["error"]["@message"].as_str().unwrap().contains("is not authorized to"), "{body}");
        }
        (status, body)
    }

    async fn command(&self, token: Option<&str>, database: &str, text: &str) -> (u16, Value) {
        let path = if text.starts_with('.') { "/v1/rest/mgmt" } else { "/v2/rest/query" };
        self.send(token, "POST", path, json!({ "db": database, "csl": text })).await
    }

    async fn root(&self, database: &str, text: &str) -> Value {
        let (status, body) = self.command(Some("root"), database, text).await;
        assert_eq!(status, 200, "{text}: {body}");
        body
    }

    /// Puts a message with the caller's own identity token; what became of its source.
    async fn queue(&self, token: Option<&str>, table: &str, extend_schema: bool) -> String {
        let (status, body) = self.command(token, "D", ".get kusto identity token").await;
        if status != 200 {
            return status.to_string();
        }
        let identity = body["Tables"][0]["Rows"][0][0].as_str().unwrap().to_owned();
        let resources = self.root("D", ".get ingestion resources").await;
        let rows = resources["Tables"][0]["Rows"].as_array().unwrap().clone();
        let url = |kind: &str| {
            let row = rows.iter().find(|row| row[0] == kind).unwrap();
            row[1].as_str().unwrap().to_owned()
        };
        let id = uuid::Uuid::new_v4().to_string();
        let blob = url("TempStorage").replace('?', &format!("/{id}.csv?"));
        let put =
            self.http.put(&blob).header("x-ms-blob-type", "BlockBlob").body("1\n").send().await.unwrap();
        assert_eq!(put.status(), 201);
        let message = json!({
            "Id": id, "BlobPath": blob, "RawDataSize": 2, "DatabaseName": "D", "TableName": table,
            "RetainBlobOnSuccess": true, "FlushImmediately": true, "ReportLevel": 1, "ReportMethod": 0,
            "AdditionalProperties": { "authorizationContext": identity, "format": "csv", "extend_schema": extend_schema },
        });
        let text = base64::engine::general_purpose::STANDARD.encode(message.to_string());
        let queue = url("SecuredReadyForAggregationQueue").replace('?', "/messages?");
        let posted = self
            .http
            .post(queue)
            .body(format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>"))
            .send()
            .await
            .unwrap();
        assert_eq!(posted.status(), 201);
        for _ in 0..300 {
            let ask = format!(
                ".show ingestion sources | where IngestionSourceId == '{id}' | project State, ErrorCode"
            );
            let found = self.root("D", &ask).await;
            let row = &found["Tables"][0]["Rows"][0];
            match (row[0].as_str(), row[1].as_str()) {
                (Some("Succeeded"), _) => return "200".to_owned(),
                (Some("Failed"), Some("BadRequest_TableAccessDenied")) => return "403".to_owned(),
                (Some("Failed"), code) => return code.unwrap_or_default().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        "nothing".to_owned()
    }
}

#[tokio::test]
async fn each_role_may_do_what_the_page_says() {
    let site = Site::start().await;
    site.root("NetDefaultDB", ".create database D").await;
    site.root("NetDefaultDB", ".create database Other").await;
    site.root("Other", ".create table T (a:long, b:string)").await;
    let container = site.root("D", ".create tempstorage").await;
    let container = container["Tables"][0]["Rows"][0][0].as_str().unwrap().replace('?', "/none.csv?");
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (column, (name, token, grant)) in CALLERS.into_iter().enumerate() {
        let (table, new) = (format!("T{column}"), format!("N{column}"));
        site.root("D", &format!(".create table {table} (a:long, b:string)")).await;
        if let (Some((entity, role)), Some(token)) = (grant, token) {
            let place = if entity == "database" { "database D".to_owned() } else { format!("table {table}") };
            let app = token.replace('t', "app");
            site.root("D", &format!(".add {place} {role} ('aadapp={app};t') 'for {name}'")).await;
        }
        let mut cells: Vec<(String, String)> = Vec::new();
        for path in [
            ("REST configuration", "GET", "/v1/rest/ingestion/configuration".to_owned(), json!(null)),
            ("streaming", "POST", format!("/v1/rest/ingest/D/{table}?streamFormat=csv"), json!("1,x\n")),
            (
                "REST v2 ingestion with extend_schema",
                "POST",
                format!("/v1/rest/ingestion/queued/D/{table}"),
                json!({ "blobs": [{ "url": "http://localhost/kinstore/ingest0/none.csv" }],
                    "properties": { "format": "csv", "extend_schema": true } }),
            ),
            (
                "REST v2 ingestion",
                "POST",
                format!("/v1/rest/ingestion/queued/D/{table}"),
                json!({ "blobs": [{ "url": "http://localhost/kinstore/ingest0/none.csv", "sourceId": uuid::Uuid::new_v4().to_string() }],
                    "properties": { "format": "csv" } }),
            ),
        ] {
            let (status, _) = site.send(token, path.1, &path.2, path.3).await;
            cells.push((path.0.to_owned(), status.to_string()));
        }
        for (path, extend_schema) in
            [("queue message, by its identity token", false), ("queue message with extend_schema", true)]
        {
            cells.push((path.to_owned(), site.queue(token, &table, extend_schema).await));
        }
        for (what, text) in COMMANDS {
            let text = text.replace("{t}", &table).replace("{n}", &new).replace("{c}", &container);
            let (status, body) = site.command(token, "D", &text).await;
            assert!(matches!(status, 200 | 401 | 403), "{name}: {text}: {body}");
            cells.push((what.to_owned(), status.to_string()));
        }
        for (row, (what, cell)) in cells.into_iter().enumerate() {
            if rows.len() <= row {
                rows.push((what, Vec::new()));
            }
            rows[row].1.push(cell);
        }
    }
    site.service.stop().await;
    let heads: Vec<&str> = CALLERS.iter().map(|(name, ..)| *name).collect();
    let mut page = String::from(
        "# Permissions\n\nWhat each role gets for each operation when the service asks for tokens: every cell is\n\
         the HTTP status of a request that `each_role_may_do_what_the_page_says` sends (for a queue\n\
         message, 403 is the outcome `BadRequest_TableAccessDenied`). Table roles are on the table\n\
         that is asked for. A service without tokens is open: everyone is AllDatabasesAdmin.\n\n",
    );
    page.push_str(&format!("| operation | {} |\n|---{}|\n", heads.join(" | "), "|---".repeat(heads.len())));
    for (what, cells) in rows {
        page.push_str(&format!("| {what} | {} |\n", cells.join(" | ")));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
    if std::env::var_os("KIN_WRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    for (known, found) in known.lines().zip(page.lines()) {
        assert_eq!(known, found);
    }
    assert_eq!(known.lines().count(), page.lines().count());
}

#[tokio::test]
async fn whoever_makes_a_table_is_its_admin() {
    let site = Site::start().await;
    site.root("NetDefaultDB", ".create database D").await;
    site.root("D", ".set database D users ('aadapp=app1;t', 'aadapp=app2;t') 'both'").await;
    let drop = ".drop table Mine";
    for make in [".create table Mine (a:long)", ".set Mine <| print a=1", ".set-or-append Mine <| print a=1"]
    {
        assert_eq!(site.command(Some("t1"), "D", make).await.0, 200, "{make}");
        assert_eq!(site.command(Some("t2"), "D", drop).await.0, 403, "{make}");
        assert_eq!(site.command(Some("t1"), "D", ".add table Mine admins ('aadapp=app3;t')").await.0, 200);
        let principals =
            site.root("D", ".show table Mine principals | project Role, PrincipalFQN, Notes").await;
        assert_eq!(
            principals["Tables"][0]["Rows"],
            json!([
                ["Table Mine Admin", "aadapp=app1;t", "creator"],
                ["Table Mine Admin", "aadapp=app3;t", ""]
            ])
        );
        assert_eq!(site.command(Some("t3"), "D", drop).await.0, 200, "{make}");
    }
    // A later table of the name has none of the earlier one's admins.
    site.root("D", ".create table Mine (a:long)").await;
    assert_eq!(site.command(Some("t3"), "D", drop).await.0, 403);
    site.root("D", ".set database D users none").await;
    assert_eq!(site.command(Some("t1"), "D", "print 1").await.0, 403);
    let wrong = site.command(Some("root"), "D", ".add database D users ('jane')").await;
    assert_eq!(wrong.0, 400);
    site.service.stop().await;
}

#[tokio::test]
async fn restricted_tables_are_read_by_unrestricted_viewers_alone() {
    let site = Site::start().await;
    site.root("NetDefaultDB", ".create database D").await;
    for text in [
        ".create table T (a:long)",
        ".create table Open (a:long)",
        ".alter table T policy restricted_view_access true",
        ".add database D viewers ('aadapp=app0;t')",
        ".add database D admins ('aadapp=app1;t')",
        ".add database D viewers ('aadapp=app2;t')",
        ".add database D unrestrictedviewers ('aadapp=app2;t')",
    ] {
        site.root("D", text).await;
    }
    for (token, query, status) in [
        ("t0", "T | count", 403),
        ("t0", "Open | join kind=inner T on a", 403),
        ("t0", "print toscalar(T | count)", 403),
        ("t0", "Open | count", 200),
        ("t1", "T | count", 403),
        ("t2", "T | count", 200),
        ("root", "T | count", 200),
        ("t0", ".show version | union T", 403),
    ] {
        assert_eq!(site.command(Some(token), "D", query).await.0, status, "{token}: {query}");
    }
    // An admin may open the table.
    assert_eq!(
        site.command(Some("t1"), "D", ".alter table T policy restricted_view_access false").await.0,
        200
    );
    assert_eq!(site.command(Some("t0"), "D", "T | count").await.0, 200);
}

#[tokio::test]
async fn what_a_command_names_by_a_query_is_asked_for_too() {
    let site = Site::start().await;
    for text in [".create database D", ".create database Other"] {
        site.root("NetDefaultDB", text).await;
    }
    site.root("Other", ".create table Secret (a:long)").await;
    for text in [
        ".create tables T (a:long), S (a:long)",
        ".ingest inline into table S <| 1",
        ".ingest inline into table T <| 1",
        // app0 has a table and nothing else, app1 may read as well, app2 only reads.
        ".add table T admins ('aadapp=app0;t')",
        ".add table T admins ('aadapp=app1;t')",
        ".add database D viewers ('aadapp=app1;t')",
        ".add database D viewers ('aadapp=app2;t')",
    ] {
        site.root("D", text).await;
    }
    let id = |rows: Value| rows["Tables"][0]["Rows"][0][0].as_str().unwrap().to_owned();
    let of_s = id(site.root("D", ".show table S extents").await);
    let of_t = id(site.root("D", ".show table T extents").await);
    let policy =
        |query: &str| format!(r#".alter table T policy update @'[{{"Source":"S","Query":"{query}"}}]'"#);
    for (token, command, status) in [
        // An update policy runs with the service's rights: nobody reads through it what they may not.
        ("t0", policy("S"), 403),
        ("t1", policy("S"), 200),
        ("t1", policy(r#"S | union database(\"Other\").Secret"#), 403),
        ("t1", policy(r#"S | where a in (database(\"Other\").Secret)"#), 403),
        ("t2", policy("S"), 403),
        // Extents of tables that are not one's own.
        ("t2", format!(".drop extent {of_t}"), 403),
        ("t2", ".drop extents <| .show table T extents".to_owned(), 403),
        ("t1", format!(".drop extents ({of_t}, {of_s})"), 403),
        ("t1", ".alter extent tags ('x') <| S | distinct ExtentId = extent_id()".to_owned(), 403),
        ("t1", ".alter extent tags ('x') <| T | distinct ExtentId = extent_id()".to_owned(), 200),
        ("t0", format!(".move extents ({of_s}) from table S to table T"), 403),
        ("t0", ".move extents to table T <| print ExtentId = guid(OF_S)".replace("OF_S", &of_s), 403),
        ("t1", ".move extents to table T <| S | distinct ExtentId = extent_id()".to_owned(), 403),
        (
            "t1",
            ".replace extents in table T <| {.show table T extents}, {.show table S extents}".to_owned(),
            403,
        ),
        ("t0", format!(".drop extent {of_t}"), 200),
        // A script has no more rights than its commands.
        ("t2", ".execute database script with (ThrowOnErrors=true) <|\n.drop table S".to_owned(), 403),
    ] {
        assert_eq!(site.command(Some(token), "D", &command).await.0, status, "{token}: {command}");
    }
    let left = site.root("D", ".show database extents | count").await;
    assert_eq!(left["Tables"][0]["Rows"][0][0], json!(1), "the extent of S");
}

#[tokio::test]
async fn what_others_began_is_cancelled_by_those_who_run_the_database() {
    let site = Site::start().await;
    site.root("NetDefaultDB", ".create database D").await;
    for text in [
        ".create table T (a:long)",
        ".add database D viewers ('aadapp=app0;t')",
        ".add database D viewers ('aadapp=app1;t')",
        ".add database D admins ('aadapp=app2;t')",
        ".add database D ingestors ('aadapp=app3;t')",
    ] {
        site.root("D", text).await;
    }
    let site = std::sync::Arc::new(site);
    let asked = site.clone();
    let body = json!({ "db": "D", "csl": "range x from 1 to 100000000000 step 1 | where x % 7 == 8" });
    let query = tokio::spawn(async move {
        let url = format!("{}/v2/rest/query", asked.service.url());
        let request = asked.http.post(url).bearer_auth("t0").header("x-ms-client-request-id", "its id");
        request.body(body.to_string()).send().await.unwrap().status().as_u16()
    });
    let running =
        async || site.root("D", ".show running queries | count").await["Tables"][0]["Rows"][0][0] == 1;
    while !running().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cancel = ".cancel query 'its id'";
    assert_eq!(site.command(Some("t1"), "D", cancel).await.0, 403);
    assert!(running().await);
    assert_eq!(site.command(Some("t2"), "D", cancel).await.0, 200);
    assert_eq!(query.await.unwrap(), 400);
    // A queued operation by those who may ingest into its table.
    let load = ".ingest-from-storage-queued into table T with (format='csv') <| 'http://localhost/kinstore/ingest0/none.csv'";
    let (status, body) = site.command(Some("t3"), "D", load).await;
    assert_eq!(status, 200, "{body}");
    let id = body["Tables"][0]["Rows"][0][0].as_str().unwrap();
    let cancel = format!(".cancel queued ingestion operation '{id}'");
    assert_eq!(site.command(Some("t1"), "D", &cancel).await.0, 403);
    assert_eq!(site.command(Some("t3"), "D", &cancel).await.0, 200);
}
