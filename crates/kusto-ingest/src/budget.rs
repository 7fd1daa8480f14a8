//! The bytes that all work of a client may hold in memory at once. A source is admitted
//! with all that it will need and gives it back when it is done, so that no source waits
//! for memory while it holds some: the bound is hard and there is no deadlock.

use crate::{Error, ErrorKind};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Blocks of one source in memory at once: one being filled, one waiting, three on the way.
const HELD: usize = 5;
/// Blocks on the way at once.
pub(crate) const PARALLEL: usize = 3;
/// What a source needs beside its blocks: the read buffer and the state of gzip.
const FIXED: usize = 640 * 1024;
/// The largest block; 50,000 of them are Azure's limit for a blob.
const LARGEST_BLOCK: usize = 4 * 1024 * 1024;

/// A bound in bytes, shared by the clones of a client.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Permits are KiB, since their number is limited.
    permits: Arc<Semaphore>,
    total: usize,
    block: usize,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Budget {
    /// The smallest budget that a source of any size fits in.
    pub(crate) const SMALLEST: usize = 4 * 1024 * 1024;
    /// 64 MiB: three large sources at full speed, or some hundred small ones.
    pub(crate) const DEFAULT: usize = 64 * 1024 * 1024;

    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.max(Self::SMALLEST);
        let block = ((total - FIXED) / (HELD + 1)).clamp(64 * 1024, LARGEST_BLOCK);
        Self { permits: Arc::new(Semaphore::new(total / 1024)), total, block }
    }

    /// Bytes of one block.
    pub(crate) fn block(&self) -> usize {
        self.block
    }

    /// What a source of this many bytes needs; an unknown size needs the most.
    fn weight(&self, size: Option<u64>) -> usize {
        let most = HELD * self.block;
        let blocks = match size {
            // What does not compress grows a little.
            Some(size) => usize::try_from(size)
                .unwrap_or(usize::MAX)
                .saturating_add(size as usize / 64 + 1024)
                .min(most),
            None => most,
        };
        (blocks + FIXED).min(self.total)
    }

    /// Waits until a source of this size may be held.
    pub(crate) async fn admit(&self, size: Option<u64>) -> Result<Admitted, Error> {
        self.admit_bytes(self.weight(size)).await
    }

    /// Waits until so many bytes may be held.
    pub(crate) async fn admit_bytes(&self, bytes: usize) -> Result<Admitted, Error> {
        let permits = u32::try_from(bytes.min(self.total).div_ceil(1024)).unwrap_or(u32::MAX);
        let permits = permits.min(u32::try_from(self.total / 1024).unwrap_or(u32::MAX));
        self.permits
            .clone()
            .acquire_many_owned(permits)
            .await
            .map(Admitted)
            .map_err(|_| Error::new(ErrorKind::Usage, "the client was shut down"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_admitted_never_exceeds_the_budget() {
        let budget = Budget::new(64 << 20);
        assert_eq!(budget.block(), 4 << 20);
        let large = [budget.admit(None).await.unwrap(), budget.admit(Some(10 << 30)).await.unwrap()];
        let third = budget.admit(Some(u64::MAX)).await.unwrap();
        let fourth = tokio::time::timeout(std::time::Duration::from_millis(20), budget.admit(None)).await;
        assert!(fourth.is_err(), "a fourth large source must wait");
        drop((large, third));
        let mut small = Vec::new();
        while let Ok(admitted) =
            tokio::time::timeout(std::time::Duration::from_millis(20), budget.admit(Some(100))).await
        {
            small.push(admitted.unwrap());
        }
        assert_eq!(small.len(), (64 << 10) / 642);
        // The smallest budget still takes any source, with smaller blocks.
        let smallest = Budget::new(1);
        assert!(smallest.weight(None) <= Budget::SMALLEST && smallest.block() < 1 << 20);
        smallest.admit(None).await.unwrap();
    }
}
