//! How many ingestion commands the engine runs at once, as it says itself; this client
//! sends no more than that.

use crate::{Error, KustoClient};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long an answer is used.
const FRESH: Duration = Duration::from_secs(600);
/// Commands at once when the engine does not say, for lack of the role to ask.
const UNKNOWN: usize = 4;

struct Known {
    slots: Arc<Semaphore>,
    total: usize,
    refresh_at: Instant,
}

/// The engine's capacity for ingestion, shared by the clones of a client.
#[derive(Default)]
pub(super) struct Capacity(Mutex<Option<Known>>);

impl Capacity {
    /// Waits for a slot.
    pub(super) async fn admit(&self, engine: &KustoClient) -> Result<OwnedSemaphorePermit, Error> {
        let slots = self.slots(engine).await?;
        slots
            .acquire_owned()
            .await
            .map_err(|error| Error::new(crate::ErrorKind::Usage, "the client was shut down").caused_by(error))
    }

    async fn slots(&self, engine: &KustoClient) -> Result<Arc<Semaphore>, Error> {
        // Held over the request, so that it is asked once.
        let mut known = self.0.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.refresh_at) {
            return Ok(known.slots.clone());
        }
        let total = match total(engine).await {
            Ok(total) => total,
            Err(error) => {
                tracing::debug!(%error, "the engine's capacity is not known");
                known.as_ref().map_or(UNKNOWN, |known| known.total)
            }
        };
        let refresh_at = Instant::now() + FRESH;
        match known.as_mut() {
            // What runs keeps its slot, so that a refresh never admits too many.
            Some(known) if known.total == total => known.refresh_at = refresh_at,
            Some(known) if known.total < total => {
                known.slots.add_permits(total - known.total);
                (known.total, known.refresh_at) = (total, refresh_at);
            }
            Some(known) => {
                known.slots.forget_permits(known.total - total);
                (known.total, known.refresh_at) = (total, refresh_at);
            }
            None => *known = Some(Known { slots: Arc::new(Semaphore::new(total)), total, refresh_at }),
        }
        Ok(known.as_ref().map_or_else(|| Arc::new(Semaphore::new(total)), |known| known.slots.clone()))
    }
}

async fn total(engine: &KustoClient) -> Result<usize, Error> {
    let answer = engine.management("NetDefaultDB", ".show capacity ingestions").await?;
    let total = answer.primary().and_then(|table| {
        let row = (0..table.rows.len()).find(|row| {
            table.text(*row, "Resource").is_some_and(|resource| resource.eq_ignore_ascii_case("ingestions"))
        })?;
        table.text(row, "Total")?.parse::<usize>().ok()
    });
    Ok(total.unwrap_or(UNKNOWN).clamp(1, 512))
}
