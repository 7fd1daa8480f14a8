//! Who the client is.

use crate::{Endpoint, Error, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Mutex;

/// A source of bearer tokens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// No token is sent: local services.
    None,
    /// A token that the caller got elsewhere.
    Token(SecretString),
    /// The signed-in account of the Azure command line (`az login`).
    AzureCli(AzureCli),
}

/// The token of the Azure command line, kept while it is fresh.
#[derive(Clone, Debug, Default)]
pub struct AzureCli(Arc<Mutex<Option<(SecretString, Instant)>>>);

impl Credential {
    /// The signed-in account of the Azure command line.
    pub fn azure_cli() -> Self {
        Self::AzureCli(AzureCli::default())
    }

    /// The token for an endpoint, if one is sent at all. A token is never sent over
    /// plain http to another machine.
    pub(crate) async fn token(&self, endpoint: &Endpoint) -> Result<Option<SecretString>, Error> {
        let token = match self {
            Self::None => return Ok(None),
            Self::Token(token) => token.clone(),
            Self::AzureCli(cli) => cli.token(endpoint).await?,
        };
        let local = ["http://localhost", "http://127.", "http://[::1]"]
            .iter()
            .any(|prefix| endpoint.as_str().starts_with(prefix));
        if endpoint.as_str().starts_with("http://") && !local {
            return Err(Error::new(
                ErrorKind::Usage,
                "a token is not sent over plain http; use an https URL",
            ));
        }
        if token.expose_secret().is_empty() {
            return Err(Error::new(ErrorKind::Unauthorized, "the token is empty"));
        }
        Ok(Some(token))
    }
}

impl AzureCli {
    async fn token(&self, endpoint: &Endpoint) -> Result<SecretString, Error> {
        // Held over the call, so that many waiting requests start one process.
        let mut kept = self.0.lock().await;
        if let Some((token, until)) = kept.as_ref()
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let output = Command::new("az")
            .args(["account", "get-access-token", "--output", "tsv", "--query", "accessToken", "--resource"])
            .arg(endpoint.engine().as_str())
            .output()
            .await
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unauthorized,
                    "the Azure command line (az) cannot be started; install it or give a token",
                )
                .caused_by(error)
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
            return Err(Error::new(
                ErrorKind::Unauthorized,
                format!("az gives no token ({first}); run az login"),
            ));
        }
        let token = SecretString::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        *kept = Some((token.clone(), Instant::now() + Duration::from_secs(1800)));
        Ok(token)
    }
}
