//! What runs now and can be stopped: queries by the id that their client gave them, commands
//! that add data by their operation.

use crate::access::Caller;
use crate::requests::QUERY_COLUMNS;
use kusto_engine::EngineError;
use kusto_types::{DateTime, Timespan};
use kusto_wire::{RequestProperties, ResultTable};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a query may run when it does not say, as on a cluster.
const DEFAULT: Duration = Duration::from_secs(4 * 60);
/// The longest that a query may ask for, as on a cluster.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Whether something may go on.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// Why it was cancelled, once it was.
    cancelled: OnceLock<String>,
    /// When its time ends, and how long it had.
    deadline: Option<(Instant, Duration)>,
}

impl Stop {
    /// The time that a query has by its options.
    pub(crate) fn of_query(properties: &RequestProperties) -> Self {
        let asked = properties.options.get("servertimeout").and_then(|value| value.as_str());
        let asked = asked.and_then(Timespan::parse).and_then(|span| u64::try_from(span.0).ok());
        let limit = match asked {
            _ if properties.is_on("norequesttimeout") => LONGEST,
            Some(ticks) if ticks > 0 => Duration::from_nanos(ticks.saturating_mul(100)).min(LONGEST),
            _ => DEFAULT,
        };
        Self { cancelled: OnceLock::new(), deadline: Some((Instant::now() + limit, limit)) }
    }

    /// Fails once it was cancelled, or its time has ended.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        if let Some(reason) = self.cancelled.get() {
            let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            return Err(EngineError::Cancelled(because));
        }
        match self.deadline {
            Some((ends, limit)) if Instant::now() >= ends => Err(EngineError::TimedOut { limit }),
            _ => Ok(()),
        }
    }
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunningKind {
    Query,
    Operation,
}

struct Entry {
    kind: RunningKind,
    /// The client's id of a query, the id of an operation.
    id: String,
    /// What an operation does.
    name: &'static str,
    principal: String,
    database: String,
    text: String,
    started: DateTime,
    stop: Arc<Stop>,
}

/// Something that was stopped.
pub(crate) struct Stopped {
    pub(crate) name: &'static str,
    pub(crate) started: DateTime,
}

#[derive(Default)]
struct Entries {
    last: u64,
    running: BTreeMap<u64, Entry>,
}

/// Everything that runs.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<Entries>>);

/// One thing that runs; it is no longer listed when this is dropped.
pub(crate) struct Ticket {
    running: Running,
    key: u64,
    pub(crate) stop: Arc<Stop>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.lock().running.remove(&self.key);
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists something until the ticket is dropped.
    pub(crate) fn enter(
        &self,
        kind: RunningKind,
        (id, name): (&str, &'static str),
        caller: &Caller,
        (database, text): (&str, &str),
        stop: Stop,
    ) -> Ticket {
        let stop = Arc::new(stop);
        let entry = Entry {
            kind,
            id: id.to_owned(),
            name,
            principal: caller.principal.to_string(),
            database: database.to_owned(),
            text: crate::requests::without_secrets(text),
            started: DateTime::now(),
            stop: stop.clone(),
        };
        let mut entries = self.lock();
        entries.last += 1;
        let key = entries.last;
        entries.running.insert(key, entry);
        Ticket { running: self.clone(), key, stop }
    }

    /// Stops what has this id, wherever `may` allows it by principal and database. What was
    /// stopped; `None` when nothing of that id runs.
    pub(crate) fn cancel<E>(
        &self,
        kind: RunningKind,
        id: &str,
        reason: &str,
        may: impl Fn(&str, &str) -> Result<(), E>,
    ) -> Result<Option<Stopped>, E> {
        // Nothing is held while `may` asks the database: others ask this while they hold that.
        let found: Vec<(String, String, Stopped, Arc<Stop>)> = self
            .lock()
            .running
            .values()
            .filter(|entry| entry.kind == kind && entry.id.eq_ignore_ascii_case(id))
            .map(|entry| {
                let stopped = Stopped { name: entry.name, started: entry.started };
                (entry.principal.clone(), entry.database.clone(), stopped, entry.stop.clone())
            })
            .collect();
        let mut last = None;
        for (principal, database, stopped, stop) in found {
            may(&principal, &database)?;
            let _earlier = stop.cancelled.set(reason.to_owned());
            last = Some(stopped);
        }
        Ok(last)
    }

    /// `.show running queries`
    pub(crate) fn queries(&self) -> ResultTable {
        let mut result = ResultTable::new("Table_0", QUERY_COLUMNS);
        let now = DateTime::now();
        for entry in self.lock().running.values().filter(|entry| entry.kind == RunningKind::Query) {
            let cell = |column: &str| -> Value {
                match column {
                    "ClientActivityId" => entry.id.as_str().into(),
                    "Text" => entry.text.as_str().into(),
                    "Database" => entry.database.as_str().into(),
                    "StartedOn" => entry.started.to_string().into(),
                    "LastUpdatedOn" => now.to_string().into(),
                    "Duration" => Timespan(now.ticks() - entry.started.ticks()).to_string().into(),
                    "State" => "InProgress".into(),
                    "User" | "Principal" => entry.principal.as_str().into(),
                    "WorkloadGroup" => "default".into(),
                    "FailureReason" | "Application" | "OverallQueryStats" | "VirtualCluster" => "".into(),
                    _ => Value::Null,
                }
            };
            result = result.with_row(QUERY_COLUMNS.iter().map(|(name, _)| cell(name)).collect());
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_stopped_by_its_id_by_those_who_may() {
        let running = Running::default();
        let caller = Caller::anonymous();
        let enter =
            |id| running.enter(RunningKind::Query, (id, "Query"), &caller, ("D", "print 1"), Stop::default());
        let (one, other) = (enter("one"), enter("other"));
        assert_eq!(running.queries().rows.len(), 2);
        let refused = running.cancel(RunningKind::Query, "one", "", |_, database| Err(database.to_owned()));
        assert_eq!(refused.err().as_deref(), Some("D"));
        one.stop.check().unwrap();
        let allowed = |_: &str, _: &str| Ok::<_, ()>(());
        assert!(running.cancel(RunningKind::Query, "ONE", "enough", allowed).unwrap().is_some());
        assert_eq!(one.stop.check().unwrap_err().to_string(), "the request was cancelled: enough");
        other.stop.check().unwrap();
        assert!(running.cancel(RunningKind::Operation, "other", "", allowed).unwrap().is_none());
        drop((one, other));
        assert!(running.queries().rows.is_empty());
        assert!(running.cancel(RunningKind::Query, "one", "", allowed).unwrap().is_none());
    }

    #[test]
    fn a_query_has_the_time_that_it_asks_for() {
        let limit = |name: &str, value: serde_json::Value| {
            let mut properties = RequestProperties::default();
            properties.options.insert(name.to_owned(), value);
            Stop::of_query(&properties).deadline.map(|(_, limit)| limit)
        };
        assert_eq!(limit("servertimeout", "00:00:10".into()), Some(Duration::from_secs(10)));
        // Python's way to write it.
        assert_eq!(limit("servertimeout", "0:10:00".into()), Some(Duration::from_secs(600)));
        assert_eq!(limit("servertimeout", "10:00:00".into()), Some(LONGEST));
        assert_eq!(limit("servertimeout", "-1".into()), Some(DEFAULT));
        assert_eq!(limit("norequesttimeout", true.into()), Some(LONGEST));
        assert_eq!(limit("other", true.into()), Some(DEFAULT));
        let past = Stop { deadline: Some((Instant::now(), DEFAULT)), ..Stop::default() };
        assert!(matches!(past.check(), Err(EngineError::TimedOut { .. })));
    }
}
