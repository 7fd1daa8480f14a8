//! Tokens from the Entra token endpoint: applications by secret, certificate or
//! federated token, users by device code or password; refresh tokens where it gives
//! them. Protocol: "Microsoft identity platform and OAuth 2.0", RFC 6749, RFC 8628.

use super::certificate::Certificate;
use super::{AccessToken, TokenProvider, TokenRequest};
use crate::{Error, ErrorKind};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;

/// What an application proves itself with.
pub(super) enum Proof {
    Secret(SecretString),
    Certificate(Certificate),
    /// A federated token in a file that something else renews.
    TokenFile(PathBuf),
}

/// The answer of the token endpoint.
#[derive(Deserialize)]
pub(super) struct Granted {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    refresh_token: Option<SecretString>,
}

/// Seconds as a number or as text.
pub(super) fn seconds(value: &serde_json::Value) -> Option<Duration> {
    let seconds = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))?;
    Some(Duration::from_secs(seconds))
}

impl Granted {
    pub(super) fn token(&self) -> AccessToken {
        let lifetime = self.expires_in.as_ref().and_then(seconds).unwrap_or(Duration::from_secs(3600));
        AccessToken::new(self.access_token.clone(), Some(lifetime))
    }
}

pub(super) fn token_url(request: &TokenRequest<'_>, tenant: &str) -> String {
    format!("{}/{tenant}/oauth2/v2.0/token", request.cloud.login_endpoint.trim_end_matches('/'))
}

/// Posts a form; an error of the endpoint becomes `Unauthorized` with its own words.
pub(super) async fn post<T: serde::de::DeserializeOwned>(
    request: &TokenRequest<'_>,
    url: &str,
    form: &[(&str, &str)],
) -> Result<T, Error> {
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let answer = request
        .transport
        .send(|http| {
            http.post(url)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("accept", "application/json")
                .timeout(Duration::from_secs(30))
                .body(body.clone())
        })
        .await
        .map_err(|error| match error.status() {
            Some(400..=499) => error.with_kind(ErrorKind::Unauthorized),
            _ => error,
        })?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        // The text may hold a token; the parser's message does not.
        Error::new(ErrorKind::Protocol, "the sign-in service gave no token").caused_by(error)
    })
}

/// An application.
pub(super) struct Application {
    tenant: String,
    client_id: String,
    proof: Proof,
}

impl Application {
    pub(super) fn new(tenant: String, client_id: String, proof: Proof) -> Self {
        Self { tenant, client_id, proof }
    }

    async fn ask(&self, request: TokenRequest<'_>) -> Result<AccessToken, Error> {
        const ASSERTION: (&str, &str) =
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let url = token_url(&request, &self.tenant);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("scope", request.scope),
        ];
        let proof: SecretString;
        match &self.proof {
            Proof::Secret(secret) => form.push(("client_secret", secret.expose_secret())),
            Proof::Certificate(certificate) => {
                proof = certificate.assertion(&url, &self.client_id)?;
                form.extend([ASSERTION, ("client_assertion", proof.expose_secret())]);
            }
            Proof::TokenFile(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                    Error::new(
                        ErrorKind::Unauthorized,
                        format!("the federated token file {} cannot be read", path.display()),
                    )
                    .caused_by(error)
                })?;
                proof = SecretString::from(text.trim().to_owned());
                form.extend([ASSERTION, ("client_assertion", proof.expose_secret())]);
            }
        }
        let granted: Granted = post(&request, &url, &form).await?;
        Ok(granted.token())
    }
}

impl TokenProvider for Application {
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(self.ask(request))
    }
}

/// The refresh token of a signed-in user.
#[derive(Default)]
pub(super) struct Refresh(Mutex<Option<SecretString>>);

impl Refresh {
    /// A token by the refresh token, if there is one that is still taken.
    pub(super) async fn token(&self, request: &TokenRequest<'_>, tenant: &str) -> Option<AccessToken> {
        let kept = self.0.lock().await.clone()?;
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", request.cloud.client_app_id.as_str()),
            ("scope", request.scope),
            ("refresh_token", kept.expose_secret()),
        ];
        match post::<Granted>(request, &token_url(request, tenant), &form).await {
            Ok(granted) => Some(self.keep(granted).await),
            Err(error) => {
                tracing::info!(%error, "the sign-in cannot be refreshed; the user signs in again");
                None
            }
        }
    }

    pub(super) async fn keep(&self, granted: Granted) -> AccessToken {
        if let Some(refresh) = &granted.refresh_token {
            *self.0.lock().await = Some(refresh.clone());
        }
        granted.token()
    }
}

/// What a user is shown to sign in with a code.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct DeviceCodePrompt {
    /// The page to open.
    pub verification_uri: String,
    /// The code to type there.
    pub user_code: String,
    /// Both in a sentence, in the words of the sign-in service.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: SecretString,
    #[serde(default)]
    interval: Option<u64>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(flatten)]
    prompt: DeviceCodePrompt,
}

/// Shows a code to the user.
type Prompt = Box<dyn Fn(&DeviceCodePrompt) + Send + Sync>;

/// A user with a code.
pub(super) struct DeviceCode {
    tenant: String,
    prompt: Prompt,
    refresh: Refresh,
}

impl DeviceCode {
    pub(super) fn new(tenant: String, prompt: Prompt) -> Self {
        Self { tenant, prompt, refresh: Refresh::default() }
    }

    async fn ask(&self, request: TokenRequest<'_>) -> Result<AccessToken, Error> {
        if let Some(token) = self.refresh.token(&request, &self.tenant).await {
            return Ok(token);
        }
        let client = request.cloud.client_app_id.as_str();
        let scope = format!("{} offline_access", request.scope);
        let login = request.cloud.login_endpoint.trim_end_matches('/');
        let url = format!("{login}/{}/oauth2/v2.0/devicecode", self.tenant);
        let started: DeviceAnswer = post(&request, &url, &[("client_id", client), ("scope", &scope)]).await?;
        (self.prompt)(&started.prompt);
        let mut interval = Duration::from_secs(started.interval.unwrap_or(5));
        let ends = tokio::time::Instant::now() + Duration::from_secs(started.expires_in.unwrap_or(900));
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", client),
            ("device_code", started.device_code.expose_secret()),
        ];
        let url = token_url(&request, &self.tenant);
        loop {
            tokio::time::sleep(interval).await;
            match post::<Granted>(&request, &url, &form).await {
                Ok(granted) => return Ok(self.refresh.keep(granted).await),
                Err(error) => match error.code() {
                    Some("authorization_pending") => {}
                    Some("slow_down") => interval += Duration::from_secs(5),
                    _ => return Err(error),
                },
            }
            if tokio::time::Instant::now() >= ends {
                return Err(Error::new(ErrorKind::Unauthorized, "nobody signed in with the code in time"));
            }
        }
    }
}

impl TokenProvider for DeviceCode {
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(self.ask(request))
    }
}

/// A user with a password.
pub(super) struct UserPassword {
    tenant: String,
    user: String,
    password: SecretString,
}

impl UserPassword {
    pub(super) fn new(tenant: String, user: String, password: SecretString) -> Self {
        Self { tenant, user, password }
    }
}

impl TokenProvider for UserPassword {
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(async move {
            let form = [
                ("grant_type", "password"),
                ("client_id", request.cloud.client_app_id.as_str()),
                ("scope", request.scope),
                ("username", self.user.as_str()),
                ("password", self.password.expose_secret()),
            ];
            let granted: Granted = post(&request, &token_url(&request, &self.tenant), &form).await?;
            Ok(granted.token())
        })
    }
}
