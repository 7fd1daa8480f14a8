//! A user who signs in with a browser: authorization code with PKCE (RFC 7636), the
//! code comes back to a port of this machine (RFC 8252).

use super::entra::{Granted, Refresh, post, token_url};
use super::{AccessToken, TokenProvider, TokenRequest};
use crate::{Error, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long the user has.
const PATIENCE: Duration = Duration::from_secs(300);

/// Shows a page to the user.
type Open = Box<dyn Fn(&str) + Send + Sync>;

pub(super) struct Interactive {
    tenant: String,
    login_hint: Option<String>,
    open: Open,
    refresh: Refresh,
}

/// Opens a page with the system's browser; a failure is left to the sign-in's time-out.
pub(super) fn open_browser(url: &str) {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "windows") {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else if cfg!(target_os = "macos") {
        ("open", &[])
    } else {
        ("xdg-open", &[])
    };
    if let Err(error) = std::process::Command::new(program).args(arguments).arg(url).spawn() {
        tracing::warn!(%error, "no browser can be opened for the sign-in");
    }
}

fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthorized, message)
}

/// Two version-4 ids in hexadecimal: 244 random bits.
fn random_text() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

impl Interactive {
    pub(super) fn new(tenant: String, login_hint: Option<String>, open: Open) -> Self {
        Self { tenant, login_hint, open, refresh: Refresh::default() }
    }

    async fn ask(&self, request: TokenRequest<'_>) -> Result<AccessToken, Error> {
        if let Some(token) = self.refresh.token(&request, &self.tenant).await {
            return Ok(token);
        }
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| failed("no port can be opened for the sign-in").caused_by(error))?;
        let port = listener
            .local_addr()
            .map_err(|error| failed("no port can be opened for the sign-in").caused_by(error))?
            .port();
        let redirect = format!("http://localhost:{port}");
        let (verifier, state) = (random_text(), random_text());
        let challenge =
            URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()));
        let scope = format!("{} offline_access", request.scope);
        let mut query = vec![
            ("client_id", request.cloud.client_app_id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", &redirect),
            ("scope", &scope),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if let Some(hint) = &self.login_hint {
            query.push(("login_hint", hint));
        }
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let login = request.cloud.login_endpoint.trim_end_matches('/');
        (self.open)(&format!("{login}/{}/oauth2/v2.0/authorize?{query}", self.tenant));
        let code = tokio::time::timeout(PATIENCE, wait_for_code(&listener, &state))
            .await
            .map_err(|_| failed("nobody signed in within five minutes"))??;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", request.cloud.client_app_id.as_str()),
            ("scope", &scope),
            ("code", &code),
            ("redirect_uri", &redirect),
            ("code_verifier", &verifier),
        ];
        let granted: Granted = post(&request, &token_url(&request, &self.tenant), &form).await?;
        Ok(self.refresh.keep(granted).await)
    }
}

impl TokenProvider for Interactive {
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(self.ask(request))
    }
}

/// Takes browser requests until one brings the code that belongs to this sign-in.
async fn wait_for_code(listener: &TcpListener, state: &str) -> Result<String, Error> {
    loop {
        let (mut stream, _) =
            listener.accept().await.map_err(|error| failed("the sign-in's port failed").caused_by(error))?;
        let Some(target) = request_target(&mut stream).await else { continue };
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let answers: HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        // Browsers also ask for an icon; strangers may ask for anything.
        if answers.get("state").map(String::as_str) != Some(state) {
            respond(&mut stream, "404 Not Found", "Not here.").await;
            continue;
        }
        if let Some(code) = answers.get("code") {
            respond(&mut stream, "200 OK", "You are signed in. You can close this page.").await;
            return Ok(code.clone());
        }
        let said = answers.get("error_description").or(answers.get("error")).cloned().unwrap_or_default();
        respond(&mut stream, "200 OK", "The sign-in failed. The program says why.").await;
        return Err(failed(format!("the sign-in was refused: {said}")));
    }
}

/// The target of an HTTP request's first line, from at most 16 KiB.
async fn request_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|part| part == b"\r\n\r\n") && head.len() < 16 * 1024 {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.ok()?.ok()?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&head);
    text.lines().next()?.split(' ').nth(1).map(str::to_owned)
}

async fn respond(stream: &mut TcpStream, status: &str, text: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    // A browser that went away has what it needs.
    let _sent = stream.write_all(answer.as_bytes()).await;
}
