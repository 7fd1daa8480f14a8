//! The last requests that the service ran, as `.show queries` and `.show commands` show
//! them. Kept in memory only; texts that a client marked as secret are left out.

use crate::access::Caller;
use kusto_kql::RequestLog;
use kusto_types::{ColumnType as T, DateTime, Timespan};
use kusto_wire::ResultTable;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Requests that are remembered.
const MOST: usize = 1000;
/// Characters of a text that are remembered.
const MOST_TEXT: usize = 4096;

/// One finished request.
struct Entry {
    is_command: bool,
    client: String,
    activity: String,
    text: String,
    database: String,
    started: DateTime,
    ended: DateTime,
    failure: Option<String>,
    principal: String,
    application: String,
}

/// The last requests, oldest first.
#[derive(Default)]
pub(crate) struct Requests(Mutex<VecDeque<Entry>>);

/// A text without its obfuscated literals (`h'...'`) and signatures.
pub(crate) fn without_secrets(text: &str) -> String {
    let short: String = text.chars().take(MOST_TEXT).collect();
    let mut result = String::with_capacity(short.len());
    let mut rest = short.as_str();
    let opening = |rest: &str| {
        ["h'", "h\"", "H'", "H\"", "h@'", "h@\"", "h```"]
            .iter()
            .filter_map(|open| rest.find(open).map(|at| (at, *open)))
            .min()
    };
    while let Some((at, open)) = opening(rest) {
        let fence = if open.ends_with("```") { "```" } else { &open[open.len() - 1..] };
        let begins = at + open.len();
        result.push_str(&rest[..begins]);
        result.push_str("*****");
        match rest[begins..].find(fence) {
            Some(end) => {
                result.push_str(fence);
                rest = &rest[begins + end + fence.len()..];
            }
            None => rest = "",
        }
    }
    result.push_str(rest);
    let result = without_keys(&result);
    match result.find("sig=") {
        None => result,
        Some(at) => format!("{}sig=*****", &result[..at]),
    }
}

/// A text without what follows a semicolon within a URL: the account's key.
fn without_keys(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ')');
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        result.push_str(before);
        let end = url.find(is_end).unwrap_or(url.len());
        match url[..end].split_once(';') {
            Some((place, key)) if !key.is_empty() => result.push_str(&format!("{place};*****")),
            _ => result.push_str(&url[..end]),
        }
        rest = &url[end..];
    }
    result.push_str(rest);
    result
}

impl Requests {
    /// Remembers a request that began at `started` and has just ended.
    pub(crate) fn record(
        &self,
        (client, activity, application): (&str, &str, &str),
        caller: &Caller,
        database: Option<&str>,
        text: &str,
        started: DateTime,
        failure: Option<String>,
    ) {
        let entry = Entry {
            is_command: text.trim_start().starts_with('.'),
            client: client.to_owned(),
            activity: activity.to_owned(),
            text: without_secrets(text),
            database: database.unwrap_or_default().to_owned(),
            started,
            ended: DateTime::now(),
            failure,
            principal: caller.principal.to_string(),
            application: application.to_owned(),
        };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == MOST {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The requests of a kind, the latest first.
    pub(crate) fn shown(&self, log: RequestLog) -> ResultTable {
        let columns = match log {
            RequestLog::Queries => &QUERY_COLUMNS[..],
            RequestLog::Commands => &COMMAND_COLUMNS[..],
            RequestLog::Both => &BOTH_COLUMNS[..],
        };
        let mut result = ResultTable::new("Table_0", columns.iter().copied());
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.iter().rev() {
            let wanted = match log {
                RequestLog::Queries => !entry.is_command,
                RequestLog::Commands => entry.is_command,
                RequestLog::Both => true,
            };
            if wanted {
                result = result.with_row(columns.iter().map(|(name, _)| entry.cell(name)).collect());
            }
        }
        result
    }
}

/// `.show queries`
pub(crate) const QUERY_COLUMNS: [(&str, T); 21] = [
    ("ClientActivityId", T::String),
    ("Text", T::String),
    ("Database", T::String),
    ("StartedOn", T::DateTime),
    ("LastUpdatedOn", T::DateTime),
    ("Duration", T::Timespan),
    ("State", T::String),
    ("RootActivityId", T::Guid),
    ("User", T::String),
    ("FailureReason", T::String),
    ("TotalCpu", T::Timespan),
    ("CacheStatistics", T::Dynamic),
    ("Application", T::String),
    ("MemoryPeak", T::Long),
    ("ScannedExtentsStatistics", T::Dynamic),
    ("Principal", T::String),
    ("ClientRequestProperties", T::Dynamic),
    ("ResultSetStatistics", T::Dynamic),
    ("WorkloadGroup", T::String),
    ("OverallQueryStats", T::String),
    ("VirtualCluster", T::String),
];

/// `.show commands`
const COMMAND_COLUMNS: [(&str, T); 18] = [
    ("ClientActivityId", T::String),
    ("CommandType", T::String),
    ("Text", T::String),
    ("Database", T::String),
    ("StartedOn", T::DateTime),
    ("LastUpdatedOn", T::DateTime),
    ("Duration", T::Timespan),
    ("State", T::String),
    ("RootActivityId", T::Guid),
    ("User", T::String),
    ("FailureReason", T::String),
    ("Application", T::String),
    ("Principal", T::String),
    ("TotalCpu", T::Timespan),
    ("ResourcesUtilization", T::Dynamic),
    ("ClientRequestProperties", T::Dynamic),
    ("WorkloadGroup", T::String),
    ("VirtualCluster", T::String),
];

/// `.show commands-and-queries`
const BOTH_COLUMNS: [(&str, T); 21] = [
    ("ClientActivityId", T::String),
    ("CommandType", T::String),
    ("Text", T::String),
    ("Database", T::String),
    ("StartedOn", T::DateTime),
    ("LastUpdatedOn", T::DateTime),
    ("Duration", T::Timespan),
    ("State", T::String),
    ("FailureReason", T::String),
    ("RootActivityId", T::Guid),
    ("User", T::String),
    ("Application", T::String),
    ("Principal", T::String),
    ("ClientRequestProperties", T::Dynamic),
    ("TotalCpu", T::Timespan),
    ("MemoryPeak", T::Long),
    ("CacheStatistics", T::Dynamic),
    ("ScannedExtentsStatistics", T::Dynamic),
    ("ResultSetStatistics", T::Dynamic),
    ("WorkloadGroup", T::String),
    ("VirtualCluster", T::String),
];

impl Entry {
    /// A cell by its column; what is not measured here is null or empty.
    fn cell(&self, column: &str) -> Value {
        match column {
            "ClientActivityId" => self.client.as_str().into(),
            "CommandType" => if self.is_command { "Command" } else { "Query" }.into(),
            "Text" => self.text.as_str().into(),
            "Database" => self.database.as_str().into(),
            "StartedOn" => self.started.to_string().into(),
            "LastUpdatedOn" => self.ended.to_string().into(),
            "Duration" => Timespan(self.ended.ticks() - self.started.ticks()).to_string().into(),
            "State" => if self.failure.is_none() { "Completed" } else { "Failed" }.into(),
            "FailureReason" => self.failure.clone().unwrap_or_default().into(),
            "RootActivityId" => self.activity.as_str().into(),
            "User" | "Principal" => self.principal.as_str().into(),
            "Application" => self.application.as_str().into(),
            "WorkloadGroup" => "default".into(),
            "OverallQueryStats" | "VirtualCluster" => "".into(),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        for (text, shown) in [
            ("T | where x == h'hush' | count", "T | where x == h'*****' | count"),
            (".ingest into table T (h\"https://a/b?sig=hush\")", ".ingest into table T (h\"*****\")"),
            ("print 'https://a/b?sv=1&sig=hush&se=2'", "print 'https://a/b?sv=1&sig=*****"),
            ("print h'hush", "print h'*****"),
            (".list blobs ('https://a/b;hush==') MaxFiles=1", ".list blobs ('https://a/b;*****') MaxFiles=1"),
            ("print 'https://a'; print 'b://c;secret'", "print 'https://a'; print 'b://c;*****'"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
