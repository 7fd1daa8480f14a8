//! What was streamed since the service began, by table, principal, properties, outcome and
//! hour: `.show streamingingestion statistics` and `... failures`. In memory only.

use crate::ServiceError;
use kusto_kql::StreamingLog;
use kusto_types::{ColumnType as T, DateTime, TICKS_PER_DAY, Timespan};
use kusto_wire::ResultTable;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most groups that are remembered: the earliest are forgotten first.
const MOST: usize = 10_000;
/// Ticks of a group.
const WINDOW: i64 = TICKS_PER_DAY / 24;

/// What a request has in common with others of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamedKind {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) principal: String,
    pub(crate) mapping: String,
    pub(crate) format: String,
    /// Whether the body was gzipped.
    pub(crate) compressed: bool,
    /// `Body` or `Uri`.
    pub(crate) source: &'static str,
}

/// A streamed request that has ended.
pub(crate) struct StreamedRequest<'r> {
    pub(crate) kind: StreamedKind,
    pub(crate) activity: &'r str,
    pub(crate) started: DateTime,
    pub(crate) bytes: u64,
    pub(crate) outcome: Result<u64, &'r ServiceError>,
}

/// Least, most and sum.
#[derive(Debug, Default)]
struct Span {
    least: i64,
    most: i64,
    sum: i64,
}

impl Span {
    fn add(&mut self, value: i64, is_first: bool) {
        self.least = if is_first { value } else { self.least.min(value) };
        self.most = self.most.max(value);
        self.sum = self.sum.saturating_add(value);
    }
}

#[derive(Debug, Default)]
struct Group {
    first: i64,
    last: i64,
    count: i64,
    duration: Span,
    bytes: Span,
    rows: Span,
    /// Of the last failure.
    activity: String,
    kind: &'static str,
    details: String,
}

/// Hour, kind, and the code of a failure, or nothing for success.
type Key = (i64, StreamedKind, String);

/// The groups.
#[derive(Default)]
pub(crate) struct StreamingRecords(Mutex<BTreeMap<Key, Group>>);

impl StreamingRecords {
    /// Notes a request that has just ended. Those that were turned away at the door, for
    /// want of a role or of capacity, are not noted, as on a cluster.
    pub(crate) fn record(&self, request: StreamedRequest<'_>) {
        let (rows, error) = match request.outcome {
            Ok(rows) => (rows, None),
            Err(
                ServiceError::Throttled { .. } | ServiceError::NoRoom { .. } | ServiceError::Forbidden { .. },
            ) => return,
            Err(error) => (0, Some(error)),
        };
        let code = error.map(|error| error.response(request.activity).1.error.code).unwrap_or_default();
        let now = DateTime::now().ticks();
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (request.started.ticks() / WINDOW, request.kind, code);
        if groups.len() >= MOST && !groups.contains_key(&key) {
            groups.pop_first();
        }
        let group = groups.entry(key).or_default();
        let is_first = group.count == 0;
        if is_first {
            group.first = request.started.ticks();
        }
        group.last = now;
        group.count += 1;
        group.duration.add((now - request.started.ticks()).max(0), is_first);
        group.bytes.add(i64::try_from(request.bytes).unwrap_or(i64::MAX), is_first);
        group.rows.add(i64::try_from(rows).unwrap_or(i64::MAX), is_first);
        if let Some(error) = error {
            group.activity = request.activity.to_owned();
            group.kind = if error.is_permanent() { "Permanent" } else { "Transient" };
            group.details = error.to_string();
        }
    }

    pub(crate) fn shown(&self, log: StreamingLog) -> ResultTable {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match log {
            StreamingLog::Failures => {
                let mut result = failure_table();
                for ((_, kind, code), group) in groups.iter().filter(|((_, _, code), _)| !code.is_empty()) {
                    result = result.with_row(vec![
                        kind.database.as_str().into(),
                        kind.table.as_str().into(),
                        kind.principal.as_str().into(),
                        group.activity.as_str().into(),
                        properties(kind),
                        group.count.into(),
                        instant(group.first),
                        instant(group.last),
                        group.kind.into(),
                        code.as_str().into(),
                        group.details.as_str().into(),
                    ]);
                }
                result
            }
            StreamingLog::Statistics => {
                let mut result = statistics_table();
                for ((_, kind, code), group) in groups.iter() {
                    let span = |ticks: i64| Value::from(Timespan(ticks).to_string());
                    result = result.with_row(vec![
                        kind.database.as_str().into(),
                        kind.table.as_str().into(),
                        instant(group.first),
                        instant(group.last),
                        group.count.into(),
                        span(group.duration.least),
                        span(group.duration.most),
                        span(group.duration.sum / group.count.max(1)),
                        group.bytes.sum.into(),
                        group.bytes.least.into(),
                        group.bytes.most.into(),
                        group.rows.sum.into(),
                        group.rows.least.into(),
                        group.rows.most.into(),
                        if code.is_empty() { "Success" } else { "Failure" }.into(),
                        1.into(),
                        kind.principal.as_str().into(),
                        "local".into(),
                        properties(kind),
                    ]);
                }
                result
            }
        }
    }
}

fn instant(ticks: i64) -> Value {
    DateTime::from_ticks(ticks).map_or(Value::Null, |at| at.to_string().into())
}

fn properties(kind: &StreamedKind) -> Value {
    json!({ "Mapping": kind.mapping, "Format": kind.format, "Compressed": kind.compressed, "IngestionSource": kind.source })
}

fn failure_table() -> ResultTable {
    ResultTable::new(
        "Table_0",
        [
            ("Database", T::String),
            ("Table", T::String),
            ("Principal", T::String),
            ("RootActivityId", T::Guid),
            ("IngestionProperties", T::Dynamic),
            ("Count", T::Long),
            ("FirstFailureOn", T::DateTime),
            ("LastFailureOn", T::DateTime),
            ("FailureKind", T::String),
            ("ErrorCode", T::String),
            ("Details", T::String),
        ],
    )
}

fn statistics_table() -> ResultTable {
    ResultTable::new(
        "Table_0",
        [
            ("Database", T::String),
            ("Table", T::String),
            ("StartTime", T::DateTime),
            ("EndTime", T::DateTime),
            ("Count", T::Long),
            ("MinDuration", T::Timespan),
            ("MaxDuration", T::Timespan),
            ("AvgDuration", T::Timespan),
            ("TotalDataSize", T::Long),
            ("MinDataSize", T::Long),
            ("MaxDataSize", T::Long),
            ("TotalRowCount", T::Long),
            ("MinRowCount", T::Long),
            ("MaxRowCount", T::Long),
            ("IngestionStatus", T::String),
            ("NumOfRowStoresReferences", T::Int),
            ("Principal", T::String),
            ("NodeId", T::String),
            ("IngestionProperties", T::Dynamic),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_count_what_is_alike_and_are_bounded() {
        let records = StreamingRecords::default();
        let kind = |table: &str| StreamedKind {
            database: "D".into(),
            table: table.into(),
            principal: "p".into(),
            mapping: String::new(),
            format: "csv".into(),
            compressed: false,
            source: "Body",
        };
        // All within one hour, whenever the test runs.
        let started = DateTime::now();
        let add = |table: &str, bytes, outcome: Result<u64, &ServiceError>| {
            records.record(StreamedRequest { kind: kind(table), activity: "a", started, bytes, outcome });
        };
        let bad = ServiceError::BadData { code: "Stream_X".into(), message: "bad".into() };
        let busy = ServiceError::Throttled { what: "x", after: None };
        add("T", 10, Ok(2));
        add("T", 30, Ok(4));
        add("T", 5, Err(&bad));
        add("T", 5, Err(&busy));
        let statistics = records.shown(StreamingLog::Statistics);
        let row = statistics.rows.iter().find(|row| row[14] == "Success").unwrap();
        assert_eq!(row[4], 2);
        assert_eq!(row[8..14], [40, 10, 30, 6, 2, 4].map(Value::from));
        let failures = records.shown(StreamingLog::Failures);
        assert_eq!(failures.rows.len(), 1);
        assert_eq!(failures.rows[0][9], "Stream_X");
        for number in 0..MOST + 5 {
            add(&format!("T{number}"), 1, Ok(1));
        }
        assert_eq!(records.shown(StreamingLog::Statistics).rows.len(), MOST);
    }
}
