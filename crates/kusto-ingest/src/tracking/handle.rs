//! A handle on an accepted ingestion: waits, tells details, and is written down and
//! taken up again by another process.

use super::lookup::{Found, Key};
use super::outcome::{Outcome, SourceOutcome};
use super::poller::Tracker;
use crate::progress::Progress;
use crate::{Error, ErrorKind};
use kusto_types::SourceId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which way a source went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Through the service's queue (v1) or its requests (v2).
    Queued,
    /// Through the engine's streaming endpoint.
    Streaming,
    /// As a command on the engine.
    Direct,
}

/// Why managed streaming queued a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FallbackReason {
    /// It is over the limit of streaming.
    TooLarge,
    /// Its size cannot be known before it is read, and it can be read only once.
    UnknownSize,
    /// Its format cannot be streamed.
    Format,
    /// Options that streaming cannot carry.
    RequestPreventsStreaming {
        /// Their names.
        options: Vec<String>,
    },
    /// The table's configuration prevents streaming.
    TablePreventsStreaming {
        /// What the service said.
        details: String,
    },
    /// Streaming is switched off.
    StreamingOff {
        /// What the service said.
        details: String,
    },
    /// The service has too much to do.
    Throttled {
        /// What the service said.
        details: String,
    },
    /// Transient failures did not end.
    TransientFailures {
        /// The last of them.
        details: String,
    },
    /// The table is remembered to have one of the states above.
    Remembered {
        /// Which.
        state: String,
    },
}

/// Which way a managed ingestion went, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "route", rename_all = "snake_case")]
pub enum Route {
    /// It was streamed, at this attempt.
    Streamed {
        /// From 1.
        attempt: u32,
    },
    /// It was queued.
    Queued {
        /// Why.
        because: FallbackReason,
        /// How often streaming was tried before.
        attempts: u32,
    },
}

/// What a handle stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Decided already.
    Decided { sources: Vec<SourceOutcome> },
    /// To be asked about.
    Asked { keys: Vec<Key> },
    /// Nobody will ever tell.
    Untold { reason: String },
}

/// What is written down of a handle. Holds no secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Of this layout; changed when it is.
    pub(crate) version: u32,
    pub(crate) endpoint: String,
    pub(crate) source_id: SourceId,
    pub(crate) method: Method,
    #[serde(default)]
    pub(crate) route: Option<Route>,
    pub(crate) standing: Standing,
}

/// The layout of [`Saved`].
pub(crate) const VERSION: u32 = 1;

/// An *accepted* ingestion. Cheap to clone.
#[derive(Clone)]
pub struct IngestionHandle {
    saved: Saved,
    tracker: Tracker,
    progress: Progress,
}

impl std::fmt::Debug for IngestionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IngestionHandle")
            .field("source_id", &self.saved.source_id)
            .field("method", &self.saved.method)
            .finish_non_exhaustive()
    }
}

impl IngestionHandle {
    pub(crate) fn new(
        endpoint: &crate::Endpoint,
        source_id: SourceId,
        method: Method,
        standing: Standing,
        tracker: Tracker,
        progress: Progress,
    ) -> Self {
        let saved = Saved {
            version: VERSION,
            endpoint: endpoint.as_str().to_owned(),
            source_id,
            method,
            route: None,
            standing,
        };
        Self { saved, tracker, progress }
    }

    /// A handle from what [`to_json`](Self::to_json) wrote.
    pub(crate) fn resume(json: &str, endpoint: &crate::Endpoint, tracker: Tracker) -> Result<Self, Error> {
        let wrong = |message: String| Error::new(ErrorKind::Usage, message);
        let saved: Saved = serde_json::from_str(json)
            .map_err(|error| wrong("this is no written-down ingestion handle".to_owned()).caused_by(error))?;
        if saved.version != VERSION {
            return Err(wrong(format!(
                "the handle has layout {}; this library reads layout {VERSION}",
                saved.version
            )));
        }
        let known = [endpoint.ingestion(), endpoint.engine()];
        if known.iter().all(|endpoint| endpoint.as_str() != saved.endpoint) {
            return Err(wrong(format!(
                "the handle belongs to {}, and this client to {endpoint}",
                saved.endpoint
            )));
        }
        Ok(Self { saved, tracker, progress: Progress::default() })
    }

    pub(crate) fn with_route(mut self, route: Route) -> Self {
        self.saved.route = Some(route);
        self
    }

    /// The id that every status of the source has; with several sources, of the first.
    pub fn source_id(&self) -> SourceId {
        self.saved.source_id
    }

    /// Which way the source went.
    pub fn method(&self) -> Method {
        self.saved.method
    }

    /// Which way a managed ingestion went, and why; `None` for the others.
    pub fn route(&self) -> Option<&Route> {
        self.saved.route.as_ref()
    }

    /// The handle as JSON, to be taken up later by a client of the same cluster (its
    /// `resume`). It holds ids and the cluster's URL, no secrets.
    pub fn to_json(&self) -> String {
        // INVARIANT: a struct of texts, numbers and enums always serialises.
        serde_json::to_string(&self.saved).unwrap_or_default()
    }

    /// Waits until the service has decided. Without tracking
    /// ([`tracked`](crate::IngestionProperties::tracked)) the outcome is
    /// [`Outcome::Unknown`] at once. Any number of handles may wait: one poller asks for
    /// all of them. Dropping the future is fine; waiting again goes on.
    pub async fn ingested(&self) -> Outcome {
        let outcome = self.decided().await;
        crate::telemetry::decided(&outcome);
        self.progress.decided(self.saved.source_id, &outcome);
        outcome
    }

    async fn decided(&self) -> Outcome {
        let keys = match &self.saved.standing {
            Standing::Untold { reason } => return Outcome::Unknown { reason: reason.clone() },
            Standing::Decided { sources } => return whole(sources),
            Standing::Asked { keys } => keys,
        };
        let found = futures_util::future::join_all(keys.iter().map(|key| self.tracker.wait(key))).await;
        let mut sources = Vec::new();
        for found in found {
            match found.as_ref() {
                Found::Sources(found) => sources.extend(found.iter().cloned()),
                Found::Unknown(reason) => return Outcome::Unknown { reason: reason.clone() },
            }
        }
        whole(&sources)
    }

    /// Like [`ingested`](Self::ingested), but gives up after a time: the outcome is then
    /// [`Outcome::Unknown`], and asking again is fine.
    pub async fn ingested_within(&self, limit: Duration) -> Outcome {
        tokio::time::timeout(limit, self.ingested()).await.unwrap_or_else(|_| Outcome::Unknown {
            reason: format!("the service has not decided within {} s", limit.as_secs_f64()),
        })
    }

    /// What is known now of each source, asked once.
    pub async fn details(&self) -> Result<Vec<SourceOutcome>, Error> {
        let keys = match &self.saved.standing {
            Standing::Decided { sources } => return Ok(sources.clone()),
            Standing::Untold { reason } => {
                let outcome = Outcome::Unknown { reason: reason.clone() };
                return Ok(vec![SourceOutcome { source_id: self.saved.source_id, outcome: Some(outcome) }]);
            }
            Standing::Asked { keys } => keys,
        };
        let mut sources = Vec::new();
        for key in keys {
            match self.tracker.look(key).await? {
                Found::Sources(found) => sources.extend(found),
                Found::Unknown(reason) => sources.push(SourceOutcome {
                    source_id: self.saved.source_id,
                    outcome: Some(Outcome::Unknown { reason }),
                }),
            }
        }
        Ok(sources)
    }
}

fn whole(sources: &[SourceOutcome]) -> Outcome {
    Outcome::of_all(sources)
        .unwrap_or_else(|| Outcome::Unknown { reason: "the service names no sources".to_owned() })
}

impl IntoFuture for IngestionHandle {
    type Output = Outcome;
    type IntoFuture = futures_util::future::BoxFuture<'static, Outcome>;

    /// Waits as [`ingested`](Self::ingested) does.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.ingested().await })
    }
}
