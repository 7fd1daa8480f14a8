//! Tokens of the machine's own identity: App Service and its relatives by
//! `IDENTITY_ENDPOINT`, virtual machines by the instance metadata service.

use super::{AccessToken, TokenProvider, TokenRequest, entra};
use crate::{Error, ErrorKind};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which identity of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManagedIdentity {
    /// The one that belongs to the machine.
    System,
    /// A user-assigned one, by its client id.
    ClientId(String),
    /// A user-assigned one, by its object id.
    ObjectId(String),
    /// A user-assigned one, by its Azure resource id.
    ResourceId(String),
}

/// Where tokens are asked for.
pub(super) struct Endpoint {
    url: String,
    /// App Service's secret header; virtual machines have none.
    header: Option<SecretString>,
    identity: ManagedIdentity,
}

#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    expires_on: Option<Value>,
}

impl Endpoint {
    pub(super) fn from_environment(identity: ManagedIdentity) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            (Some(url), Some(header)) => Self { url, header: Some(header.into()), identity },
            _ => Self {
                url: "http://169.254.169.254/metadata/identity/oauth2/token".to_owned(),
                header: None,
                identity,
            },
        }
    }

    async fn ask(&self, request: TokenRequest<'_>) -> Result<AccessToken, Error> {
        let service = self.header.is_some();
        let mut query = vec![
            ("api-version", if service { "2019-08-01" } else { "2018-02-01" }),
            ("resource", request.resource()),
        ];
        match &self.identity {
            ManagedIdentity::System => {}
            ManagedIdentity::ClientId(id) => query.push(("client_id", id)),
            ManagedIdentity::ObjectId(id) if service => query.push(("principal_id", id)),
            ManagedIdentity::ObjectId(id) => query.push(("object_id", id)),
            ManagedIdentity::ResourceId(id) if service => query.push(("mi_res_id", id)),
            ManagedIdentity::ResourceId(id) => query.push(("msi_res_id", id)),
        }
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let url = format!("{}?{query}", self.url);
        // The address is this machine's own: no proxy must see the request.
        let transport = request.transport.without_proxy()?;
        let answer = transport
            .send(|http| {
                let asking = http.get(&url).timeout(Duration::from_secs(10));
                match &self.header {
                    Some(header) => asking.header("x-identity-header", header.expose_secret()),
                    None => asking.header("metadata", "true"),
                }
            })
            .await
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unauthorized,
                    "this machine gives no token for the managed identity; is one assigned to it?",
                )
                .caused_by(error)
            })?;
        let answer: Answer = serde_json::from_slice(&answer.body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the managed identity endpoint gave no token").caused_by(error)
        })?;
        let until = answer.expires_on.as_ref().and_then(entra::seconds).map(|epoch| {
            epoch.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
        });
        let lifetime = answer.expires_in.as_ref().and_then(entra::seconds).or(until);
        Ok(AccessToken::new(answer.access_token, Some(lifetime.unwrap_or(Duration::from_secs(3600)))))
    }
}

impl TokenProvider for Endpoint {
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(self.ask(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloudMetadata, Credential, RetryPolicy, Transport};
    use axum::extract::Request;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn machines_and_app_services_are_asked_in_their_own_ways() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        // Answers only what each documents, with the query as the token.
        let router = axum::Router::new().fallback(async |request: Request| {
            let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
            if header("x-identity-header") != Some("H") && header("metadata") != Some("true") {
                return http::StatusCode::BAD_REQUEST.into_response();
            }
            let query = request.uri().query().unwrap_or_default();
            format!(r#"{{"access_token":"{query}","expires_on":"99999999999"}}"#).into_response()
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let transport = Transport::new(RetryPolicy::default()).unwrap();
        let cloud = CloudMetadata::public();
        let request = TokenRequest { scope: "https://r/.default", cloud: &cloud, transport: &transport };
        for (header, identity, query) in [
            (None, ManagedIdentity::System, "api-version=2018-02-01&resource=https%3A%2F%2Fr"),
            (
                None,
                ManagedIdentity::ObjectId("o".into()),
                "api-version=2018-02-01&resource=https%3A%2F%2Fr&object_id=o",
            ),
            (
                Some("H"),
                ManagedIdentity::ClientId("c".into()),
                "api-version=2019-08-01&resource=https%3A%2F%2Fr&client_id=c",
            ),
            (
                Some("H"),
                ManagedIdentity::ResourceId("/x".into()),
                "api-version=2019-08-01&resource=https%3A%2F%2Fr&mi_res_id=%2Fx",
            ),
        ] {
            let endpoint = Endpoint { url: url.clone(), header: header.map(Into::into), identity };
            let credential = Credential::provider(endpoint);
            let token = credential.token_for(request).await.unwrap().unwrap();
            assert_eq!(token.expose_secret(), query);
        }
        let refused = Endpoint { url, header: Some("wrong".into()), identity: ManagedIdentity::System };
        let error = Credential::provider(refused).token_for(request).await.unwrap_err();
        assert!(error.to_string().contains("managed identity"), "{error}");
    }
}
