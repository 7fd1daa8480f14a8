//! The last requests that the service ran, as `.show queries` and `.show commands` show
//! them. Kept in memory only; texts that a client marked as secret are left out.

use crate::access::Caller;
use kusto_kql::RequestLog;
use kusto_types::{ColumnType as T, DateTime, Timespan};
use kusto_wire::ResultTable;
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
    match result.find("sig=") {
        None => result,
        Some(at) => format!("{}sig=*****", &result[..at]),
    }
}

impl Requests {
    /// Remembers a request that began at `started` and has just ended.
    pub(crate) fn record(
        &self,
        (client, activity): (&str, &str),
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
        };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == MOST {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The requests of a kind, the latest first.
    pub(crate) fn shown(&self, log: RequestLog) -> ResultTable {
        let mut result = ResultTable::new(
            "Table_0",
            [
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
                ("Principal", T::String),
            ],
        );
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.iter().rev() {
            let wanted = match log {
                RequestLog::Queries => !entry.is_command,
                RequestLog::Commands => entry.is_command,
                RequestLog::Both => true,
            };
            if wanted {
                result = result.with_row(vec![
                    entry.client.as_str().into(),
                    if entry.is_command { "Command" } else { "Query" }.into(),
                    entry.text.as_str().into(),
                    entry.database.as_str().into(),
                    entry.started.to_string().into(),
                    entry.ended.to_string().into(),
                    Timespan(entry.ended.ticks() - entry.started.ticks()).to_string().into(),
                    if entry.failure.is_none() { "Completed" } else { "Failed" }.into(),
                    entry.failure.clone().unwrap_or_default().into(),
                    entry.activity.as_str().into(),
                    entry.principal.as_str().into(),
                    entry.principal.as_str().into(),
                ]);
            }
        }
        result
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
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
