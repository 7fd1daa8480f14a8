//! What an ingestion has done so far: counters to look at, and events to listen to.

use futures_util::Stream;
use kusto_types::SourceId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Something that happened to a source. A listener that lags loses the oldest byte
/// counts, never the other events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgressEvent {
    /// More bytes were read from the source; the number is the sum.
    Read(u64),
    /// More bytes, compressed where that pays, have arrived in storage; the sum.
    Uploaded(u64),
    /// An upload begins anew: the sums start from 0.
    Restarted,
    /// The service has it.
    Accepted(SourceId),
    /// The service has decided.
    Decided(SourceId, crate::Outcome),
}

/// Counters and events of one ingestion or of many; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    read: AtomicU64,
    uploaded: AtomicU64,
    listeners: Mutex<Vec<mpsc::Sender<ProgressEvent>>>,
}

/// Events that wait for a listener.
const WAITING: usize = 1024;

impl Progress {
    /// Bytes read from the source. Begins anew when an upload begins anew.
    pub fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Bytes uploaded, compressed.
    pub fn uploaded(&self) -> u64 {
        self.0.uploaded.load(Ordering::Relaxed)
    }

    /// The events from now on. The stream ends when every clone is gone.
    pub fn events(&self) -> impl Stream<Item = ProgressEvent> + Send + Unpin + use<> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Box::pin(futures_util::stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|event| (event, receiver))
        }))
    }

    fn tell(&self, event: &ProgressEvent) {
        let mut listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| {
            // Half of the room is kept for what must not be lost; a listener that lets even
            // that fill up is gone for good.
            let sums = matches!(event, ProgressEvent::Read(_) | ProgressEvent::Uploaded(_));
            if sums && listener.capacity() < WAITING / 2 {
                return !listener.is_closed();
            }
            listener.try_send(event.clone()).is_ok()
        });
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        let sum = self.0.read.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.tell(&ProgressEvent::Read(sum));
    }

    pub(crate) fn add_uploaded(&self, bytes: usize) {
        crate::telemetry::uploaded(bytes as u64);
        let sum = self.0.uploaded.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.tell(&ProgressEvent::Uploaded(sum));
    }

    pub(crate) fn restart(&self) {
        self.0.read.store(0, Ordering::Relaxed);
        self.0.uploaded.store(0, Ordering::Relaxed);
        self.tell(&ProgressEvent::Restarted);
    }

    pub(crate) fn accepted(&self, id: SourceId) {
        self.tell(&ProgressEvent::Accepted(id));
    }

    pub(crate) fn decided(&self, id: SourceId, outcome: &crate::Outcome) {
        self.tell(&ProgressEvent::Decided(id, outcome.clone()));
    }
}
