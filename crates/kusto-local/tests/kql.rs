//! The KQL corpus of `tests/kql`: each case is a query and the table or the error that it
//! gives. Run with KIN_WRITE=1 it writes what the service gives.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_local::ServiceConfig;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

struct Service {
    running: kusto_local::RunningService,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = kusto_local::start(ServiceConfig::new(folder.path()), listener).await.unwrap();
        Self { running, http: reqwest::Client::builder().no_proxy().build().unwrap(), _folder: folder }
    }

    async fn send(&self, path: &str, text: &str) -> (u16, Value) {
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let url = format!("{}{path}", self.running.url());
        let answer = self.http.post(url).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// What a query gives, as the corpus writes it.
    async fn result(&self, query: &str) -> String {
        let (status, body) = self.send("/v2/rest/query", query).await;
        if status != 200 {
            return format!("error: {}", body["error"]["@message"].as_str().unwrap());
        }
        let mut lines = Vec::new();
        for frame in body.as_array().unwrap().iter().filter(|frame| frame["TableKind"] == "PrimaryResult") {
            let columns = frame["Columns"].as_array().unwrap();
            let names: Vec<String> = columns
                .iter()
                .map(|c| {
                    format!("{}:{}", c["ColumnName"].as_str().unwrap(), c["ColumnType"].as_str().unwrap())
                })
                .collect();
            lines.push(names.join(", "));
            lines.extend(frame["Rows"].as_array().unwrap().iter().map(|row| steady(&columns[..], row)));
        }
        lines.join("\n")
    }
}

/// A row as text, with `*` for what each run makes anew: ids, times and sizes of results.
fn steady(columns: &[Value], row: &Value) -> String {
    const ANEW: [&str; 12] = [
        "ExtentId",
        "OriginalExtentId",
        "ResultExtentId",
        "OperationId",
        "Duration",
        "MaxCreatedOn",
        "MinCreatedOn",
        "CreatedOn",
        "OriginalSize",
        "ExtentSize",
        "CompressedSize",
        "LastUpdatedOn",
    ];
    let cells = row.as_array().unwrap().iter().zip(columns);
    let shown = cells.map(|(cell, column)| {
        if ANEW.contains(&column["ColumnName"].as_str().unwrap()) { json!("*") } else { cell.clone() }
    });
    Value::Array(shown.collect()).to_string()
}

struct Case {
    title: String,
    query: String,
    expected: String,
}

/// The commands and the cases of a file.
fn read(path: &Path) -> (Vec<String>, Vec<Case>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut parts = text.split("====\n");
    let setup = parts.next().unwrap().lines().map(str::to_owned).collect();
    let cases = parts.map(|part| {
        let (title, rest) = part.split_once('\n').unwrap();
        let (query, expected) = rest.split_once("----\n").unwrap_or((rest, ""));
        Case {
            title: title.to_owned(),
            query: query.trim_end().to_owned(),
            expected: expected.trim_end().to_owned(),
        }
    });
    (setup, cases.collect())
}

fn holds(case: &Case, result: &str) -> bool {
    // Of an error a part of its text is enough.
    let part = case.expected.strip_prefix("error: ").zip(result.strip_prefix("error: "));
    match part {
        Some((wanted, found)) => !wanted.is_empty() && found.contains(wanted),
        None => case.expected == result,
    }
}

#[tokio::test]
async fn the_corpus_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in &files {
        let service = Service::start().await;
        let (setup, cases) = read(path);
        for command in &setup {
            let (status, body) = service.send("/v1/rest/mgmt", command).await;
            assert_eq!(status, 200, "{command}: {body}");
        }
        let mut written = setup.join("\n");
        if !written.is_empty() {
            written.push('\n');
        }
        for case in &cases {
            let result = service.result(&case.query).await;
            count += 1;
            let kept = if holds(case, &result) { &case.expected } else { &result };
            written.push_str(&format!("====\n{}\n{}\n----\n{kept}\n", case.title, case.query));
            if !holds(case, &result) {
                wrong.push(format!(
                    "{}: {}\n{}\nis\n{result}\nnot\n{}\n",
                    path.display(),
                    case.title,
                    case.query,
                    case.expected
                ));
            }
        }
        if std::env::var_os("KIN_WRITE").is_some() {
            std::fs::write(path, written).unwrap();
        }
    }
    assert!(count > 100, "{count} cases");
    assert!(wrong.is_empty() || std::env::var_os("KIN_WRITE").is_some(), "{}", wrong.join("\n"));
}
