//! Open batches by key, and the rules that seal them.
//!
//! Invariant B-1: every source added is in exactly one batch, and a sealed batch takes
//! no more sources.

use crate::BatchingPolicy;
use kusto_types::{ByteSize, DateTime};
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Why a batch was sealed, in Kusto's words (`BatchingType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealCause {
    /// The oldest source reached the longest time.
    Time,
    /// The most sources.
    Count,
    /// The most bytes.
    Size,
    /// A source asked for it.
    FlushImmediately,
    /// The service is stopping or was told to.
    SystemFlush,
    /// The source may not share a batch (ingestIfNotExists, `ingest-by:` tag).
    SingleBlob,
}

impl SealCause {
    /// The name in metrics and journals.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Time => "Time",
            Self::Count => "NumberOfItems",
            Self::Size => "Size",
            Self::FlushImmediately => "FlushImmediately",
            Self::SystemFlush => "SystemFlush",
            Self::SingleBlob => "SingleBlob",
        }
    }
}

/// A source on its way into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// Uncompressed bytes, measured or estimated.
    pub raw_size: ByteSize,
    /// Whether it seals the batch that it joins.
    pub flush: bool,
    /// Whether it must have a batch of its own.
    pub alone: bool,
}

/// A batch that still takes sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBatch<B> {
    /// The caller's id for it.
    pub id: B,
    /// Sources so far.
    pub items: u32,
    /// Bytes so far.
    pub raw_size: ByteSize,
    /// When its first source came.
    pub opened: DateTime,
}

/// What the caller must do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<B> {
    /// Make a batch with this id.
    Open(B),
    /// Put the source into the batch.
    Assign(B),
    /// Close the batch and load it.
    Seal(B, SealCause),
}

/// Open batches by key.
#[derive(Debug, Clone)]
pub struct Batcher<K, B> {
    open: HashMap<K, OpenBatch<B>>,
}

impl<K, B> Default for Batcher<K, B> {
    fn default() -> Self {
        Self { open: HashMap::new() }
    }
}

fn deadline(opened: DateTime, policy: &BatchingPolicy) -> i64 {
    let ticks = i64::try_from(policy.maximum_time.as_nanos() / 100).unwrap_or(i64::MAX);
    opened.ticks().saturating_add(ticks)
}

impl<K: Eq + Hash + Clone, B: Copy + PartialEq> Batcher<K, B> {
    /// Takes back a batch that was open when the service stopped.
    pub fn restore(&mut self, key: K, batch: OpenBatch<B>) {
        self.open.insert(key, batch);
    }

    /// Adds a source. `new_id` is called when a batch must be made.
    pub fn add(
        &mut self,
        key: &K,
        source: Incoming,
        policy: &BatchingPolicy,
        now: DateTime,
        new_id: impl FnOnce() -> B,
    ) -> Vec<Action<B>> {
        if source.alone {
            let id = new_id();
            return vec![Action::Open(id), Action::Assign(id), Action::Seal(id, SealCause::SingleBlob)];
        }
        let mut actions = Vec::with_capacity(3);
        let batch = match self.open.get_mut(key) {
            Some(batch) => batch,
            None => {
                let id = new_id();
                actions.push(Action::Open(id));
                self.open.entry(key.clone()).or_insert(OpenBatch {
                    id,
                    items: 0,
                    raw_size: ByteSize(0),
                    opened: now,
                })
            }
        };
        batch.items += 1;
        batch.raw_size = ByteSize(batch.raw_size.0.saturating_add(source.raw_size.0));
        actions.push(Action::Assign(batch.id));
        let cause = if source.flush {
            Some(SealCause::FlushImmediately)
        } else if batch.items >= policy.maximum_items {
            Some(SealCause::Count)
        } else if batch.raw_size >= policy.maximum_raw_size {
            Some(SealCause::Size)
        } else {
            None
        };
        if let Some(cause) = cause {
            actions.push(Action::Seal(batch.id, cause));
            self.open.remove(key);
        }
        actions
    }

    /// Seals every batch whose time has come.
    pub fn tick(&mut self, now: DateTime, policy: impl Fn(&K) -> BatchingPolicy) -> Vec<Action<B>> {
        let mut due: Vec<(i64, K)> = self
            .open
            .iter()
            .map(|(key, batch)| (deadline(batch.opened, &policy(key)), key.clone()))
            .filter(|(at, _)| *at <= now.ticks())
            .collect();
        due.sort_by_key(|(at, _)| *at);
        self.seal(due.into_iter().map(|(_, key)| key), SealCause::Time)
    }

    /// Seals every open batch whose key matches.
    pub fn flush(&mut self, matches: impl Fn(&K) -> bool) -> Vec<Action<B>> {
        let keys: Vec<K> = self.open.keys().filter(|key| matches(key)).cloned().collect();
        self.seal(keys.into_iter(), SealCause::SystemFlush)
    }

    fn seal(&mut self, keys: impl Iterator<Item = K>, cause: SealCause) -> Vec<Action<B>> {
        keys.filter_map(|key| self.open.remove(&key)).map(|batch| Action::Seal(batch.id, cause)).collect()
    }

    /// How long until `tick` has something to do; `None` when nothing is open.
    pub fn until_next(&self, now: DateTime, policy: impl Fn(&K) -> BatchingPolicy) -> Option<Duration> {
        let next = self.open.iter().map(|(key, batch)| deadline(batch.opened, &policy(key))).min()?;
        Some(Duration::from_nanos(u64::try_from(next - now.ticks()).unwrap_or(0).saturating_mul(100)))
    }

    /// The open batches.
    pub fn open(&self) -> impl Iterator<Item = (&K, &OpenBatch<B>)> {
        self.open.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime {
        DateTime::from_ticks(seconds * 10_000_000).unwrap()
    }

    fn small() -> Incoming {
        Incoming { raw_size: ByteSize(1), flush: false, alone: false }
    }

    #[test]
    fn time_runs_from_the_first_source() {
        let mut batcher = Batcher::default();
        let policy = BatchingPolicy { maximum_time: Duration::from_secs(10), ..BatchingPolicy::KUSTO };
        assert_eq!(batcher.add(&"t", small(), &policy, at(0), || 1), [Action::Open(1), Action::Assign(1)]);
        assert_eq!(batcher.add(&"t", small(), &policy, at(9), || 2), [Action::Assign(1)]);
        assert_eq!(batcher.until_next(at(9), |_| policy), Some(Duration::from_secs(1)));
        assert_eq!(batcher.tick(at(9), |_| policy), []);
        assert_eq!(batcher.tick(at(10), |_| policy), [Action::Seal(1, SealCause::Time)]);
        assert_eq!(batcher.until_next(at(10), |_| policy), None);
    }

    #[test]
    fn flush_seals_what_is_already_there_and_lone_sources_stay_alone() {
        let mut batcher = Batcher::default();
        let policy = BatchingPolicy::KUSTO;
        batcher.add(&"t", small(), &policy, at(0), || 1);
        let alone = Incoming { alone: true, ..small() };
        assert_eq!(
            batcher.add(&"t", alone, &policy, at(0), || 2),
            [Action::Open(2), Action::Assign(2), Action::Seal(2, SealCause::SingleBlob)]
        );
        let flush = Incoming { flush: true, ..small() };
        assert_eq!(
            batcher.add(&"t", flush, &policy, at(1), || 3),
            [Action::Assign(1), Action::Seal(1, SealCause::FlushImmediately)]
        );
    }

    proptest! {
        /// Invariant B-1, and no batch outgrows the count limit or outlives its time.
        #[test]
        fn every_source_is_in_one_batch(events in prop::collection::vec((0u8..3, 0i64..5, 0u64..600, any::<bool>()), 1..200)) {
            let policy = BatchingPolicy { maximum_time: Duration::from_secs(20), maximum_items: 7, maximum_raw_size: ByteSize(2000) };
            let mut batcher: Batcher<u8, u32> = Batcher::default();
            let (mut next, mut now) = (0u32, 0i64);
            let mut sizes: HashMap<u32, u32> = HashMap::new();
            let mut sealed = std::collections::HashSet::new();
            let mut assigned = 0usize;
            for (key, step, size, flush) in &events {
                now += step;
                let mut actions = batcher.tick(at(now), |_| policy);
                actions.extend(batcher.add(key, Incoming { raw_size: ByteSize(*size), flush: *flush, alone: false }, &policy, at(now), || { next += 1; next }));
                for action in actions {
                    match action {
                        Action::Open(id) => prop_assert!(sizes.insert(id, 0).is_none()),
                        Action::Assign(id) => {
                            prop_assert!(!sealed.contains(&id));
                            assigned += 1;
                            *sizes.get_mut(&id).unwrap() += 1;
                            prop_assert!(sizes[&id] <= 7);
                        }
                        Action::Seal(id, _) => prop_assert!(sealed.insert(id)),
                    }
                }
                for (_, batch) in batcher.open() {
                    prop_assert!(now - batch.opened.ticks() / 10_000_000 < 20);
                    prop_assert!(batch.raw_size.0 < 2000);
                }
            }
            prop_assert_eq!(assigned, events.len());
            prop_assert_eq!(sizes.values().sum::<u32>() as usize, events.len());
            prop_assert_eq!(batcher.flush(|_| true).len() + sealed.len(), sizes.len());
        }
    }
}
