//! `kin ingest`.

use crate::arguments::{Ingest, IngestOutput, Wait};
use crate::cluster::Cluster;
use crate::failure::{Failure, chain};
use crate::plan::{self, FilePlan};
use crate::printer;
use futures_util::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kusto_ingest::{
    Error, ErrorKind, IngestOptions, IngestionProperties, KustoClient, Outcome, Progress, Protocol,
    QueuedIngestClient, SourceId,
};
use kusto_types::ByteSize;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Files on their way at once.
const PARALLEL: usize = 4;

/// How a file ended.
enum End {
    Accepted,
    Decided(Outcome),
    Refused(Error),
    Unreadable(String),
}

pub(crate) fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "ingested".to_owned(),
        Outcome::PartiallySucceeded { details } => format!("partially ingested: {details}"),
        Outcome::Skipped { details } => format!("skipped: {details}"),
        Outcome::Failed { code, permanent, details } => {
            format!("failed: {details} ({code}, {})", if *permanent { "permanent" } else { "transient" })
        }
        Outcome::Unknown { reason } => format!("unknown: {reason}"),
        _ => "unknown".to_owned(),
    }
}

pub(crate) fn outcome_json(id: &str, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Succeeded => json!({"source_id": id, "status": "ingested"}),
        Outcome::PartiallySucceeded { details } => {
            json!({"source_id": id, "status": "partial", "details": details})
        }
        Outcome::Skipped { details } => json!({"source_id": id, "status": "skipped", "details": details}),
        Outcome::Failed { code, permanent, details } => {
            json!({"source_id": id, "status": "failed", "code": code.as_str(), "permanent": permanent, "details": details})
        }
        Outcome::Unknown { reason } => json!({"source_id": id, "status": "unknown", "details": reason}),
        _ => json!({"source_id": id, "status": "unknown"}),
    }
}

pub(crate) async fn run(arguments: Ingest) -> Result<(), Failure> {
    // A missing file is found before anything is started.
    let any_name = if arguments.format.is_some() { plan::AnyName::Taken } else { plan::AnyName::LeftOut };
    let paths = plan::files(&arguments.paths, any_name)?;
    let cluster = Cluster::open(&arguments.target).await?;
    let done = ingest_all(&cluster, &arguments, paths).await;
    cluster.close().await;
    done
}

async fn count(client: &KustoClient, database: &str, table: &str) -> Option<u64> {
    let answer = client.query(database, &format!("['{table}'] | count")).await.ok()?;
    answer.tables.first()?.rows.first()?.first()?.as_u64()
}

async fn ingest_all(cluster: &Cluster, arguments: &Ingest, paths: Vec<PathBuf>) -> Result<(), Failure> {
    let begun = Instant::now();
    let database = arguments.target.database.as_str();
    let plans = plan::plan(&cluster.client, arguments, paths, cluster.embedded.is_some()).await?;
    let before = if cluster.embedded.is_some() {
        count(&cluster.client, database, &arguments.table).await
    } else {
        None
    };
    let total: u64 = plans.iter().map(|plan| plan.size).sum();
    let bar = progress_bar(total, arguments.output);
    // Messages in the queue outlive the service's downtime, and their status is found by
    // source id (`kin status`); requests (v2) have neither.
    let options = IngestOptions::default().protocol(Protocol::Queue);
    let client = QueuedIngestClient::with_options(&cluster.client, options);
    let ends: Vec<(&FilePlan, SourceId, End, Duration)> = stream::iter(&plans)
        .map(|plan| {
            let (client, bar) = (&client, &bar);
            async move {
                let id = SourceId::random();
                let started = Instant::now();
                let end = ingest_one(client, plan, id, arguments, bar).await;
                report(plan, id, &end, arguments, bar);
                (plan, id, end, started.elapsed())
            }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    bar.finish_and_clear();
    let after = if cluster.embedded.is_some() {
        count(&cluster.client, database, &arguments.table).await
    } else {
        None
    };
    let rows = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    summarise(arguments, cluster, &ends, total, rows, begun.elapsed());
    verdict(&ends)
}

fn progress_bar(total: u64, output: IngestOutput) -> ProgressBar {
    if output == IngestOutput::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("{msg:12} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message("uploading")
}

fn properties(plan: &FilePlan, arguments: &Ingest) -> Result<IngestionProperties, Error> {
    let mut properties =
        IngestionProperties::new(arguments.target.database.as_str(), arguments.table.as_str())?
            .with_format(plan.format)
            .tracked();
    if plan.header {
        properties = properties.ignoring_first_record();
    }
    if let Some(mapping) = &plan.mapping {
        properties = properties.with_mapping(mapping.clone());
    }
    Ok(properties)
}

async fn ingest_one(
    client: &QueuedIngestClient,
    plan: &FilePlan,
    id: SourceId,
    arguments: &Ingest,
    bar: &ProgressBar,
) -> End {
    if let Some(fault) = &plan.fault {
        bar.inc(plan.size);
        return End::Unreadable(fault.clone());
    }
    let properties = match properties(plan, arguments) {
        Ok(properties) => properties,
        Err(error) => return End::Refused(error),
    };
    let progress = Progress::default();
    let posting =
        client.ingest(plan.source().with_id(id), &properties).with_progress(&progress).into_future();
    tokio::pin!(posting);
    let mut shown = 0;
    let handle = loop {
        tokio::select! {
            // The upload's future is kept over turns, so nothing is begun anew.
            posted = &mut posting => match posted {
                Ok(handle) => break handle,
                Err(error) => return End::Refused(error),
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let read = progress.read().min(plan.size);
                bar.inc(read.saturating_sub(shown));
                shown = shown.max(read);
            }
        }
    };
    bar.inc(plan.size.saturating_sub(shown));
    if arguments.wait == Wait::Accepted {
        return End::Accepted;
    }
    bar.set_message("waiting");
    End::Decided(handle.ingested_within(Duration::from_secs(arguments.wait_seconds)).await)
}

fn report(plan: &FilePlan, id: SourceId, end: &End, arguments: &Ingest, bar: &ProgressBar) {
    let path = plan.path.display().to_string();
    let id = id.to_string();
    if arguments.output == IngestOutput::Json {
        let mut value = match end {
            End::Accepted => json!({"source_id": id, "status": "accepted"}),
            End::Decided(outcome) => outcome_json(&id, outcome),
            End::Refused(error) => {
                json!({"source_id": id, "status": "failed", "code": error.code(), "details": chain(error)})
            }
            End::Unreadable(fault) => json!({"source_id": id, "status": "failed", "details": fault}),
        };
        value["type"] = "file".into();
        value["path"] = path.into();
        value["bytes"] = plan.size.into();
        printer::json(&value);
        return;
    }
    let text = match end {
        End::Accepted => format!("accepted  {path}  {id}"),
        End::Decided(Outcome::Succeeded) => format!("ingested  {path}  {id}"),
        End::Decided(outcome) => format!("{}  {path}  {id}", describe(outcome)),
        End::Refused(error) => format!("failed: {}  {path}", chain(error)),
        End::Unreadable(fault) => format!("failed: {fault}  {path}"),
    };
    bar.suspend(|| eprintln!("{text}"));
}

fn summarise(
    arguments: &Ingest,
    cluster: &Cluster,
    ends: &[(&FilePlan, SourceId, End, Duration)],
    total: u64,
    rows: Option<u64>,
    elapsed: Duration,
) {
    let good = ends
        .iter()
        .filter(|(_, _, end, _)| {
            matches!(end, End::Accepted | End::Decided(Outcome::Succeeded | Outcome::Skipped { .. }))
        })
        .count();
    let slowest = ends.iter().map(|(_, _, _, time)| *time).max().unwrap_or_default();
    if arguments.output == IngestOutput::Json {
        printer::json(&json!({
            "type": "summary", "files": ends.len(), "succeeded": good, "failed": ends.len() - good, "bytes": total,
            "rows": rows, "seconds": elapsed.as_secs_f64(), "slowest_file_seconds": slowest.as_secs_f64(),
            "database": arguments.target.database, "table": arguments.table,
        }));
        return;
    }
    let word = if arguments.wait == Wait::Accepted { "accepted" } else { "ingested" };
    printer::line(&format!(
        "{good} of {} files {word} into {}.{}",
        ends.len(),
        arguments.target.database,
        arguments.table
    ));
    if let Some(rows) = rows {
        printer::line(&format!("rows     {rows}"));
    }
    printer::line(&format!("bytes    {}", ByteSize(total)));
    printer::line(&format!(
        "time     {:.2} s (slowest file {:.2} s)",
        elapsed.as_secs_f64(),
        slowest.as_secs_f64()
    ));
    let target = match (&arguments.target.cluster, &cluster.embedded) {
        (Some(url), _) => format!("--cluster {url}"),
        _ if arguments.target.data_dir.as_os_str() == ".kin" => String::new(),
        _ => format!("--data-dir {}", arguments.target.data_dir.display()),
    };
    let query = format!("kin query '{} | count' {target}", arguments.table);
    printer::line(&format!("query    {}", query.trim_end()));
}

/// The exit code: the gravest of what happened.
fn verdict(ends: &[(&FilePlan, SourceId, End, Duration)]) -> Result<(), Failure> {
    let mut failed = 0;
    let mut unknown = 0;
    let mut refused: Option<&Error> = None;
    for (_, _, end, _) in ends {
        match end {
            End::Accepted | End::Decided(Outcome::Succeeded | Outcome::Skipped { .. }) => {}
            End::Decided(Outcome::Failed { .. } | Outcome::PartiallySucceeded { .. })
            | End::Unreadable(_) => failed += 1,
            End::Decided(_) => unknown += 1,
            End::Refused(error) => {
                failed += 1;
                refused = Some(error);
            }
        }
    }
    if failed == 0 && unknown == 0 {
        return Ok(());
    }
    let code = match refused.map(Error::kind) {
        Some(ErrorKind::Unauthorized) => 3,
        Some(ErrorKind::Unreachable) => 4,
        Some(ErrorKind::Usage) => 2,
        _ if failed > 0 => 1,
        _ => 5,
    };
    let text = if failed > 0 {
        format!("{failed} of {} files failed", ends.len())
    } else {
        format!("{unknown} files are unconfirmed")
    };
    Err(Failure::new(code, text))
}
