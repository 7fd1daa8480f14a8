//! The cluster that a command talks to: a URL, or the service started inside.

use crate::arguments::{Auth, Target};
use crate::failure::Failure;
use kusto_ingest::{Credential, Endpoint, KustoClient};
use kusto_local::{RunningService, ServiceConfig};
use std::path::Path;

/// A client, and the service behind it when it runs inside.
pub(crate) struct Cluster {
    pub(crate) client: KustoClient,
    pub(crate) embedded: Option<RunningService>,
}

impl Cluster {
    /// Connects, or starts the service inside.
    pub(crate) async fn open(target: &Target) -> Result<Self, Failure> {
        let Some(url) = &target.cluster else {
            let service = start(&target.data_dir).await?;
            let endpoint = Endpoint::parse(&service.url())?;
            let client = KustoClient::new(endpoint, Credential::none())?.with_application("kin");
            return Ok(Self { client, embedded: Some(service) });
        };
        let endpoint = Endpoint::parse(url)?;
        let host = endpoint.as_str().split("://").nth(1).unwrap_or_default();
        let local = host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]");
        let auth = target.auth.unwrap_or(match (&target.token, local) {
            (Some(_), _) => Auth::Token,
            (None, true) => Auth::None,
            (None, false) => Auth::Az,
        });
        let credential = match auth {
            Auth::None => Credential::none(),
            Auth::Az => Credential::azure_cli(),
            Auth::Token => match &target.token {
                Some(token) => Credential::token(token.clone()),
                None => return Err(Failure::usage("--auth token needs a token in KIN_TOKEN or --token")),
            },
        };
        Ok(Self {
            client: KustoClient::new(endpoint, credential)?.engine().with_application("kin"),
            embedded: None,
        })
    }

    /// Stops the service inside, when there is one.
    pub(crate) async fn close(self) {
        if let Some(service) = self.embedded {
            service.stop().await;
        }
    }
}

async fn start(data_dir: &Path) -> Result<RunningService, Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| Failure::new(1, format!("no port can be opened on 127.0.0.1: {error}")))?;
    Ok(kusto_local::start(ServiceConfig::new(data_dir), listener).await?)
}
