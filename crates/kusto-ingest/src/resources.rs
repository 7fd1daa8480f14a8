//! What the service hands out: resources and identity token of the v1 protocol, the
//! configuration of the v2 protocol. Each is fetched by one caller while others wait,
//! kept as long as the service says, and kept longer when a refresh fails.

use crate::ranking::Ranking;
use crate::upload::{Place, UploadMethod};
use crate::{Error, ErrorKind, KustoClient};
use kusto_client::{Resend, ServiceRequest};
use kusto_types::Timespan;
use kusto_wire::{IngestConfiguration, IngestionResources, SecretUrl};
use secrecy::SecretString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is used before it is asked for again, at most.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a failed refresh is not repeated while an old answer serves.
const HOLD: Duration = Duration::from_secs(60);

/// Which of the service's two ways to queue is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// What the service's configuration prefers; a service without one (404) has queues.
    #[default]
    Preferred,
    /// Messages in an Azure queue (v1): they wait there while the service is down.
    Queue,
    /// Requests to the service (v2): several blobs an operation, tracked by its id.
    Rest,
}

/// An answer that is asked for once and kept.
struct Cache<T>(tokio::sync::Mutex<Option<Kept<T>>>);

struct Kept<T> {
    value: Arc<T>,
    refresh_at: Instant,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<T> Cache<T> {
    async fn get(&self, fetch: impl Future<Output = Result<(T, Duration), Error>>) -> Result<Arc<T>, Error> {
        // The lock is held over the fetch: that is what makes it single-flight.
        let mut kept = self.0.lock().await;
        if let Some(current) = kept.as_ref().filter(|current| Instant::now() < current.refresh_at) {
            return Ok(current.value.clone());
        }
        match fetch.await {
            Ok((value, fresh)) => {
                let value = Arc::new(value);
                *kept = Some(Kept { value: value.clone(), refresh_at: Instant::now() + fresh.min(FRESH) });
                Ok(value)
            }
            Err(error) => match kept.as_mut() {
                Some(stale) => {
                    tracing::warn!(%error, "what the service hands out cannot be refreshed; the old is used");
                    stale.refresh_at = Instant::now() + HOLD;
                    Ok(stale.value.clone())
                }
                None => Err(error),
            },
        }
    }

    async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// Resources and token of the v1 protocol.
pub(crate) struct Queues {
    pub(crate) resources: IngestionResources,
    pub(crate) token: SecretString,
}

/// The data-management service of one cluster, as one client sees it.
pub(crate) struct Service {
    pub(crate) client: KustoClient,
    wanted: Protocol,
    queues: Cache<Queues>,
    /// `None` inside: the service has no v2 protocol.
    configuration: Cache<Option<IngestConfiguration>>,
    ranking: Mutex<Ranking>,
}

impl Service {
    pub(crate) fn new(client: KustoClient, wanted: Protocol) -> Self {
        Self {
            client,
            wanted,
            queues: Cache::default(),
            configuration: Cache::default(),
            ranking: Mutex::default(),
        }
    }

    /// The protocol to use, and for v2 its settings.
    pub(crate) async fn rest(&self) -> Result<Option<Arc<Option<IngestConfiguration>>>, Error> {
        match self.wanted {
            Protocol::Queue => Ok(None),
            Protocol::Rest => {
                let configuration = self.configuration().await?;
                if configuration.is_none() {
                    return Err(Error::new(
                        ErrorKind::Rejected,
                        "the service has no REST ingestion (v2); use Protocol::Queue or Protocol::Preferred",
                    ));
                }
                Ok(Some(configuration))
            }
            Protocol::Preferred => {
                let configuration = self.configuration().await?;
                let preferred = configuration.as_ref().as_ref().is_some_and(|settings| {
                    let method = &settings.ingestion_settings.preferred_ingestion_method;
                    method.eq_ignore_ascii_case("rest") || method.eq_ignore_ascii_case("v2")
                });
                Ok(preferred.then_some(configuration))
            }
        }
    }

    /// Resources and token of the v1 protocol.
    pub(crate) async fn queues(&self) -> Result<Arc<Queues>, Error> {
        self.queues.get(async { Ok((self.fetch_queues().await?, FRESH)) }).await
    }

    async fn configuration(&self) -> Result<Arc<Option<IngestConfiguration>>, Error> {
        self.configuration.get(self.fetch_configuration()).await
    }

    async fn fetch_queues(&self) -> Result<Queues, Error> {
        let protocol = |error: kusto_wire::ResourceError| Error::new(ErrorKind::Protocol, error.to_string());
        let answer = self.client.management("NetDefaultDB", ".get ingestion resources").await?;
        let table = answer
            .primary()
            .ok_or_else(|| Error::new(ErrorKind::Protocol, "the ingestion resources are missing"))?;
        let resources = IngestionResources::decode(table).map_err(protocol)?;
        let answer = self.client.management("NetDefaultDB", ".get kusto identity token").await?;
        let token = answer
            .primary()
            .and_then(|table| table.rows.first())
            .and_then(|row| row.first())
            .and_then(|cell| cell.as_str())
            .ok_or_else(|| Error::new(ErrorKind::Protocol, "the identity token is missing"))?;
        Ok(Queues { resources, token: SecretString::from(token.to_owned()) })
    }

    async fn fetch_configuration(&self) -> Result<(Option<IngestConfiguration>, Duration), Error> {
        let answer = self
            .client
            .send(&ServiceRequest {
                method: http::Method::GET,
                path: "/v1/rest/ingestion/configuration".to_owned(),
                activity: "getIngestionConfiguration",
                source: None,
                headers: Vec::new(),
                body: bytes::Bytes::new(),
                limit: Duration::from_secs(60),
                resend: Resend::ByPolicy,
            })
            .await;
        match answer {
            Ok(answer) => {
                let settings: IngestConfiguration =
                    serde_json::from_slice(&answer.body).map_err(|error| {
                        Error::new(
                            ErrorKind::Protocol,
                            "the service's ingestion configuration cannot be read",
                        )
                        .caused_by(error)
                    })?;
                let fresh = Timespan::parse(&settings.container_settings.refresh_interval)
                    .and_then(Timespan::to_duration)
                    .filter(|fresh| !fresh.is_zero())
                    .unwrap_or(FRESH);
                Ok((Some(settings), fresh))
            }
            Err(error) if matches!(error.status(), Some(404 | 405 | 501)) => Ok((None, FRESH)),
            Err(error) => Err(error),
        }
    }

    /// Where to upload, best first, at most three.
    pub(crate) async fn places(&self, method: UploadMethod) -> Result<Vec<Place>, Error> {
        let configured = match (self.rest().await?, method) {
            (Some(configuration), _) => Some(configuration),
            // Lake folders are in the configuration only.
            (None, UploadMethod::Lake) => Some(self.configuration().await?),
            (None, _) => None,
        };
        let Some(settings) = configured.as_ref().and_then(|settings| settings.as_ref().as_ref()) else {
            let queues = self.queues().await?;
            return Ok(self.order(&queues.resources.containers).into_iter().map(Place::Container).collect());
        };
        let settings = &settings.container_settings;
        let urls = |paths: &[kusto_wire::ContainerPath]| {
            paths.iter().map(|path| path.path.clone()).collect::<Vec<_>>()
        };
        let (containers, folders) = (urls(&settings.containers), urls(&settings.lake_folders));
        let lake = match (method, containers.is_empty(), folders.is_empty()) {
            (UploadMethod::Lake, _, true) => {
                return Err(Error::new(ErrorKind::Usage, "the service hands out no lake folders"));
            }
            (UploadMethod::Storage, true, _) => {
                return Err(Error::new(ErrorKind::Usage, "the service hands out no containers"));
            }
            (UploadMethod::Lake, ..) | (UploadMethod::Default, true, false) => true,
            (UploadMethod::Storage, ..) | (UploadMethod::Default, _, true) => false,
            (UploadMethod::Default, false, false) => {
                settings.preferred_upload_method.eq_ignore_ascii_case("lake")
            }
        };
        let places = if lake {
            self.order(&folders).into_iter().map(Place::Lake).collect()
        } else {
            self.order(&containers).into_iter().map(Place::Container).collect()
        };
        Ok(places)
    }

    /// Forgets everything, as after storage refused an expired signature. A call that
    /// waited for another's refresh finds the fresh answer.
    pub(crate) async fn expire(&self) {
        self.queues.forget().await;
        self.configuration.forget().await;
    }

    /// Resources in the order to try them, at most three.
    pub(crate) fn order(&self, urls: &[SecretUrl]) -> Vec<SecretUrl> {
        let mut ranking = self.ranking.lock().unwrap_or_else(PoisonError::into_inner);
        ranking.order(urls, account).into_iter().take(3).cloned().collect()
    }

    /// Notes how a request to a resource's account ended.
    pub(crate) fn note(&self, url: &SecretUrl, succeeded: bool) {
        self.ranking.lock().unwrap_or_else(PoisonError::into_inner).note(&account(url), succeeded);
    }
}

/// The storage account of a URL: its host's first label, or for an address the first
/// segment of its path.
pub(crate) fn account(url: &SecretUrl) -> String {
    let plain = url.without_secrets();
    let rest = plain.split_once("://").map_or(plain.as_str(), |(_, rest)| rest);
    rest.split('/').take(2).collect::<Vec<_>>().join("/")
}
