//! One task that asks about every waiting ingestion of a client, within one bound on
//! its requests. It runs while somebody waits, and ends with the last of the client's
//! clones and handles.

use super::lookup::{Found, Key, Lookup};
use super::schedule::{PollPolicy, Schedule};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kusto_client::random_fraction;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Answer = Option<Arc<Found>>;

struct State {
    schedule: Schedule<Key>,
    waiting: HashMap<Key, watch::Sender<Answer>>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Rung when a key was added.
    added: Notify,
    lookup: Arc<dyn Lookup>,
    policy: PollPolicy,
}

/// Owns the task.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(task) = self.0.lock().task.take() {
            task.abort();
        }
    }
}

/// Finds out what became of ingestions. Clones share one poller.
#[derive(Clone)]
pub(crate) struct Tracker(Arc<Owner>);

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracker {
    pub(crate) fn new(lookup: Arc<dyn Lookup>, policy: PollPolicy) -> Self {
        let state = State { schedule: Schedule::new(policy), waiting: HashMap::new(), task: None };
        let shared = Shared { state: Mutex::new(state), added: Notify::new(), lookup, policy };
        Self(Arc::new(Owner(Arc::new(shared))))
    }

    /// Asks once, now.
    pub(crate) async fn look(&self, key: &Key) -> Result<Found, crate::Error> {
        self.0.0.lookup.look(key).await
    }

    /// Waits for the final answer about a key. Dropping the future stops the questions.
    pub(crate) async fn wait(&self, key: &Key) -> Arc<Found> {
        let shared = &self.0.0;
        let mut answer = {
            let mut state = shared.lock();
            let known = state.waiting.get(key).filter(|sender| sender.borrow().is_none());
            let answer = match known.map(watch::Sender::subscribe) {
                Some(answer) => answer,
                None => {
                    let (sender, answer) = watch::channel(None);
                    state.waiting.insert(key.clone(), sender);
                    state.schedule.add(key.clone(), Instant::now(), random_fraction());
                    answer
                }
            };
            let runs = state.task.as_ref().is_some_and(|task| !task.is_finished());
            if !runs {
                state.task = Some(tokio::spawn(run(shared.clone())));
            }
            answer
        };
        shared.added.notify_one();
        match answer.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or_else(|| Arc::new(lost())),
            // The task was ended with the client's runtime.
            Err(_) => Arc::new(lost()),
        }
    }

    /// How many keys are waited for; for tests.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.0.0.lock().waiting.len()
    }
}

fn lost() -> Found {
    Found::Unknown("the client was shut down while it waited".to_owned())
}

async fn run(shared: Arc<Shared>) {
    let mut asking = FuturesUnordered::new();
    loop {
        let wake = {
            let mut state = shared.lock();
            let now = Instant::now();
            while asking.len() < shared.policy.concurrency.max(1)
                && let Some(key) = state.schedule.take(now)
            {
                // Nobody waits for it any more.
                if state.waiting.get(&key).is_none_or(|sender| sender.receiver_count() == 0) {
                    state.waiting.remove(&key);
                    state.schedule.remove(&key);
                    continue;
                }
                let lookup = shared.lookup.clone();
                asking.push(async move {
                    let found = lookup.look(&key).await;
                    (key, found)
                });
            }
            let next = state.schedule.next();
            if next.is_none() && asking.is_empty() {
                // The task is replaced by the next waiter, under the same lock.
                state.task = None;
                return;
            }
            next.filter(|_| asking.len() < shared.policy.concurrency.max(1))
        };
        tokio::select! {
            // Cancel-safe: questions are kept over turns, everything else is in the state.
            Some((key, found)) = asking.next() => settle(&shared, key, found),
            () = sleep_until(wake) => {}
            () = shared.added.notified() => {}
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn settle(shared: &Shared, key: Key, found: Result<Found, crate::Error>) {
    let mut state = shared.lock();
    let found = match found {
        Ok(found) if found.is_final() => found,
        Ok(_) => return state.schedule.again(key, Instant::now(), random_fraction()),
        Err(error) if error.is_retryable() => {
            tracing::warn!(%error, "the status of an ingestion cannot be read yet");
            return state.schedule.again(key, Instant::now(), random_fraction());
        }
        Err(error) => Found::Unknown(format!("its status cannot be read: {error}")),
    };
    state.schedule.remove(&key);
    if let Some(sender) = state.waiting.remove(&key) {
        sender.send_replace(Some(Arc::new(found)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Outcome, SourceOutcome};
    use super::*;
    use crate::{Error, ErrorKind};
    use futures_util::future::BoxFuture;
    use kusto_types::SourceId;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Decides each source at its third question.
    #[derive(Default)]
    struct Third {
        asked: Mutex<HashMap<Key, usize>>,
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Lookup for Third {
        fn look<'l>(&'l self, key: &'l Key) -> BoxFuture<'l, Result<Found, Error>> {
            Box::pin(async move {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                let Key::Row { source_id } = key else { return Ok(Found::Unknown(String::new())) };
                let mut asked = self.asked.lock().unwrap();
                let times = asked.entry(key.clone()).or_default();
                *times += 1;
                match *times {
                    1 => Ok(Found::Sources(vec![SourceOutcome { source_id: *source_id, outcome: None }])),
                    2 => Err(Error::new(ErrorKind::Service, "later")),
                    _ => Ok(Found::Sources(vec![SourceOutcome {
                        source_id: *source_id,
                        outcome: Some(Outcome::Succeeded),
                    }])),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_waiters_share_one_poller_within_its_bounds() {
        let lookup = Arc::new(Third::default());
        let policy = PollPolicy { per_second: 500, concurrency: 8, ..PollPolicy::default() };
        let tracker = Tracker::new(lookup.clone(), policy);
        let begun = Instant::now();
        let keys: Vec<Key> = (0..10_000).map(|_| Key::Row { source_id: SourceId::random() }).collect();
        let waits = keys.iter().map(|key| tracker.wait(key));
        let all = futures_util::future::join_all(waits).await;
        assert!(all.iter().all(|found| found.is_final()));
        let questions: usize = lookup.asked.lock().unwrap().values().sum();
        assert_eq!(questions, 30_000);
        let took = begun.elapsed().as_secs_f64();
        assert!(took >= 30_000.0 / 500.0 - 1.0, "{questions} questions in {took} s");
        assert!(lookup.most.load(Ordering::SeqCst) <= 8);
        assert_eq!(tracker.waiting(), 0);
        let task = tracker.0.0.lock().task.is_none();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(task || tracker.0.0.lock().task.is_none(), "the poller ends when nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_goes_away_is_not_asked_for() {
        let lookup = Arc::new(Third::default());
        let tracker = Tracker::new(lookup.clone(), PollPolicy::default());
        let key = Key::Row { source_id: SourceId::random() };
        let gone = tokio::time::timeout(Duration::from_millis(10), tracker.wait(&key)).await;
        assert!(gone.is_err());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(lookup.asked.lock().unwrap().len(), 0);
        assert_eq!(tracker.waiting(), 0);
    }
}
