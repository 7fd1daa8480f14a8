//! Metrics through the global OpenTelemetry meter (feature `opentelemetry`); without the
//! feature nothing is counted. Names: `kusto.ingest.accepted`, `.refused`, `.decided`
//! (sources), `.uploaded` (bytes), `.accept.duration` (seconds). Attributes: `mode`, and
//! for what was decided `outcome`, for what was refused `kind`.

use crate::{Error, IngestionHandle, Outcome};
use std::time::Duration;

/// Notes how a call ended.
pub(crate) fn called(mode: &'static str, took: Duration, result: &Result<IngestionHandle, Error>) {
    #[cfg(feature = "opentelemetry")]
    meters::called(mode, took, result);
    #[cfg(not(feature = "opentelemetry"))]
    let _uncounted = (mode, took, result);
}

/// Notes bytes that arrived in storage or at the engine.
pub(crate) fn uploaded(bytes: u64) {
    #[cfg(feature = "opentelemetry")]
    meters::METERS.uploaded.add(bytes, &[]);
    #[cfg(not(feature = "opentelemetry"))]
    let _uncounted = bytes;
}

/// Notes an outcome that somebody waited for.
pub(crate) fn decided(outcome: &Outcome) {
    #[cfg(feature = "opentelemetry")]
    meters::decided(outcome);
    #[cfg(not(feature = "opentelemetry"))]
    let _uncounted = outcome;
}

#[cfg(feature = "opentelemetry")]
mod meters {
    use super::{Duration, Error, IngestionHandle, Outcome};
    use crate::ErrorKind;
    use opentelemetry::metrics::{Counter, Histogram};
    use opentelemetry::{KeyValue, global};
    use std::sync::LazyLock;

    pub(super) struct Meters {
        accepted: Counter<u64>,
        refused: Counter<u64>,
        decided: Counter<u64>,
        pub(super) uploaded: Counter<u64>,
        seconds: Histogram<f64>,
    }

    /// Made at the first use: a program sets its meter provider before it ingests.
    pub(super) static METERS: LazyLock<Meters> = LazyLock::new(|| {
        let meter = global::meter("kusto-ingest");
        Meters {
            accepted: meter.u64_counter("kusto.ingest.accepted").with_unit("{source}").build(),
            refused: meter.u64_counter("kusto.ingest.refused").with_unit("{source}").build(),
            decided: meter.u64_counter("kusto.ingest.decided").with_unit("{source}").build(),
            uploaded: meter.u64_counter("kusto.ingest.uploaded").with_unit("By").build(),
            seconds: meter.f64_histogram("kusto.ingest.accept.duration").with_unit("s").build(),
        }
    });

    fn kind_name(kind: ErrorKind) -> &'static str {
        match kind {
            ErrorKind::Usage => "usage",
            ErrorKind::Source => "source",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Service => "service",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Deadline => "deadline",
            _ => "other",
        }
    }

    pub(super) fn called(mode: &'static str, took: Duration, result: &Result<IngestionHandle, Error>) {
        let mode = KeyValue::new("mode", mode);
        match result {
            Ok(_) => {
                METERS.accepted.add(1, std::slice::from_ref(&mode));
                METERS.seconds.record(took.as_secs_f64(), &[mode]);
            }
            Err(error) => METERS.refused.add(1, &[mode, KeyValue::new("kind", kind_name(error.kind()))]),
        }
    }

    pub(super) fn decided(outcome: &Outcome) {
        let name = match outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::PartiallySucceeded { .. } => "partially_succeeded",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Failed { .. } => "failed",
            Outcome::Unknown { .. } => "unknown",
        };
        METERS.decided.add(1, &[KeyValue::new("outcome", name)]);
    }
}
