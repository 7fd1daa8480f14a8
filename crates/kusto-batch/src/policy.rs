//! The `ingestionbatching` policy: its limits and its JSON.

use kusto_types::{ByteSize, Timespan};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// When an open batch is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchingPolicy {
    /// The longest time from the first source to the seal.
    pub maximum_time: Duration,
    /// The most sources.
    pub maximum_items: u32,
    /// The most uncompressed bytes.
    pub maximum_raw_size: ByteSize,
}

/// Why a JSON text is not a batching policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a JSON object.
    #[error("the batching policy is not a JSON object")]
    Shape,
    /// A member that cannot be read.
    #[error("{0} of the batching policy cannot be read: {1}")]
    Value(&'static str, String),
    /// A member outside its limits.
    #[error("{name} of the batching policy is {value}; it must be within {limits}")]
    Range {
        /// The member.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        limits: &'static str,
    },
}

impl BatchingPolicy {
    /// Kusto's default: 5 minutes, 500 sources, 1 GiB.
    pub const KUSTO: Self = Self {
        maximum_time: Duration::from_secs(300),
        maximum_items: 500,
        maximum_raw_size: ByteSize::mebibytes(1024),
    };

    /// A default for one machine and a waiting person: one second.
    pub const LAPTOP: Self = Self { maximum_time: Duration::from_secs(1), ..Self::KUSTO };

    /// Reads the policy's JSON over `base`: members that are absent keep its values.
    /// Unlike a cluster, times under 10 s and sizes under 100 MB are taken, since a
    /// test on one machine wants them; the upper limits are Kusto's.
    pub fn parse_over(base: Self, json: &str) -> Result<Self, PolicyError> {
        let value: Value = serde_json::from_str(json).map_err(|_| PolicyError::Shape)?;
        let Value::Object(object) = value else { return Err(PolicyError::Shape) };
        let member = |object: &Map<String, Value>, name: &str| -> Option<String> {
            object.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null()).map(
                |(_, value)| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
            )
        };
        let mut policy = base;
        if let Some(text) = member(&object, "MaximumBatchingTimeSpan") {
            policy.maximum_time = Timespan::parse(&text)
                .and_then(Timespan::to_duration)
                .ok_or_else(|| PolicyError::Value("MaximumBatchingTimeSpan", text.clone()))?;
            if policy.maximum_time.is_zero() || policy.maximum_time > Duration::from_secs(1800) {
                return Err(PolicyError::Range {
                    name: "MaximumBatchingTimeSpan",
                    value: text,
                    limits: "00:30:00",
                });
            }
        }
        if let Some(text) = member(&object, "MaximumNumberOfItems") {
            policy.maximum_items =
                text.parse().map_err(|_| PolicyError::Value("MaximumNumberOfItems", text.clone()))?;
            if !(1..=25_000).contains(&policy.maximum_items) {
                return Err(PolicyError::Range {
                    name: "MaximumNumberOfItems",
                    value: text,
                    limits: "1 to 25000",
                });
            }
        }
        if let Some(text) = member(&object, "MaximumRawDataSizeMB") {
            let megabytes: u64 =
                text.parse().map_err(|_| PolicyError::Value("MaximumRawDataSizeMB", text.clone()))?;
            if !(1..=4096).contains(&megabytes) {
                return Err(PolicyError::Range {
                    name: "MaximumRawDataSizeMB",
                    value: text,
                    limits: "1 to 4096",
                });
            }
            policy.maximum_raw_size = ByteSize::mebibytes(megabytes);
        }
        Ok(policy)
    }

    /// The policy's JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "MaximumBatchingTimeSpan": Timespan::from_duration(self.maximum_time).to_string(),
            "MaximumNumberOfItems": self.maximum_items,
            "MaximumRawDataSizeMB": self.maximum_raw_size.0 / (1024 * 1024),
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_over_a_base() {
        let policy =
            BatchingPolicy::parse_over(BatchingPolicy::KUSTO, r#"{"maximumBatchingTimeSpan":"00:00:10"}"#)
                .unwrap();
        assert_eq!((policy.maximum_time, policy.maximum_items), (Duration::from_secs(10), 500));
        assert_eq!(BatchingPolicy::parse_over(BatchingPolicy::LAPTOP, &policy.to_json()).unwrap(), policy);
        for json in [
            "[]",
            "x",
            r#"{"MaximumNumberOfItems":0}"#,
            r#"{"MaximumBatchingTimeSpan":"x"}"#,
            r#"{"MaximumRawDataSizeMB":5000}"#,
        ] {
            assert!(BatchingPolicy::parse_over(BatchingPolicy::KUSTO, json).is_err(), "{json}");
        }
    }
}
