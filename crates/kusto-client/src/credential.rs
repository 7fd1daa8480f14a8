//! Who the client is: one opaque type for every way to get a bearer token. Tokens are
//! kept by scope, renewed before they end, asked for once by any number of callers, and
//! cannot print.

mod certificate;
mod entra;
mod interactive;
mod managed_identity;
mod process;

use crate::connection_string::{ConnectionString, Keyword};
use crate::{CloudMetadata, Error, ErrorKind, Transport};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use certificate::ChainSending;
pub use entra::DeviceCodePrompt;
pub use managed_identity::ManagedIdentity;

/// How long before its end a token is renewed.
const EARLY: Duration = Duration::from_secs(300);

/// A bearer token.
#[derive(Debug, Clone)]
pub struct AccessToken {
    secret: SecretString,
    lifetime: Option<Duration>,
}

impl AccessToken {
    /// A token and how long it lives from now; `None` means that it is not known to end.
    pub fn new(secret: impl Into<SecretString>, lifetime: Option<Duration>) -> Self {
        Self { secret: secret.into(), lifetime }
    }
}

/// What a token is asked for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TokenRequest<'r> {
    /// The scope, such as `https://kusto.kusto.windows.net/.default`.
    pub scope: &'r str,
    /// The cloud of the cluster.
    pub cloud: &'r CloudMetadata,
    /// The HTTP stack of the client.
    pub transport: &'r Transport,
}

impl<'r> TokenRequest<'r> {
    /// The resource that the scope stands for.
    pub fn resource(&self) -> &'r str {
        self.scope.strip_suffix("/.default").unwrap_or(self.scope)
    }
}

/// A source of tokens, for what [`Credential`] does not offer itself: implement it over
/// any identity library. It need not cache.
pub trait TokenProvider: Send + Sync {
    /// A fresh token.
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>>;
}

struct Kept {
    secret: SecretString,
    renew: Option<Instant>,
    until: Option<Instant>,
}

struct Source {
    name: &'static str,
    provider: Box<dyn TokenProvider>,
    kept: Mutex<HashMap<String, Kept>>,
}

/// A source of bearer tokens. Cheap to clone; clones share tokens.
#[derive(Clone)]
pub struct Credential(Option<Arc<Source>>);

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.0.as_ref().map_or("none", |source| source.name))
    }
}

/// A token that the caller got elsewhere.
struct Fixed(SecretString);

impl TokenProvider for Fixed {
    fn token<'a>(&'a self, _: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin(async { Ok(AccessToken { secret: self.0.clone(), lifetime: None }) })
    }
}

struct Callback<F>(F);

impl<F, R> TokenProvider for Callback<F>
where
    F: Fn(String) -> R + Send + Sync,
    R: Future<Output = Result<AccessToken, Error>> + Send + 'static,
{
    fn token<'a>(&'a self, request: TokenRequest<'a>) -> BoxFuture<'a, Result<AccessToken, Error>> {
        Box::pin((self.0)(request.scope.to_owned()))
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

impl Credential {
    /// No token is sent: local services, tests.
    pub fn none() -> Self {
        Self(None)
    }

    fn of(name: &'static str, provider: impl TokenProvider + 'static) -> Self {
        Self(Some(Arc::new(Source { name, provider: Box::new(provider), kept: Mutex::default() })))
    }

    /// Tokens from an implementation of the caller's.
    pub fn provider(provider: impl TokenProvider + 'static) -> Self {
        Self::of("provider", provider)
    }

    /// A user or application token that the caller got elsewhere; it is not renewed.
    pub fn token(token: impl Into<SecretString>) -> Self {
        Self::of("token", Fixed(token.into()))
    }

    /// A token from a function, called with the scope whenever the kept token ends.
    pub fn token_callback<F, R>(callback: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<AccessToken, Error>> + Send + 'static,
    {
        Self::of("callback", Callback(callback))
    }

    /// An application with a secret.
    pub fn client_secret(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        secret: impl Into<SecretString>,
    ) -> Self {
        let proof = entra::Proof::Secret(secret.into());
        Self::of("client secret", entra::Application::new(tenant.into(), client_id.into(), proof))
    }

    /// An application with a certificate: `pem` holds the certificate, its chain if that
    /// is to be sent, and the unencrypted RSA private key (PKCS#8 or PKCS#1).
    ///
    /// # Errors
    /// When the PEM text has no certificate or no RSA key.
    pub fn client_certificate(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        pem: &SecretString,
        chain: ChainSending,
    ) -> Result<Self, Error> {
        let certificate = certificate::Certificate::read(pem.expose_secret().as_bytes(), chain)?;
        let proof = entra::Proof::Certificate(certificate);
        Ok(Self::of("client certificate", entra::Application::new(tenant.into(), client_id.into(), proof)))
    }

    /// The identity of the machine or App Service that this runs on.
    pub fn managed_identity(identity: ManagedIdentity) -> Self {
        Self::of("managed identity", managed_identity::Endpoint::from_environment(identity))
    }

    /// The identity of a Kubernetes pod, by `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    ///
    /// # Errors
    /// When one of the variables is not set.
    pub fn workload_identity() -> Result<Self, Error> {
        let variable = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| usage(format!("workload identity needs the environment variable {name}")))
        };
        Ok(Self::workload_identity_of(
            variable("AZURE_TENANT_ID")?,
            variable("AZURE_CLIENT_ID")?,
            variable("AZURE_FEDERATED_TOKEN_FILE")?,
        ))
    }

    /// A workload identity with everything said; the file is read for each new token.
    pub fn workload_identity_of(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        token_file: impl Into<PathBuf>,
    ) -> Self {
        let proof = entra::Proof::TokenFile(token_file.into());
        Self::of("workload identity", entra::Application::new(tenant.into(), client_id.into(), proof))
    }

    /// The signed-in account of the Azure command line (`az login`).
    pub fn azure_cli() -> Self {
        Self::of("azure cli", process::AzureCli)
    }

    /// A user who opens a page on any device and types a code there; `prompt` shows both.
    pub fn device_code(
        tenant: impl Into<String>,
        prompt: impl Fn(&DeviceCodePrompt) + Send + Sync + 'static,
    ) -> Self {
        Self::of("device code", entra::DeviceCode::new(tenant.into(), Box::new(prompt)))
    }

    /// A user who signs in with a browser on this machine; `open` is given the address of
    /// the page. The sign-in is waited for up to five minutes.
    pub fn interactive(
        tenant: impl Into<String>,
        login_hint: Option<String>,
        open: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self::of("interactive", interactive::Interactive::new(tenant.into(), login_hint, Box::new(open)))
    }

    /// A user with a password. Entra refuses it where a second factor is asked for; it is
    /// here for connection strings that have it.
    pub fn user_password(
        tenant: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<SecretString>,
    ) -> Self {
        Self::of("user password", entra::UserPassword::new(tenant.into(), user.into(), password.into()))
    }

    /// The credential that a connection string asks for. Order: user token, application
    /// token, application key, certificate, user and password, then interactive when
    /// `AAD Federated Security` is on; without any of these no token is sent.
    ///
    /// # Errors
    /// When the string has a part of a credential and lacks another.
    pub fn from_connection_string(text: &ConnectionString) -> Result<Self, Error> {
        let get = |keyword| text.get(keyword);
        let application = || {
            get(Keyword::ApplicationClientId).map(str::to_owned).ok_or_else(|| {
                usage("the connection string has a key or a certificate but no Application Client Id")
            })
        };
        let tenant = || {
            text.authority().map(str::to_owned).ok_or_else(|| {
                usage("the connection string has an application but no Authority Id (the tenant)")
            })
        };
        if let Some(token) = text.secret(Keyword::UserToken).or(text.secret(Keyword::ApplicationToken)) {
            return Ok(Self::token(token));
        }
        if let Some(key) = text.secret(Keyword::ApplicationKey) {
            return Ok(Self::client_secret(tenant()?, application()?, key));
        }
        if let Some(pem) = text.secret(Keyword::ApplicationCertificateBlob) {
            let chain = if text.is_on(Keyword::ApplicationCertificateSendChain) {
                ChainSending::Sent
            } else {
                ChainSending::Omitted
            };
            return Self::client_certificate(tenant()?, application()?, &pem, chain);
        }
        if get(Keyword::ApplicationCertificateThumbprint).is_some() {
            return Err(usage(
                "a certificate by thumbprint needs the Windows certificate store, which this library does not read; give Application Certificate Blob with PEM text",
            ));
        }
        if get(Keyword::ApplicationClientId).is_some() {
            return Err(usage(
                "the connection string has an Application Client Id but no Application Key, certificate or token",
            ));
        }
        let tenant = text.authority().unwrap_or("organizations").to_owned();
        let user = get(Keyword::UserId).map(str::to_owned);
        match (user, text.secret(Keyword::Password)) {
            (Some(user), Some(password)) => Ok(Self::user_password(tenant, user, password)),
            (None, Some(_)) => Err(usage("the connection string has a Password but no User ID")),
            (user, None) if user.is_some() || text.is_on(Keyword::FederatedSecurity) => {
                Ok(Self::interactive(tenant, user, interactive::open_browser))
            }
            (_, None) => Ok(Self::none()),
        }
    }

    /// Whether no token is sent.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// A token for a scope, kept or fresh; `None` when none is sent at all.
    pub async fn token_for(&self, request: TokenRequest<'_>) -> Result<Option<SecretString>, Error> {
        let Some(source) = &self.0 else { return Ok(None) };
        // Held over the request, so that any number of waiting calls ask once.
        let mut kept = source.kept.lock().await;
        let now = Instant::now();
        if let Some(token) = kept.get(request.scope)
            && token.renew.is_none_or(|renew| renew > now)
        {
            return Ok(Some(token.secret.clone()));
        }
        match source.provider.token(request).await {
            Ok(token) if token.secret.expose_secret().trim().is_empty() => {
                Err(Error::new(ErrorKind::Unauthorized, "the token is empty"))
            }
            Ok(token) => {
                let until = token.lifetime.map(|lifetime| now + lifetime);
                // A short-lived token is used for at least half its life.
                let renew =
                    token.lifetime.map(|lifetime| now + (lifetime.saturating_sub(EARLY)).max(lifetime / 2));
                let secret = token.secret.clone();
                kept.insert(request.scope.to_owned(), Kept { secret: token.secret, renew, until });
                Ok(Some(secret))
            }
            Err(error) => match kept.get(request.scope) {
                Some(token) if token.until.is_none_or(|until| until > now) => {
                    tracing::warn!(%error, "the token cannot be renewed yet; the old one is still good");
                    Ok(Some(token.secret.clone()))
                }
                _ => Err(error),
            },
        }
    }

    /// Drops a token that a service refused, so that the next call asks for a new one.
    /// Whether a new one can be had.
    pub(crate) async fn forget(&self, scope: &str, refused: &SecretString) -> bool {
        let Some(source) = &self.0 else { return false };
        if source.name == "token" {
            return false;
        }
        let mut kept = source.kept.lock().await;
        // Another call may have renewed it meanwhile.
        if kept.get(scope).is_some_and(|token| token.secret.expose_secret() == refused.expose_secret()) {
            kept.remove(scope);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RetryPolicy;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counting(lifetime: u64) -> (Credential, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let credential = Credential::token_callback(move |_| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if n == 2 {
                    return Err(Error::new(ErrorKind::Unreachable, "down"));
                }
                Ok(AccessToken::new(format!("t{n}"), Some(Duration::from_secs(lifetime))))
            }
        });
        (credential, asked)
    }

    async fn ask(credential: &Credential) -> Result<String, Error> {
        let transport = Transport::new(RetryPolicy::default()).unwrap();
        let cloud = CloudMetadata::public();
        let request = TokenRequest { scope: "s/.default", cloud: &cloud, transport: &transport };
        Ok(credential.token_for(request).await?.unwrap().expose_secret().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_once_renewed_early_and_outlives_a_failed_renewal() {
        let (credential, asked) = counting(3600);
        let all = futures_util::future::join_all((0..50).map(|_| ask(&credential))).await;
        assert!(all.iter().all(|token| token.as_deref().unwrap() == "t0"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(3295)).await;
        assert_eq!(ask(&credential).await.unwrap(), "t0");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(ask(&credential).await.unwrap(), "t1", "renewed five minutes early");
        tokio::time::advance(Duration::from_secs(3400)).await;
        assert_eq!(
            ask(&credential).await.unwrap(),
            "t1",
            "the renewal fails and the old token is still good"
        );
        assert!(credential.forget("s/.default", &"t1".to_owned().into()).await);
        assert_eq!(ask(&credential).await.unwrap(), "t3");
        assert_eq!(format!("{credential:?}"), "Credential(callback)");
    }

    #[test]
    fn connection_strings_choose_the_credential() {
        for (text, expected) in [
            ("https://c.kusto.windows.net", "none"),
            ("http://localhost;fed=true;usrtoken=x", "token"),
            ("https://c;fed=true;appclientid=i;appkey=k;tid=t", "client secret"),
            ("https://c;fed=true;user=u;pwd=p", "user password"),
            ("https://c;fed=true", "interactive"),
            ("https://c;user=me@x", "interactive"),
        ] {
            let parsed = ConnectionString::parse(text).unwrap();
            let credential = Credential::from_connection_string(&parsed).unwrap();
            assert_eq!(format!("{credential:?}"), format!("Credential({expected})"), "{text}");
        }
        for (text, says) in [
            ("https://c;appkey=k;tid=t", "no Application Client Id"),
            ("https://c;appclientid=i;appkey=k", "no Authority Id"),
            ("https://c;appclientid=i;tid=t", "no Application Key"),
            ("https://c;appclientid=i;appcert=AB;tid=t", "thumbprint"),
            ("https://c;pwd=p", "no User ID"),
        ] {
            let parsed = ConnectionString::parse(text).unwrap();
            let error = Credential::from_connection_string(&parsed).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
