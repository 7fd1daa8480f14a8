//! What an ingestion has done so far, for progress bars.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one ingestion; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    read: AtomicU64,
    uploaded: AtomicU64,
}

impl Progress {
    /// Bytes read from the source. Begins anew when an upload begins anew.
    pub fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Bytes uploaded, compressed.
    pub fn uploaded(&self) -> u64 {
        self.0.uploaded.load(Ordering::Relaxed)
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_uploaded(&self, bytes: usize) {
        self.0.uploaded.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn restart(&self) {
        self.0.read.store(0, Ordering::Relaxed);
        self.0.uploaded.store(0, Ordering::Relaxed);
    }
}
