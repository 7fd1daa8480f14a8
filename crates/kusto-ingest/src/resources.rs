//! The ingestion resources and the identity token: fetched by one caller while others
//! wait, kept for an hour, and kept longer when a refresh fails.

use crate::ranking::Ranking;
use crate::{Error, ErrorKind, KustoClient};
use kusto_wire::{IngestionResources, SecretUrl};
use secrecy::SecretString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a failed refresh is not repeated while an old answer serves.
const HOLD: Duration = Duration::from_secs(60);

struct Kept {
    resources: Arc<IngestionResources>,
    token: SecretString,
    refresh_at: Instant,
}

/// The cache of one client.
pub(crate) struct ResourceCache {
    service: KustoClient,
    kept: tokio::sync::Mutex<Option<Kept>>,
    ranking: Mutex<Ranking>,
}

impl ResourceCache {
    pub(crate) fn new(service: KustoClient) -> Self {
        Self { service, kept: tokio::sync::Mutex::new(None), ranking: Mutex::new(Ranking::default()) }
    }

    /// The resources and the token.
    pub(crate) async fn get(&self) -> Result<(Arc<IngestionResources>, SecretString), Error> {
        // The lock is held over the fetch: that is what makes it single-flight.
        let mut kept = self.kept.lock().await;
        if let Some(current) = kept.as_ref().filter(|current| Instant::now() < current.refresh_at) {
            return Ok((current.resources.clone(), current.token.clone()));
        }
        match self.fetch().await {
            Ok((resources, token)) => {
                let fresh =
                    Kept { resources: Arc::new(resources), token, refresh_at: Instant::now() + FRESH };
                let answer = (fresh.resources.clone(), fresh.token.clone());
                *kept = Some(fresh);
                Ok(answer)
            }
            Err(error) => match kept.as_mut() {
                Some(stale) => {
                    tracing::warn!(%error, "ingestion resources cannot be refreshed; the old ones are used");
                    stale.refresh_at = Instant::now() + HOLD;
                    Ok((stale.resources.clone(), stale.token.clone()))
                }
                None => Err(error),
            },
        }
    }

    /// Forgets the resources, as after storage refused an expired signature.
    pub(crate) async fn expire(&self, used: &Arc<IngestionResources>) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|current| Arc::ptr_eq(&current.resources, used)) {
            *kept = None;
        }
    }

    async fn fetch(&self) -> Result<(IngestionResources, SecretString), Error> {
        let protocol = |error: kusto_wire::ResourceError| Error::new(ErrorKind::Protocol, error.to_string());
        let answer = self.service.management("NetDefaultDB", ".get ingestion resources").await?;
        let table = answer
            .primary()
            .ok_or_else(|| Error::new(ErrorKind::Protocol, "the ingestion resources are missing"))?;
        let resources = IngestionResources::decode(table).map_err(protocol)?;
        let answer = self.service.management("NetDefaultDB", ".get kusto identity token").await?;
        let token = answer
            .primary()
            .and_then(|table| table.rows.first())
            .and_then(|row| row.first())
            .and_then(|cell| cell.as_str())
            .ok_or_else(|| Error::new(ErrorKind::Protocol, "the identity token is missing"))?;
        Ok((resources, SecretString::from(token.to_owned())))
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
fn account(url: &SecretUrl) -> String {
    let plain = url.without_secrets();
    let rest = plain.split_once("://").map_or(plain.as_str(), |(_, rest)| rest);
    rest.split('/').take(2).collect::<Vec<_>>().join("/")
}
