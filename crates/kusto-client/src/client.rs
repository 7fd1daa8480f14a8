//! Requests to a cluster: management commands, queries, and the service's other
//! endpoints, each with its headers, its token and one more try when the token is
//! refused.

use crate::cloud::CloudCache;
use crate::connection_string::{ConnectionString, Keyword};
use crate::credential::TokenRequest;
use crate::details::{ClientDetails, header_value};
use crate::{Answer, Credential, Endpoint, Error, ErrorKind, RetryPolicy, Transport, TrustedEndpoints};
use bytes::Bytes;
use http::Method;
use kusto_types::SourceId;
use kusto_wire::{DataSetV1, DataSetV2, Request, RequestProperties};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long the service may take over a command, with some grace for the way.
const COMMAND: Duration = Duration::from_secs(10 * 60 + 30);
/// How long the service may take over a query.
const QUERY: Duration = Duration::from_secs(4 * 60 + 30);

/// A client of one cluster. Cheap to clone; clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct KustoClient {
    endpoint: Endpoint,
    credential: Credential,
    transport: Transport,
    details: Arc<ClientDetails>,
    trusted: Arc<TrustedEndpoints>,
    clouds: CloudCache,
}

/// Whether a request is sent again after a transient fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// By the transport's policy.
    ByPolicy,
    /// Never: the caller decides.
    Never,
}

/// A request to an endpoint of the service.
#[derive(Debug, Clone)]
pub struct ServiceRequest {
    /// Method.
    pub method: Method,
    /// Path and query, escaped.
    pub path: String,
    /// The activity that the request id names, such as `executeStreamingIngest`.
    pub activity: &'static str,
    /// The source and the attempt that the request id names.
    pub source: Option<(SourceId, u32)>,
    /// More headers: content type and encoding.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// How long one attempt may take.
    pub limit: Duration,
    /// What happens after a transient fault.
    pub resend: Resend,
}

impl KustoClient {
    /// A client with the default transport.
    pub fn new(endpoint: Endpoint, credential: Credential) -> Result<Self, Error> {
        Ok(Self::with_transport(endpoint, credential, Transport::new(RetryPolicy::default())?))
    }

    /// A client on an existing transport.
    pub fn with_transport(endpoint: Endpoint, credential: Credential, transport: Transport) -> Self {
        Self {
            endpoint,
            credential,
            transport,
            details: Arc::default(),
            trusted: Arc::default(),
            clouds: CloudCache::default(),
        }
    }

    /// A client by a Kusto connection string or a bare cluster URL.
    pub fn from_connection_string(text: &str) -> Result<Self, Error> {
        let parsed = ConnectionString::parse(text)?;
        let credential = Credential::from_connection_string(&parsed)?;
        let mut client = Self::new(parsed.endpoint().clone(), credential)?;
        let details = Arc::make_mut(&mut client.details);
        for (keyword, place) in [
            (Keyword::ApplicationNameForTracing, &mut details.application),
            (Keyword::UserNameForTracing, &mut details.user),
            (Keyword::ClientVersionForTracing, &mut details.version),
        ] {
            if let Some(value) = parsed.get(keyword) {
                value.clone_into(place);
            }
        }
        Ok(client)
    }

    /// The same client with this application name in its requests (`x-ms-app`).
    #[must_use]
    pub fn with_application(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.details).application = name.into();
        self
    }

    /// The same client with this user name in its requests (`x-ms-user`).
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.details).user = name.into();
        self
    }

    /// The same client that presents itself as a connector.
    #[must_use]
    pub fn with_details(mut self, details: ClientDetails) -> Self {
        self.details = Arc::new(details);
        self
    }

    /// The same client that sends tokens to these hosts. Default: well-known Kusto hosts
    /// and this machine.
    #[must_use]
    pub fn with_trusted(mut self, trusted: TrustedEndpoints) -> Self {
        self.trusted = Arc::new(trusted);
        self
    }

    /// The same client for the data-management endpoint of the cluster.
    #[must_use]
    pub fn ingestion(&self) -> Self {
        Self { endpoint: self.endpoint.ingestion(), ..self.clone() }
    }

    /// The same client for the engine endpoint of the cluster.
    #[must_use]
    pub fn engine(&self) -> Self {
        Self { endpoint: self.endpoint.engine(), ..self.clone() }
    }

    /// The same client whose requests go through a transport, such as that of one call.
    #[must_use]
    pub fn over(&self, transport: &Transport) -> Self {
        Self { transport: transport.clone(), ..self.clone() }
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The shared HTTP transport.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The application name.
    pub fn application(&self) -> &str {
        &self.details.application
    }

    /// The client version, as messages and requests carry it.
    pub fn version(&self) -> &str {
        &self.details.version
    }

    /// Runs a management command.
    pub async fn management(&self, database: &str, command: &str) -> Result<DataSetV1, Error> {
        let properties = RequestProperties::default();
        let body = self.post("/v1/rest/mgmt", "execute", database, command, properties, COMMAND).await?;
        DataSetV1::decode(&body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the answer to the command cannot be read").caused_by(error)
        })
    }

    /// Runs a management command without sending it again after a fault: for commands that
    /// must not run twice.
    pub async fn command_once(&self, database: &str, command: &str) -> Result<DataSetV1, Error> {
        let properties = RequestProperties::default();
        let request = self.request("/v1/rest/mgmt", "execute", database, command, properties, COMMAND)?;
        let answer = self.send(&ServiceRequest { resend: Resend::Never, ..request }).await?;
        DataSetV1::decode(&answer.body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the answer to the command cannot be read").caused_by(error)
        })
    }

    /// Runs a query.
    pub async fn query(&self, database: &str, query: &str) -> Result<DataSetV2, Error> {
        self.query_with(database, query, RequestProperties::default()).await
    }

    /// Runs a query with client request properties.
    pub async fn query_with(
        &self,
        database: &str,
        query: &str,
        properties: RequestProperties,
    ) -> Result<DataSetV2, Error> {
        let body = self.post("/v2/rest/query", "execute_query", database, query, properties, QUERY).await?;
        DataSetV2::decode(&body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the answer to the query cannot be read").caused_by(error)
        })
    }

    async fn post(
        &self,
        path: &str,
        activity: &'static str,
        database: &str,
        text: &str,
        properties: RequestProperties,
        limit: Duration,
    ) -> Result<Bytes, Error> {
        let request = self.request(path, activity, database, text, properties, limit)?;
        Ok(self.send(&request).await?.body)
    }

    fn request(
        &self,
        path: &str,
        activity: &'static str,
        database: &str,
        text: &str,
        properties: RequestProperties,
        limit: Duration,
    ) -> Result<ServiceRequest, Error> {
        let request = Request {
            db: Some(database.to_owned()),
            csl: text.to_owned(),
            properties: serde_json::to_value(&properties).unwrap_or_default(),
        };
        let body = serde_json::to_vec(&request).map_err(|error| {
            Error::new(ErrorKind::Usage, "the request cannot be written").caused_by(error)
        })?;
        Ok(ServiceRequest {
            method: Method::POST,
            path: path.to_owned(),
            activity,
            source: None,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.into(),
            limit,
            resend: Resend::ByPolicy,
        })
    }

    /// Sends a request to an endpoint of the service. A token that the service refuses
    /// (401) is replaced once.
    pub async fn send(&self, request: &ServiceRequest) -> Result<Answer, Error> {
        let token = self.token().await?;
        match self.send_with(request, token.as_ref().map(|(_, token)| token)).await {
            Err(error) if error.status() == Some(401) => {
                let Some((scope, refused)) = token else { return Err(error) };
                if !self.credential.forget(&scope, &refused).await {
                    return Err(error);
                }
                tracing::info!("the service refused the token; a new one is asked for");
                let fresh = self.token().await?;
                self.send_with(request, fresh.as_ref().map(|(_, token)| token)).await
            }
            other => other,
        }
    }

    async fn send_with(
        &self,
        request: &ServiceRequest,
        token: Option<&SecretString>,
    ) -> Result<Answer, Error> {
        let url = self.endpoint.join(&request.path);
        let request_id = match request.source {
            Some((source, attempt)) => format!("KRC.{};{source};{attempt}", request.activity),
            None => format!("KRC.{};{}", request.activity, Uuid::new_v4()),
        };
        let make = |http: &reqwest::Client| {
            let mut making = http
                .request(request.method.clone(), &url)
                .timeout(request.limit)
                .header("accept", "application/json")
                .header("x-ms-client-request-id", &request_id)
                .header("x-ms-client-version", header_value(&self.details.version))
                .header("x-ms-version", "2024-12-12")
                .header("x-ms-app", header_value(&self.details.application))
                .header("x-ms-user", header_value(&self.details.user))
                .body(request.body.clone());
            for (name, value) in &request.headers {
                making = making.header(*name, value);
            }
            match token {
                Some(token) => making.bearer_auth(token.expose_secret()),
                None => making,
            }
        };
        match request.resend {
            Resend::ByPolicy => self.transport.send(make).await,
            Resend::Never => self.transport.once(make).await,
        }
    }

    /// The token for this endpoint with its scope, after the check that it may go there.
    async fn token(&self) -> Result<Option<(String, SecretString)>, Error> {
        if self.credential.is_none() {
            return Ok(None);
        }
        if !self.endpoint.is_encrypted() && !self.endpoint.is_loopback() {
            return Err(Error::new(
                ErrorKind::Usage,
                "a token is not sent over plain http to another machine; use an https URL",
            ));
        }
        self.trusted.allow_metadata(&self.endpoint)?;
        let cloud = self.clouds.of(&self.endpoint, &self.transport).await?;
        self.trusted.allow_token(&self.endpoint, &cloud.login_endpoint)?;
        let scope = cloud.scope();
        let request = TokenRequest { scope: &scope, cloud: &cloud, transport: &self.transport };
        Ok(self.credential.token_for(request).await?.map(|token| (scope, token)))
    }

    /// A token for another resource of the same cloud, such as Azure Storage
    /// (`https://storage.azure.com/.default`); `None` without a credential.
    pub async fn token_for_scope(&self, scope: &str) -> Result<Option<SecretString>, Error> {
        if self.credential.is_none() {
            return Ok(None);
        }
        let cloud = self.clouds.of(&self.endpoint, &self.transport).await?;
        self.credential.token_for(TokenRequest { scope, cloud: &cloud, transport: &self.transport }).await
    }
}
