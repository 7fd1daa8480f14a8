//! Management commands and queries.

use crate::{Credential, Endpoint, Error, ErrorKind, RetryPolicy, Transport};
use kusto_wire::{DataSetV1, DataSetV2, Request, RequestProperties};
use secrecy::ExposeSecret;
use uuid::Uuid;

/// A client of one cluster. Cheap to clone; clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct KustoClient {
    endpoint: Endpoint,
    credential: Credential,
    transport: Transport,
    application: String,
}

impl KustoClient {
    /// A client with the default transport.
    pub fn new(endpoint: Endpoint, credential: Credential) -> Result<Self, Error> {
        Ok(Self::with_transport(endpoint, credential, Transport::new(RetryPolicy::default())?))
    }

    /// A client on an existing transport.
    pub fn with_transport(endpoint: Endpoint, credential: Credential, transport: Transport) -> Self {
        Self { endpoint, credential, transport, application: "kusto-client".to_owned() }
    }

    /// The same client with this application name in its requests (`x-ms-app`).
    #[must_use]
    pub fn with_application(mut self, name: impl Into<String>) -> Self {
        self.application = name.into();
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
        &self.application
    }

    /// Runs a management command.
    pub async fn management(&self, database: &str, command: &str) -> Result<DataSetV1, Error> {
        let body =
            self.post("/v1/rest/mgmt", "execute", database, command, RequestProperties::default()).await?;
        DataSetV1::decode(&body).map_err(|error| {
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
        let body = self.post("/v2/rest/query", "execute_query", database, query, properties).await?;
        DataSetV2::decode(&body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the answer to the query cannot be read").caused_by(error)
        })
    }

    async fn post(
        &self,
        path: &str,
        activity: &str,
        database: &str,
        text: &str,
        properties: RequestProperties,
    ) -> Result<bytes::Bytes, Error> {
        let request = Request {
            db: Some(database.to_owned()),
            csl: text.to_owned(),
            properties: serde_json::to_value(&properties).unwrap_or_default(),
        };
        let body = serde_json::to_vec(&request).map_err(|error| {
            Error::new(ErrorKind::Usage, "the request cannot be written").caused_by(error)
        })?;
        let token = self.credential.token(&self.endpoint).await?;
        let url = self.endpoint.join(path);
        let request_id = format!("KRC.{activity};{}", Uuid::new_v4());
        let answer = self
            .transport
            .send(|http| {
                let mut request = http
                    .post(&url)
                    .header("accept", "application/json")
                    .header("content-type", "application/json; charset=utf-8")
                    .header("x-ms-client-request-id", &request_id)
                    .header(
                        "x-ms-client-version",
                        concat!("Kusto.Rust.Client:{", env!("CARGO_PKG_VERSION"), "}"),
                    )
                    .header("x-ms-version", "2024-12-12")
                    .header("x-ms-app", &self.application)
                    .body(body.clone());
                if let Some(token) = &token {
                    request = request.bearer_auth(token.expose_secret());
                }
                request
            })
            .await?;
        Ok(answer.body)
    }
}
