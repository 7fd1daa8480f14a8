//! When each waiting ingestion is looked at next: pure, with time and randomness given.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// How often the service is asked about waiting ingestions. One poller serves all
/// handles of a client, so that these bounds hold for all of them together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollPolicy {
    /// The pause before the first question about an ingestion. Default 100 ms.
    pub first: Duration,
    /// The longest pause between two questions about one. Default 10 s.
    pub longest: Duration,
    /// Most questions on their way at once. Default 16.
    pub concurrency: usize,
    /// Most questions begun in a second. Default 200.
    pub per_second: u32,
}

impl Default for PollPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            concurrency: 16,
            per_second: 200,
        }
    }
}

impl PollPolicy {
    /// The pause after one of `pause`: half as long again, spread by a quarter each way.
    fn next(&self, pause: Duration, random: f64) -> (Duration, Duration) {
        let base = (pause.max(Duration::from_millis(1)) * 3 / 2).min(self.longest);
        (base, base.mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0))
    }
}

/// The keys that wait, with their times.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    policy: PollPolicy,
    pauses: HashMap<K, Duration>,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    keys: HashMap<u64, K>,
    number: u64,
    /// When the rate lets the next question begin.
    free: Option<Instant>,
}

impl<K: Hash + Eq + Clone> Schedule<K> {
    pub(super) fn new(policy: PollPolicy) -> Self {
        Self {
            policy,
            pauses: HashMap::new(),
            due: BinaryHeap::new(),
            keys: HashMap::new(),
            number: 0,
            free: None,
        }
    }

    fn push(&mut self, key: K, at: Instant) {
        self.number += 1;
        self.keys.insert(self.number, key);
        self.due.push(Reverse((at, self.number)));
    }

    /// Begins to ask about a key.
    pub(super) fn add(&mut self, key: K, now: Instant, random: f64) {
        if self.pauses.insert(key.clone(), self.policy.first).is_none() {
            let pause = self.policy.first.mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0);
            self.push(key, now + pause);
        }
    }

    /// The key to ask about now, if there is one and the rate allows it.
    pub(super) fn take(&mut self, now: Instant) -> Option<K> {
        if self.free.is_some_and(|free| free > now) {
            return None;
        }
        loop {
            let Reverse((at, number)) = *self.due.peek()?;
            if at > now {
                return None;
            }
            self.due.pop();
            if let Some(key) = self.keys.remove(&number)
                && self.pauses.contains_key(&key)
            {
                let spacing = Duration::from_secs(1) / self.policy.per_second.max(1);
                self.free =
                    Some(self.free.unwrap_or(now).max(now.checked_sub(spacing).unwrap_or(now)) + spacing);
                return Some(key);
            }
        }
    }

    /// Asks about a taken key again, later.
    pub(super) fn again(&mut self, key: K, now: Instant, random: f64) {
        let Some(pause) = self.pauses.get_mut(&key) else { return };
        let (base, spread) = self.policy.next(*pause, random);
        *pause = base;
        self.push(key, now + spread);
    }

    /// Stops asking about a key.
    pub(super) fn remove(&mut self, key: &K) {
        self.pauses.remove(key);
    }

    /// When `take` may give something next.
    pub(super) fn next(&self) -> Option<Instant> {
        let Reverse((at, _)) = self.due.peek()?;
        Some(self.free.map_or(*at, |free| free.max(*at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn questions_keep_the_rate_and_pauses_grow() {
        let policy = PollPolicy { per_second: 100, ..PollPolicy::default() };
        let mut schedule = Schedule::new(policy);
        let begun = Instant::now();
        for key in 0..1000 {
            schedule.add(key, begun, f64::from(key) / 1000.0);
        }
        let mut asked = std::collections::HashSet::new();
        let mut now = begun;
        while asked.len() < 1000 {
            now = schedule.next().unwrap().max(now);
            if let Some(key) = schedule.take(now) {
                assert!(asked.insert(key), "{key} was asked about twice");
                assert_eq!(schedule.take(now), None, "the rate allows one now");
            }
        }
        let took = now - begun;
        assert!(took >= Duration::from_millis(9990) && took < Duration::from_millis(10_200), "{took:?}");
        let mut pauses = Vec::new();
        for _ in 0..20 {
            schedule.again(7, now, 0.5);
            let next = schedule.next().unwrap();
            pauses.push(next - now);
            now = next;
            assert_eq!(schedule.take(now), Some(7));
        }
        assert_eq!(pauses[0], Duration::from_millis(150));
        assert_eq!(*pauses.last().unwrap(), policy.longest);
        schedule.again(7, now, 0.5);
        schedule.remove(&7);
        assert_eq!(schedule.take(now + Duration::from_secs(60)), None);
    }
}
