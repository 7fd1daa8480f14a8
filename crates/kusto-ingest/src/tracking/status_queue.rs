//! The success and failure queues of the service (v1): look, take, and take off only
//! what was dealt with, so that no report is lost.

use crate::resources::Service;
use crate::{Error, ErrorKind, SecretUrl, storage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kusto_wire::{FailureMessage, SuccessMessage};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Most messages of one request to a queue.
const AT_ONCE: u32 = 32;

/// A report of a queue.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Report<T> {
    /// As the service writes it.
    Read(T),
    /// A text that is no report of this kind; it is not thrown away.
    Unreadable {
        /// The text as it was in the queue.
        text: String,
    },
}

/// A taken report. It comes back to the queue when it is not
/// [acknowledged](Lease::acknowledge) in time.
#[derive(Debug)]
pub struct Lease<T> {
    /// The report.
    pub report: Report<T>,
    queue: SecretUrl,
    message: storage::Dequeued,
    transport: crate::Transport,
}

impl<T> Lease<T> {
    /// Takes the report off the queue for good.
    pub async fn acknowledge(self) -> Result<Report<T>, Error> {
        storage::delete_message(&self.transport, &self.queue, &self.message).await?;
        Ok(self.report)
    }
}

/// Which of the service's queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Successes,
    Failures,
}

/// One kind of status queue; a service may have several of a kind, which are read in
/// turns.
#[derive(Clone)]
pub struct ReportQueue<T> {
    service: Arc<Service>,
    which: Which,
    kind: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for ReportQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReportQueue").field(&self.which).finish()
    }
}

impl ReportQueue<FailureMessage> {
    pub(crate) fn failures(service: Arc<Service>) -> Self {
        Self { service, which: Which::Failures, kind: PhantomData }
    }
}

impl ReportQueue<SuccessMessage> {
    pub(crate) fn successes(service: Arc<Service>) -> Self {
        Self { service, which: Which::Successes, kind: PhantomData }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Report<T> {
    let json = match STANDARD.decode(text.trim()) {
        Ok(bytes) => String::from_utf8(bytes).ok(),
        Err(_) => Some(text.to_owned()),
    };
    match json.and_then(|json| serde_json::from_str(&json).ok()) {
        Some(report) => Report::Read(report),
        None => Report::Unreadable { text: text.to_owned() },
    }
}

impl<T: DeserializeOwned> ReportQueue<T> {
    async fn queues(&self) -> Result<Vec<SecretUrl>, Error> {
        let queues = self.service.queues().await?;
        let found = match self.which {
            Which::Successes => queues.resources.success_queues.clone(),
            Which::Failures => queues.resources.failure_queues.clone(),
        };
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the service hands out no status queue of this kind",
            ));
        }
        Ok(found)
    }

    /// Asks each queue for its share until there are `limit` messages or all are empty.
    async fn collect<F>(
        &self,
        limit: usize,
        ask: impl Fn(SecretUrl, u32) -> F,
    ) -> Result<Vec<(SecretUrl, storage::Dequeued)>, Error>
    where
        F: Future<Output = Result<Vec<storage::Dequeued>, Error>>,
    {
        let mut found = Vec::new();
        let mut open = self.queues().await?;
        while found.len() < limit && !open.is_empty() {
            let share = (limit - found.len()).div_ceil(open.len());
            let count = u32::try_from(share).unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
            let mut more = Vec::new();
            for queue in open {
                if found.len() >= limit {
                    break;
                }
                let count = count.min(u32::try_from(limit - found.len()).unwrap_or(AT_ONCE));
                let messages = ask(queue.clone(), count).await?;
                if messages.len() >= count as usize {
                    more.push(queue.clone());
                }
                found.extend(messages.into_iter().map(|message| (queue.clone(), message)));
            }
            open = more;
        }
        Ok(found)
    }

    /// Looks at the oldest reports without taking them: at most 32 of each queue, which is
    /// as far as a queue lets anybody look.
    pub async fn peek(&self, limit: usize) -> Result<Vec<Report<T>>, Error> {
        let transport = self.service.client.transport();
        let mut found = Vec::new();
        for queue in self.queues().await? {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let count = u32::try_from(left).unwrap_or(AT_ONCE).min(AT_ONCE);
            let messages = storage::peek_messages(transport, &queue, count).await?;
            found.extend(messages.iter().map(|message| read(&message.text)));
        }
        Ok(found)
    }

    /// Takes reports for a while (`hidden`): each comes back unless it is acknowledged.
    pub async fn receive(&self, limit: usize, hidden: Duration) -> Result<Vec<Lease<T>>, Error> {
        let transport = self.service.client.transport().clone();
        let found = self
            .collect(limit, |queue, count| {
                let transport = transport.clone();
                async move { storage::get_messages(&transport, &queue, count, hidden).await }
            })
            .await?;
        Ok(found
            .into_iter()
            .map(|(queue, message)| Lease {
                report: read(&message.text),
                queue,
                message,
                transport: transport.clone(),
            })
            .collect())
    }

    /// Takes reports off the queue. One that was taken and cannot be taken off is not
    /// given out, since it comes back: every report is given out at least once, and an
    /// unreadable one is left to [`receive`](Self::receive).
    pub async fn pop(&self, limit: usize) -> Result<Vec<T>, Error> {
        let mut popped = Vec::new();
        for lease in self.receive(limit, Duration::from_secs(60)).await? {
            if matches!(lease.report, Report::Unreadable { .. }) {
                tracing::warn!("a message of a status queue cannot be read; it stays there");
                continue;
            }
            match lease.acknowledge().await {
                Ok(Report::Read(report)) => popped.push(report),
                Ok(Report::Unreadable { .. }) => {}
                Err(error) if popped.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a report cannot be taken off its queue; it comes back");
                    break;
                }
            }
        }
        Ok(popped)
    }
}
