//! The HTTP stack that every request goes through: service, sign-in, blobs, queues,
//! tables. One connection pool, one retry policy, and for each call of the library one
//! budget of retries and one deadline.

use crate::retry::random_fraction;
use crate::{Error, ErrorKind, RetryPolicy};
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Makes the TLS code of this process known; the first call wins and later ones change
/// nothing. Whether this call was the first.
pub fn install_crypto_provider() -> bool {
    rustls::crypto::ring::default_provider().install_default().is_ok()
}

/// How a transport connects.
#[derive(Debug, Clone)]
enum Proxying {
    /// As `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` and the system say.
    Environment,
    None,
    /// Through this proxy, except for the hosts of a `NO_PROXY` list.
    Through {
        url: String,
        except: String,
    },
}

/// Settings of a [`Transport`].
#[derive(Debug, Clone)]
pub struct TransportBuilder {
    retry: RetryPolicy,
    proxying: Proxying,
    roots: Vec<Vec<u8>>,
    connect: Duration,
    attempt: Duration,
    http: Option<reqwest::Client>,
}

impl Default for TransportBuilder {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            proxying: Proxying::Environment,
            roots: Vec::new(),
            connect: Duration::from_secs(15),
            attempt: Duration::from_secs(300),
            http: None,
        }
    }
}

impl TransportBuilder {
    /// How often and how patiently requests are sent again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sends every request through this proxy, except to the hosts of `except`, a comma-
    /// separated list as in `NO_PROXY`. Default: what the environment says.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>, except: impl Into<String>) -> Self {
        self.proxying = Proxying::Through { url: url.into(), except: except.into() };
        self
    }

    /// Uses no proxy, whatever the environment says.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.proxying = Proxying::None;
        self
    }

    /// Trusts the certificates of a PEM text beside those of the system.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// How long a connection may take to open. Default 15 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// How long one attempt at one request may take in all, its body included; requests
    /// that the service may answer late (commands, queries) have their own, longer limit.
    /// Default 5 minutes: 4 MiB at 14 KiB/s.
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt = limit;
        self
    }

    /// Uses this HTTP client; the proxy, certificate and connection settings are then its
    /// own. It should not follow redirects, which could carry a token elsewhere.
    #[must_use]
    pub fn http_client(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// The transport.
    ///
    /// # Errors
    /// When a certificate or the proxy's URL cannot be read.
    pub fn build(self) -> Result<Transport, Error> {
        let direct = self.client(&Proxying::None)?;
        let http = match &self.http {
            Some(http) => http.clone(),
            None => self.client(&self.proxying)?,
        };
        let (retry, attempt) = (self.retry, self.attempt);
        Ok(Transport { http, direct, retry, attempt, call: None })
    }

    fn client(&self, proxying: &Proxying) -> Result<reqwest::Client, Error> {
        let _first = install_crypto_provider();
        let unusable = |message: &'static str| {
            move |error: reqwest::Error| Error::new(ErrorKind::Usage, message).caused_by(error)
        };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(self.connect)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("kusto-ingest-rust/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none());
        match proxying {
            Proxying::Environment => {}
            Proxying::None => builder = builder.no_proxy(),
            Proxying::Through { url, except } => {
                let proxy = reqwest::Proxy::all(url)
                    .map_err(unusable("the proxy's URL cannot be read"))?
                    .no_proxy(reqwest::NoProxy::from_string(except));
                builder = builder.proxy(proxy);
            }
        }
        for pem in &self.roots {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(unusable("the root certificates cannot be read"))?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(Error::from_transport)
    }
}

/// What one call of the library may still use.
#[derive(Debug)]
struct Call {
    deadline: Option<Instant>,
    retries: AtomicU32,
}

/// A shared HTTP client with one retry policy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
    /// Without any proxy, for addresses of this machine.
    direct: reqwest::Client,
    retry: RetryPolicy,
    attempt: Duration,
    call: Option<Arc<Call>>,
}

/// An answer whose status is a success.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Transport {
    /// A client with the proxy settings of the environment and the certificates of the
    /// system.
    pub fn new(retry: RetryPolicy) -> Result<Self, Error> {
        Self::builder().retry(retry).build()
    }

    /// Settings to change.
    pub fn builder() -> TransportBuilder {
        TransportBuilder::default()
    }

    /// The HTTP client.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The retry policy.
    pub fn retry(&self) -> RetryPolicy {
        self.retry
    }

    /// The same transport for one call of the library: all its requests share one budget
    /// of retries ([`RetryPolicy::call_retries`]), and none goes past the deadline.
    #[must_use]
    pub fn for_call(&self, deadline: Option<Instant>) -> Self {
        let retries = AtomicU32::new(self.retry.call_retries);
        Self { call: Some(Arc::new(Call { deadline, retries })), ..self.clone() }
    }

    /// The same transport without a proxy.
    pub(crate) fn without_proxy(&self) -> Result<Self, Error> {
        Ok(Self { http: self.direct.clone(), ..self.clone() })
    }

    fn deadline(&self) -> Option<Instant> {
        self.call.as_ref().and_then(|call| call.deadline)
    }

    /// Takes one retry from the call's budget.
    fn may_retry(&self) -> bool {
        let Some(call) = &self.call else { return true };
        call.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Sends requests made by `make` until one succeeds, the fault is permanent, or the
    /// attempts, the call's budget or its time end. Each attempt is a fresh request, so
    /// that no body is sent half. Dropping the future ends the request.
    pub async fn send(
        &self,
        make: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Answer, Error> {
        let mut attempt = 1;
        loop {
            let error = match self.once(&make).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause =
                self.retry.pause(error.retry_class(), attempt, error.retry_after(), random_fraction());
            let Some(pause) = pause else { return Err(error.with_attempts(attempt)) };
            let too_late = self.deadline().is_some_and(|deadline| Instant::now() + pause >= deadline);
            if too_late || !self.may_retry() {
                return Err(error.with_attempts(attempt));
            }
            tracing::debug!(attempt, ?pause, %error, "sending the request again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends one request: the answer or the fault.
    pub async fn once(
        &self,
        make: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Answer, Error> {
        // A time-out that `make` sets comes later and wins.
        let (client, request) = make(&self.http).build_split();
        let mut request = request.map_err(Error::from_transport)?;
        if request.timeout().is_none() {
            *request.timeout_mut() = Some(self.attempt);
        }
        let exchange = exchange(client.execute(request));
        match self.deadline() {
            None => exchange.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, exchange).await {
                Ok(result) => result,
                Err(_) => Err(Error::deadline()),
            },
        }
    }
}

async fn exchange(
    sending: impl Future<Output = Result<reqwest::Response, reqwest::Error>>,
) -> Result<Answer, Error> {
    let response = sending.await.map_err(Error::from_transport)?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = response.bytes().await.map_err(Error::from_transport)?;
    if status.is_success() {
        return Ok(Answer { status: status.as_u16(), headers, body });
    }
    Err(Error::from_response(status.as_u16(), &headers, &body))
}
