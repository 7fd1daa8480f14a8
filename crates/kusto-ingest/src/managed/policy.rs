//! The decisions of managed streaming, free of I/O: how large a source may be, what a
//! failure means, what is done about it.

use crate::tracking::FallbackReason;
use crate::{Error, ErrorKind};
use kusto_types::DataFormat;
use std::time::Duration;

/// What kept the engine from taking a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamingFailure {
    /// The source is larger than the engine takes.
    TooLarge,
    /// Streaming is switched off for the cluster, the database or the table.
    StreamingOff,
    /// The table's configuration, such as an update policy, prevents streaming.
    TablePrevents,
    /// The request has an option that streaming cannot carry.
    RequestPrevents,
    /// The engine has too much to do.
    Throttled,
    /// Something that may pass: the service said so, or was not reached.
    Transient,
    /// The service said that the same source can never succeed.
    Permanent,
}

impl StreamingFailure {
    /// What an error of the engine means. The service's own word on permanence counts
    /// before anything that is guessed from texts.
    pub fn of(error: &Error) -> Self {
        let said = format!("{} {error}", error.code().unwrap_or_default()).to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
        match (error.status(), error.kind()) {
            (Some(413), _) => return Self::TooLarge,
            (Some(429), _) | (_, ErrorKind::Throttled) => return Self::Throttled,
            (_, ErrorKind::Unreachable) => return Self::Transient,
            // An engine without the endpoint.
            (Some(404), _) if error.code().is_none() => return Self::StreamingOff,
            _ => {}
        }
        if has(&["toolarge", "too large", "maximum allowed size"]) {
            Self::TooLarge
        } else if has(&["streaming"])
            && has(&["notenabled", "not enabled", "disabled", "is off", "turned off"])
        {
            Self::StreamingOff
        } else if has(&["streaming"]) && has(&["update policy", "updatepolicy", "schema", "incompatible"]) {
            Self::TablePrevents
        } else if has(&["ingestionpropertynotsupportedinthiscontext"]) {
            Self::RequestPrevents
        } else if error.is_permanent() {
            Self::Permanent
        } else {
            Self::Transient
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too large",
            Self::StreamingOff => "streaming is off",
            Self::TablePrevents => "the table prevents streaming",
            Self::RequestPrevents => "the request prevents streaming",
            Self::Throttled => "throttled",
            Self::Transient => "transient failures",
            Self::Permanent => "a permanent failure",
        }
    }

    pub(super) fn reason(self, error: &Error) -> FallbackReason {
        let details = error.to_string();
        match self {
            Self::TooLarge => FallbackReason::TooLarge,
            Self::StreamingOff => FallbackReason::StreamingOff { details },
            Self::TablePrevents => FallbackReason::TablePreventsStreaming { details },
            Self::RequestPrevents => FallbackReason::RequestPreventsStreaming { options: vec![details] },
            Self::Throttled => FallbackReason::Throttled { details },
            Self::Transient | Self::Permanent => FallbackReason::TransientFailures { details },
        }
    }
}

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The source is streamed again after a pause.
    Retry(Duration),
    /// The source is queued; with a time, so are the next ones of the table until then.
    Queue {
        /// For how long the table is remembered.
        remember: Option<Duration>,
    },
    /// The ingestion fails.
    Fail,
}

/// Decides for managed streaming. Implementations are asked from many tasks at once.
pub trait ManagedStreamingPolicy: Send + Sync {
    /// Most bytes that a source of this format may have as it is sent; larger ones are
    /// queued.
    fn largest(&self, format: DataFormat) -> usize;

    /// What is done after a failed attempt (from 1). `asked` is the pause that the service
    /// asks for, `random` is within 0 and 1.
    fn react(
        &self,
        failure: StreamingFailure,
        attempt: u32,
        asked: Option<Duration>,
        random: f64,
    ) -> Reaction;

    /// Hears of a source that was streamed, and how long the request took.
    fn streamed(&self, _took: Duration) {}

    /// Hears of a failed attempt.
    fn failed(&self, _failure: StreamingFailure, _attempt: u32) {}
}

/// The designed default of the official clients, with what they meant to do: three
/// retries after 1, 2 and 4 s and up to a second more, or after the pause that the
/// service asks for; a permanent failure is the caller's, at once; throttling queues the
/// table's sources for 10 s, streaming that is off or that the table prevents for 15
/// minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultManagedStreamingPolicy {
    /// Scales the size limit of 10 MiB. Default 1.
    pub size_factor: f64,
    /// Whether sources are queued when streaming is off. Default: they fail, since it is
    /// most often a mistake in the table's set-up, and queuing would hide it.
    pub continue_when_streaming_is_off: bool,
    /// The pauses before the retries. Default 1, 2 and 4 s.
    pub pauses: Vec<Duration>,
    /// Most that is added to a pause at random. Default 1 s.
    pub jitter: Duration,
    /// How long a throttled table is queued. Default 10 s.
    pub after_throttling: Duration,
    /// How long a table is queued that cannot be streamed to. Default 15 minutes.
    pub after_streaming_off: Duration,
}

impl Default for DefaultManagedStreamingPolicy {
    fn default() -> Self {
        Self {
            size_factor: 1.0,
            continue_when_streaming_is_off: false,
            pauses: [1, 2, 4].map(Duration::from_secs).to_vec(),
            jitter: Duration::from_secs(1),
            after_throttling: Duration::from_secs(10),
            after_streaming_off: Duration::from_secs(900),
        }
    }
}

impl ManagedStreamingPolicy for DefaultManagedStreamingPolicy {
    fn largest(&self, _: DataFormat) -> usize {
        // A factor over 1 would only be refused by the service.
        (crate::streaming::MAX_STREAMED as f64 * self.size_factor.clamp(0.0, 1.0)) as usize
    }

    fn react(
        &self,
        failure: StreamingFailure,
        attempt: u32,
        asked: Option<Duration>,
        random: f64,
    ) -> Reaction {
        let pause = self.pauses.get(attempt.saturating_sub(1) as usize).map(|pause| {
            let spread = *pause + self.jitter.mul_f64(random.clamp(0.0, 1.0));
            asked.map_or(spread, |asked| asked.max(spread))
        });
        match failure {
            StreamingFailure::Permanent => Reaction::Fail,
            StreamingFailure::TooLarge | StreamingFailure::RequestPrevents => {
                Reaction::Queue { remember: None }
            }
            StreamingFailure::TablePrevents => Reaction::Queue { remember: Some(self.after_streaming_off) },
            StreamingFailure::StreamingOff if self.continue_when_streaming_is_off => {
                Reaction::Queue { remember: Some(self.after_streaming_off) }
            }
            StreamingFailure::StreamingOff => Reaction::Fail,
            StreamingFailure::Throttled => match pause {
                // A long wait is better spent in the queue.
                Some(pause) if pause <= self.after_throttling => Reaction::Retry(pause),
                _ => Reaction::Queue { remember: Some(asked.unwrap_or_default().max(self.after_throttling)) },
            },
            StreamingFailure::Transient => match pause {
                Some(pause) => Reaction::Retry(pause),
                None => Reaction::Queue { remember: None },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn error(status: u16, code: &str, message: &str, permanent: bool) -> Error {
        let body = serde_json::json!({"error": {"code": code, "message": "m", "@message": message, "@permanent": permanent}});
        Error::from_response(status, &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn errors_are_classified_by_what_the_service_says() {
        use StreamingFailure as F;
        for (status, code, message, permanent, expected) in [
            (400, "BadRequest_InvalidBlob", "no", true, F::Permanent),
            (400, "General_BadRequest", "x", false, F::Transient),
            (500, "General_InternalServerError", "x", false, F::Transient),
            (500, "General_InternalServerError", "x", true, F::Permanent),
            (429, "TooManyRequests", "x", false, F::Throttled),
            (413, "Payload too large", "x", true, F::TooLarge),
            (400, "Stream_InputStreamTooLarge", "x", true, F::TooLarge),
            (400, "BadRequest_StreamingIngestionPolicyNotEnabled", "x", true, F::StreamingOff),
            (
                400,
                "General_BadRequest",
                "Streaming ingestion is disabled on the cluster",
                true,
                F::StreamingOff,
            ),
            (400, "General_BadRequest", "Streaming: update policy is not supported", true, F::TablePrevents),
            // These speak of a schema, not of streaming: mending it is the caller's.
            (400, "BadRequest_InvalidMapping", "schema mismatch", true, F::Permanent),
            (403, "Forbidden", "x", true, F::Permanent),
        ] {
            assert_eq!(
                F::of(&error(status, code, message, permanent)),
                expected,
                "{status} {code} {message}"
            );
        }
        let missing = Error::from_response(404, &HeaderMap::new(), b"");
        assert_eq!(F::of(&missing), F::StreamingOff);
        assert_eq!(F::of(&Error::new(ErrorKind::Unreachable, "x")), F::Transient);
    }

    #[test]
    fn the_default_policy_does_what_was_designed() {
        use StreamingFailure as F;
        let policy = DefaultManagedStreamingPolicy::default();
        let seconds = Duration::from_secs;
        let queue = |time: Option<u64>| Reaction::Queue { remember: time.map(seconds) };
        for (failure, attempt, asked, expected) in [
            (F::Permanent, 1, None, Reaction::Fail),
            (F::Transient, 1, None, Reaction::Retry(seconds(1))),
            (F::Transient, 3, None, Reaction::Retry(seconds(4))),
            (F::Transient, 4, None, queue(None)),
            (F::Transient, 1, Some(7), Reaction::Retry(seconds(7))),
            (F::Throttled, 1, Some(3), Reaction::Retry(seconds(3))),
            (F::Throttled, 1, Some(60), queue(Some(60))),
            (F::Throttled, 4, None, queue(Some(10))),
            (F::StreamingOff, 1, None, Reaction::Fail),
            (F::TablePrevents, 1, None, queue(Some(900))),
            (F::TooLarge, 1, None, queue(None)),
        ] {
            let reaction = policy.react(failure, attempt, asked.map(seconds), 0.0);
            assert_eq!(reaction, expected, "{failure:?} {attempt} {asked:?}");
        }
        assert_eq!(policy.react(F::Transient, 1, None, 1.0), Reaction::Retry(seconds(2)));
        let going_on = DefaultManagedStreamingPolicy { continue_when_streaming_is_off: true, ..policy };
        assert_eq!(going_on.react(F::StreamingOff, 1, None, 0.0), queue(Some(900)));
        assert_eq!(going_on.largest(DataFormat::Csv), 10 << 20);
    }
}
