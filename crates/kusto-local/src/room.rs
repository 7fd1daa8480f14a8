//! Whether the disk of the data folder has room: data is turned away while there is time to
//! say so, before a commit fails for the lack of it.

use crate::ServiceError;
use kusto_types::ByteSize;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of the system holds.
const HOLDS: Duration = Duration::from_secs(1);
/// When clients are asked to come again.
pub(crate) const AGAIN: Duration = Duration::from_secs(30);

/// The room on a disk.
pub(crate) struct Room {
    folder: PathBuf,
    /// Bytes that stay free.
    least: ByteSize,
    seen: Mutex<Option<(Instant, bool)>>,
}

impl Room {
    pub(crate) fn new(folder: PathBuf, least: ByteSize) -> Self {
        Self { folder, least, seen: Mutex::new(None) }
    }

    /// Whether less is free than has to be. A system that does not say is taken for one with
    /// room.
    pub(crate) fn is_low(&self) -> bool {
        if self.least.0 == 0 {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, is_low)) = *seen
            && at.elapsed() < HOLDS
        {
            return is_low;
        }
        let is_low = match fs4::available_space(&self.folder) {
            Ok(free) => free < self.least.0,
            Err(error) => {
                tracing::warn!(%error, "the free space of the data folder is not known");
                false
            }
        };
        if is_low && !matches!(*seen, Some((_, true))) {
            tracing::error!(
                folder = %self.folder.display(),
                least = self.least.0,
                "the disk of the data folder is nearly full: no data is taken until there is room"
            );
        }
        *seen = Some((Instant::now(), is_low));
        is_low
    }

    /// Fails while there is no room for more data.
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        if self.is_low() { Err(ServiceError::NoRoom { least: self.least }) } else { Ok(()) }
    }
}
