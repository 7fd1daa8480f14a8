//! The outcomes that an ingestion can have, read from each place that reports them.

use kusto_types::SourceId;
use kusto_wire::{BlobStatus, FailureStatus, IngestionErrorCode, IngestionStatus, StatusRow};
use serde::{Deserialize, Serialize};

/// What became of an ingestion. *Accepted* is not among them: that is having a handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// *Ingested*: the rows are in the table.
    Succeeded,
    /// Some of the rows are in the table.
    PartiallySucceeded {
        /// What is said about the rest.
        details: String,
    },
    /// The service left it out on purpose (ingestIfNotExists, nothing to ingest).
    Skipped {
        /// Why.
        details: String,
    },
    /// It is not in the table.
    Failed {
        /// The service's error code.
        code: IngestionErrorCode,
        /// Whether the same source can never succeed.
        permanent: bool,
        /// What happened.
        details: String,
    },
    /// Nothing is known: not tracked, or no answer in time. The rows may or may not be
    /// in the table.
    Unknown {
        /// Why nothing is known.
        reason: String,
    },
}

/// The outcome of one source of an ingestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOutcome {
    /// The source.
    pub source_id: SourceId,
    /// What became of it; `None` while the service has not decided.
    pub outcome: Option<Outcome>,
}

fn is_permanent(status: Option<FailureStatus>, code: &IngestionErrorCode) -> bool {
    match status {
        Some(FailureStatus::Permanent) => true,
        Some(FailureStatus::Transient | FailureStatus::Exhausted) => false,
        Some(FailureStatus::Unknown) | None => code.is_permanent().unwrap_or(false),
    }
}

impl Outcome {
    /// The outcome that a status row tells; `None` while it is pending.
    pub(crate) fn of_row(row: &StatusRow) -> Option<Self> {
        let details = row.details.clone().unwrap_or_default();
        Some(match row.status {
            IngestionStatus::Pending => return None,
            IngestionStatus::Queued => {
                Self::Unknown { reason: "the service reports nothing about this source".to_owned() }
            }
            IngestionStatus::Succeeded => Self::Succeeded,
            IngestionStatus::Skipped => Self::Skipped { details },
            IngestionStatus::PartiallySucceeded => Self::PartiallySucceeded { details },
            IngestionStatus::Failed => {
                let code = IngestionErrorCode::parse(row.error_code.as_deref().unwrap_or("Unknown"));
                Self::Failed { permanent: is_permanent(row.failure_status, &code), code, details }
            }
        })
    }

    /// The outcome that a blob of a v2 operation has; `None` while it is on its way.
    pub(crate) fn of_blob(blob: &BlobStatus) -> Option<Self> {
        let details = blob.details.clone().unwrap_or_default();
        let failed = |code: IngestionErrorCode, details| Self::Failed {
            permanent: is_permanent(blob.failure_status, &code),
            code,
            details,
        };
        Some(match blob.status.to_ascii_lowercase().as_str() {
            "queued" | "inprogress" | "pending" => return None,
            "succeeded" => Self::Succeeded,
            "skipped" => Self::Skipped { details },
            "failed" => {
                failed(IngestionErrorCode::parse(blob.error_code.as_deref().unwrap_or("Unknown")), details)
            }
            "canceled" | "cancelled" => failed(IngestionErrorCode::Other("Canceled".to_owned()), details),
            other => Self::Unknown { reason: format!("the service gives the state {other:?}") },
        })
    }

    /// The outcome that a command has by its row of `.show operations`; `None` while it is
    /// under way. A state that says neither success nor failure is no outcome to act on.
    pub(crate) fn of_operation(state: &str, details: String, should_retry: &str) -> Option<Self> {
        let failed = |permanent, details| {
            Some(Self::Failed { code: IngestionErrorCode::Other(state.to_owned()), permanent, details })
        };
        match state {
            "InProgress" | "Scheduled" => None,
            "Completed" => Some(Self::Succeeded),
            "Skipped" => Some(Self::Skipped { details }),
            "PartiallySucceeded" => Some(Self::PartiallySucceeded { details }),
            "BadInput" => failed(true, details),
            "Failed" => failed(matches!(should_retry, "false" | "0"), details),
            "Throttled" | "Canceled" => failed(false, details),
            // Abandoned: the engine lost sight of it.
            other => {
                Some(Self::Unknown { reason: format!("the engine gives the state {other:?}: {details}") })
            }
        }
    }

    /// Whether all of the rows are in the table.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// The outcome of several sources together. Any unknown one makes the whole unknown,
    /// so that nobody takes it for a success or throws away what is in the table.
    pub(crate) fn of_all(sources: &[SourceOutcome]) -> Option<Self> {
        let outcomes: Vec<&Self> = sources.iter().filter_map(|source| source.outcome.as_ref()).collect();
        if outcomes.len() < sources.len() || outcomes.is_empty() {
            return None;
        }
        if let [only] = outcomes.as_slice() {
            return Some((*only).clone());
        }
        if let Some(unknown) = outcomes.iter().find(|outcome| matches!(outcome, Self::Unknown { .. })) {
            return Some((*unknown).clone());
        }
        let bad: Vec<&&Self> = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Self::Failed { .. } | Self::PartiallySucceeded { .. }))
            .collect();
        let skipped = outcomes.iter().filter(|outcome| matches!(outcome, Self::Skipped { .. })).count();
        match bad.first() {
            None if skipped == outcomes.len() => Some(outcomes[0].clone()),
            None => Some(Self::Succeeded),
            Some(first) if bad.len() == outcomes.len() => {
                let permanent =
                    outcomes.iter().all(|outcome| matches!(outcome, Self::Failed { permanent: true, .. }));
                Some(match first {
                    Self::Failed { code, details, .. } => {
                        Self::Failed { code: code.clone(), permanent, details: details.clone() }
                    }
                    other => (**other).clone(),
                })
            }
            Some(first) => {
                let why = match first {
                    Self::Failed { code, details, .. } => format!("{details} ({code})"),
                    Self::PartiallySucceeded { details } => details.clone(),
                    _ => String::new(),
                };
                Some(Self::PartiallySucceeded {
                    details: format!("{} of {} sources failed; the first: {why}", bad.len(), outcomes.len()),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_an_operation_are_told_apart() {
        let of = |state: &str, retry: &str| Outcome::of_operation(state, "why".to_owned(), retry);
        assert_eq!((of("InProgress", ""), of("Scheduled", "")), (None, None));
        assert_eq!(of("Completed", ""), Some(Outcome::Succeeded));
        let details = || "why".to_owned();
        assert_eq!(of("Skipped", ""), Some(Outcome::Skipped { details: details() }));
        assert_eq!(of("PartiallySucceeded", ""), Some(Outcome::PartiallySucceeded { details: details() }));
        for (state, retry, expected) in [
            ("Failed", "false", true),
            ("Failed", "0", true),
            ("Failed", "1", false),
            ("BadInput", "1", true),
            ("Throttled", "0", false),
            ("Canceled", "0", false),
        ] {
            let Some(Outcome::Failed { permanent, code, .. }) = of(state, retry) else { panic!("{state}") };
            assert_eq!((permanent, code), (expected, IngestionErrorCode::Other(state.to_owned())), "{state}");
        }
        assert!(matches!(of("Abandoned", ""), Some(Outcome::Unknown { reason }) if reason.contains("why")));
    }

    #[test]
    fn several_outcomes_are_one() {
        let failed = |permanent| Outcome::Failed {
            code: IngestionErrorCode::BadRequestInvalidBlob,
            permanent,
            details: "no".to_owned(),
        };
        let skipped = || Outcome::Skipped { details: String::new() };
        let unknown = || Outcome::Unknown { reason: "r".to_owned() };
        let all = |outcomes: Vec<Outcome>| {
            let sources: Vec<SourceOutcome> = outcomes
                .into_iter()
                .map(|outcome| SourceOutcome { source_id: SourceId::random(), outcome: Some(outcome) })
                .collect();
            Outcome::of_all(&sources).unwrap()
        };
        assert_eq!(all(vec![Outcome::Succeeded, skipped()]), Outcome::Succeeded);
        assert_eq!(all(vec![skipped(), Outcome::Succeeded]), Outcome::Succeeded);
        assert_eq!(all(vec![skipped(), skipped()]), skipped());
        assert_eq!(all(vec![failed(true), failed(false)]), failed(false));
        assert_eq!(all(vec![failed(true), failed(true)]), failed(true));
        assert!(matches!(all(vec![Outcome::Succeeded, failed(true)]), Outcome::PartiallySucceeded { .. }));
        assert_eq!(all(vec![Outcome::Succeeded, unknown(), failed(true)]), unknown());
        let pending = SourceOutcome { source_id: SourceId::random(), outcome: None };
        assert_eq!(Outcome::of_all(&[pending]), None);
    }
}
