//! When a request is sent again, and after how long: pure, with injected randomness.

use std::time::Duration;

/// Whether sending the same request again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// Never.
    Never,
    /// After a pause that grows.
    Backoff,
    /// After the pause that the service asks for, else one that grows.
    Throttled,
}

/// How often and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most times that a request is sent; at least 1.
    pub attempts: u32,
    /// The first pause.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Most retries of all requests of one call of the library together.
    pub call_retries: u32,
}

impl Default for RetryPolicy {
    /// Four attempts, pauses from 0.5 s to 30 s, 64 retries a call.
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            call_retries: 64,
        }
    }
}

impl RetryPolicy {
    /// The pause before the attempt after `attempt` (from 1), or `None` to give up.
    /// `random` is within 0 and 1 and spreads the pause over its upper half.
    pub fn pause(
        &self,
        class: RetryClass,
        attempt: u32,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        match class {
            RetryClass::Never => return None,
            RetryClass::Backoff | RetryClass::Throttled => {}
        }
        if attempt >= self.attempts {
            return None;
        }
        let full = self.first_pause.saturating_mul(1 << (attempt - 1).min(16)).min(self.longest_pause);
        let spread = full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        Some(match asked {
            Some(asked) => asked.min(Duration::from_secs(120)).max(spread),
            None => spread,
        })
    }
}

/// A number within 0 and 1 that spreads pauses; its quality does not matter.
pub fn random_fraction() -> f64 {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    f64::from(u16::from_le_bytes([bytes[0], bytes[1]])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_end_and_obey_the_service() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(RetryClass::Never, 1, None, 0.5), None);
        assert_eq!(policy.pause(RetryClass::Backoff, 1, None, 0.0), Some(Duration::from_millis(250)));
        assert_eq!(policy.pause(RetryClass::Backoff, 2, None, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(policy.pause(RetryClass::Backoff, 4, None, 1.0), None);
        let asked = Some(Duration::from_secs(7));
        assert_eq!(policy.pause(RetryClass::Throttled, 1, asked, 0.0), asked);
    }
}
