//! What is remembered of tables that streaming failed for, until when.

use super::policy::StreamingFailure;
use crate::IngestionProperties;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Tables that are remembered at most; the earliest to be forgotten goes first.
const TABLES: usize = 10_000;

/// The state of each table.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<(String, String), (StreamingFailure, Instant)>>);

fn key(properties: &IngestionProperties) -> (String, String) {
    (properties.database.to_string(), properties.table.to_string())
}

impl Memory {
    /// Notes a failure that holds for the table until a time.
    pub(super) fn note(&self, properties: &IngestionProperties, failure: StreamingFailure, until: Instant) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= TABLES {
            let earliest = tables.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            if let Some(earliest) = earliest {
                tables.remove(&earliest);
            }
        }
        tables.insert(key(properties), (failure, until));
    }

    /// What is remembered of the table now.
    pub(super) fn of(&self, properties: &IngestionProperties, now: Instant) -> Option<String> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(properties);
        let (failure, until) = *tables.get(&key)?;
        if until <= now {
            tables.remove(&key);
            return None;
        }
        Some(failure.name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn tables_are_remembered_apart_and_forgotten_in_time() {
        let memory = Memory::default();
        let one = IngestionProperties::new("db", "one").unwrap();
        let two = IngestionProperties::new("db", "two").unwrap();
        let now = Instant::now();
        memory.note(&one, StreamingFailure::Throttled, now + Duration::from_secs(10));
        assert_eq!(memory.of(&one, now + Duration::from_secs(9)).as_deref(), Some("throttled"));
        assert_eq!(memory.of(&two, now), None);
        assert_eq!(memory.of(&one, now + Duration::from_secs(10)), None);
        assert!(memory.0.lock().unwrap().is_empty());
    }
}
