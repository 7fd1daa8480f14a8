//! The HTTP stack that every request goes through: service, blobs, queues, tables.

use crate::{Error, RetryPolicy};
use bytes::Bytes;
use std::time::Duration;

/// Makes the TLS code of this process known; the first call wins and later ones change
/// nothing. Whether this call was the first.
pub fn install_crypto_provider() -> bool {
    rustls::crypto::ring::default_provider().install_default().is_ok()
}

/// A shared HTTP client with one retry policy.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
    retry: RetryPolicy,
}

/// An answer whose status is a success.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

impl Transport {
    /// A client with the proxy settings of the environment and the certificates of the
    /// system.
    pub fn new(retry: RetryPolicy) -> Result<Self, Error> {
        let _first = install_crypto_provider();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("kusto-ingest-rust/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::from_transport)?;
        Ok(Self { http, retry })
    }

    /// The HTTP client.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The retry policy.
    pub fn retry(&self) -> RetryPolicy {
        self.retry
    }

    /// Sends requests made by `make` until one succeeds, the fault is permanent or the
    /// attempts end. Each attempt is a fresh request, so that no body is sent half.
    pub async fn send(
        &self,
        make: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Answer, Error> {
        let mut attempt = 1;
        loop {
            let (error, asked) = match self.once(make(&self.http)).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let Some(pause) = self.retry.pause(error.retry_class(), attempt, asked, random()) else {
                return Err(error.with_attempts(attempt));
            };
            tracing::debug!(attempt, ?pause, %error, "sending the request again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends one request: the answer, or the fault and the pause that was asked for.
    pub async fn once(&self, request: reqwest::RequestBuilder) -> Result<Answer, (Error, Option<Duration>)> {
        let response = request.send().await.map_err(|error| (Error::from_transport(error), None))?;
        let status = response.status();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let activity = header("x-ms-activity-id").or_else(|| header("x-ms-request-id"));
        let asked = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = response.bytes().await.map_err(|error| (Error::from_transport(error), None))?;
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), body });
        }
        Err((Error::from_response(status.as_u16(), &body, activity), asked))
    }
}

/// A number within 0 and 1 that spreads pauses; quality does not matter.
fn random() -> f64 {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    f64::from(u16::from_le_bytes([bytes[0], bytes[1]])) / f64::from(u16::MAX)
}
