//! The signed-in account of the Azure command line.

use super::{AccessToken, TokenProvider, TokenRequest};
use crate::{Error, ErrorKind};
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::Command;

/// Asks `az account get-access-token`.
pub(super) struct AzureCli;

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "accessToken")]
    access_token: SecretString,
    /// Seconds since 1970; older versions lack it.
    #[serde(default)]
    expires_on: Option<u64>,
}

impl TokenProvider for AzureCli {
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(ask(request.resource()))
    }
}

async fn ask(resource: &str) -> Result<AccessToken, Error> {
    let asking = Command::new("az")
        .args(["account", "get-access-token", "--output", "json", "--resource", resource])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .map_err(|_| Error::new(ErrorKind::Unauthorized, "az gave no token within a minute"))?
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
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::new(ErrorKind::Unauthorized, "az gave no token").caused_by(error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let lifetime =
        answer.expires_on.map_or(Duration::from_secs(1800), |at| Duration::from_secs(at).saturating_sub(now));
    Ok(AccessToken::new(answer.access_token, Some(lifetime)))
}
