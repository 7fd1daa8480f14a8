//! Tokens of an OpenID Connect issuer, such as Entra: signature, issuer, audience and times
//! are checked, and who the bearer is. The issuer's keys are fetched when they are first
//! needed, again each hour, and when a token names one that is not known.

use super::{Caller, Principal};
use crate::ServiceError;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long keys are used before they are asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long keys are used when the issuer does not answer any more.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long the issuer is left alone after it was asked in vain, so that tokens with made-up
/// keys cannot make this service ask without end.
const PAUSE: Duration = Duration::from_secs(30);
/// How long an answer of the issuer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer of the issuer.
const MOST_BYTES: usize = 1024 * 1024;
/// How far the clocks of issuer and service may be apart, in seconds, as Entra advises.
const LEEWAY: u64 = 300;

/// An issuer whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What its tokens say in `iss`, and where its configuration is:
    /// `{issuer}/.well-known/openid-configuration`.
    pub issuer: String,
    /// What its tokens for this service say in `aud`: one of these.
    pub audiences: Vec<String>,
}

impl Issuer {
    /// Fails when the issuer is no https URL (http is taken for this machine only), or when
    /// tokens for any audience would be taken.
    pub(crate) fn check(&self) -> Result<(), String> {
        let url =
            url::Url::parse(&self.issuer).map_err(|error| format!("issuer {:?}: {error}", self.issuer))?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err(format!("issuer {:?} is not an https URL", self.issuer));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(format!("issuer {:?} needs the audiences that its tokens are for", self.issuer));
        }
        Ok(())
    }
}

/// What is read of a token. Lists that a token may leave out are empty then.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<String>,
    oid: Option<String>,
    tid: Option<String>,
    upn: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
    idtyp: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
}

/// The part of a token that says whose keys to look at, before anything is believed.
#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// The keys of an issuer.
#[derive(Default)]
struct Keys {
    set: Option<Arc<JwkSet>>,
    fetched: Option<Instant>,
    /// When the issuer was asked and did not have what was wanted.
    missed: Option<Instant>,
}

/// Checks tokens of some issuers.
pub(crate) struct Issuers {
    issuers: Vec<(Issuer, Mutex<Keys>)>,
    http: reqwest::Client,
}

const WRONG: ServiceError = ServiceError::Unauthenticated("the token is not valid");

impl Issuers {
    pub(crate) fn new(issuers: Vec<Issuer>, http: reqwest::Client) -> Self {
        Self { issuers: issuers.into_iter().map(|issuer| (issuer, Mutex::default())).collect(), http }
    }

    /// Where users sign in and for what, for the first issuer.
    pub(crate) fn sign_in(&self) -> Option<(&str, &str)> {
        let (issuer, _) = self.issuers.first()?;
        Some((&issuer.issuer, issuer.audiences.first()?))
    }

    /// Whether a text has the form of a token of an issuer.
    pub(crate) fn may_be_of(&self, token: &str) -> bool {
        !self.issuers.is_empty() && token.split('.').count() == 3
    }

    /// Who the bearer of a token is.
    pub(crate) async fn identify(&self, token: &str) -> Result<Caller, ServiceError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| WRONG)?;
        let unverified = unverified(token).ok_or(WRONG)?;
        let found = self.issuers.iter().find(|(issuer, _)| same_issuer(&issuer.issuer, &unverified.iss));
        let Some((issuer, keys)) = found else {
            return Err(ServiceError::Unauthenticated("the token is of an issuer that is not known here"));
        };
        let Some(kid) = header.kid.as_deref() else {
            return Err(ServiceError::Unauthenticated("the token does not say which key signed it"));
        };
        let set = self.keys(issuer, keys, kid).await?;
        let Some(key) = set.find(kid) else {
            return Err(ServiceError::Unauthenticated(
                "the token is signed with a key that the issuer does not have",
            ));
        };
        // The key says which algorithms are its own; what the token says is only compared.
        let allowed = algorithms(key);
        if !allowed.contains(&header.alg) {
            return Err(ServiceError::Unauthenticated("the token is signed in a way that is not taken"));
        }
        let mut validation = Validation::new(header.alg);
        validation.algorithms = vec![header.alg];
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        validation.set_audience(&issuer.audiences);
        validation.set_issuer(&[&unverified.iss]);
        let key = DecodingKey::from_jwk(key).map_err(|_| WRONG)?;
        let data = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind as K;
            ServiceError::Unauthenticated(match error.kind() {
                K::ExpiredSignature => "the token has expired",
                K::ImmatureSignature => "the token is not valid yet",
                K::InvalidAudience => "the token is for another audience",
                K::InvalidSignature => "the token's signature is wrong",
                K::MissingRequiredClaim(_) => "the token lacks its expiry, audience or issuer",
                _ => "the token is not valid",
            })
        })?;
        caller(data.claims).ok_or(ServiceError::Unauthenticated("the token does not say who its bearer is"))
    }

    /// The issuer's keys, fetched when there are none, when they are old, or when the one
    /// that is wanted is not among them.
    async fn keys(
        &self,
        issuer: &Issuer,
        keys: &Mutex<Keys>,
        kid: &str,
    ) -> Result<Arc<JwkSet>, ServiceError> {
        // One request asks, the others wait for its answer.
        let mut keys = keys.lock().await;
        let age = keys.fetched.map(|at| at.elapsed());
        let is_known = keys.set.as_ref().is_some_and(|set| set.find(kid).is_some());
        let wanted = !is_known || age.is_none_or(|age| age > FRESH);
        if wanted && keys.missed.is_none_or(|at| at.elapsed() > PAUSE) {
            let has_it = match self.fetch(issuer).await {
                Ok(set) => {
                    let has_it = set.find(kid).is_some();
                    keys.set = Some(Arc::new(set));
                    keys.fetched = Some(Instant::now());
                    has_it
                }
                Err(error) => {
                    tracing::warn!(issuer = issuer.issuer, error, "the issuer's keys cannot be fetched");
                    false
                }
            };
            keys.missed = (!has_it).then(Instant::now);
        }
        match (&keys.set, keys.fetched) {
            (Some(set), Some(at)) if at.elapsed() < STALE => Ok(set.clone()),
            _ => {
                Err(ServiceError::Unavailable("the keys of the token's issuer cannot be fetched".to_owned()))
            }
        }
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<JwkSet, String> {
        let base = issuer.issuer.trim_end_matches('/');
        let configuration: Configuration =
            self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        if !same_issuer(&configuration.issuer, &issuer.issuer) {
            return Err(format!("its configuration is of {}", configuration.issuer));
        }
        let found = Issuer { issuer: configuration.jwks_uri.clone(), audiences: vec!["keys".to_owned()] };
        found.check().map_err(|_| format!("its keys are at {}", configuration.jwks_uri))?;
        self.get(&configuration.jwks_uri).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let wrong = |error: reqwest::Error| format!("{url}: {error}");
        let mut response = self.http.get(url).timeout(TIMEOUT).send().await.map_err(wrong)?;
        if !response.status().is_success() {
            return Err(format!("{url} answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(wrong)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(format!("{url} answers more than {MOST_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}

/// Whether two texts name one issuer: a slash at the end does not matter.
fn same_issuer(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// The claims of a token without any check.
fn unverified(token: &str) -> Option<Unverified> {
    use base64::Engine as _;
    let claims = token.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The algorithms that a key may have signed with: those of public keys alone.
fn algorithms(key: &Jwk) -> Vec<Algorithm> {
    use Algorithm as A;
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => vec![A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512],
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => vec![A::ES256],
            EllipticCurve::P384 => vec![A::ES384],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Who the claims are of. Entra says `idtyp` for applications, or gives them the same
/// subject and object id; others are users, by all their ids.
fn caller(claims: Claims) -> Option<Caller> {
    let app = claims.appid.or(claims.azp);
    let is_app = match claims.idtyp.as_deref() {
        Some(kind) => kind == "app",
        None => app.is_some() && claims.oid.is_some() && claims.oid == claims.sub,
    };
    let mut ids: Vec<String> = if is_app {
        [app, claims.oid].into_iter().flatten().collect()
    } else {
        // Names that users can change (`email`, `preferred_username`) identify nobody.
        [claims.upn, claims.oid, claims.sub].into_iter().flatten().collect()
    };
    ids.retain(|id| !id.is_empty() && !id.contains(';'));
    let kind = if is_app { "aadapp" } else { "aaduser" };
    let first = ids.first()?;
    let name = match &claims.tid {
        Some(tenant) => format!("{kind}={first};{tenant}"),
        None => format!("{kind}={first}"),
    };
    let mut caller = Caller::of(Principal::parse(&name).ok()?);
    caller.also = ids.split_off(1);
    caller.groups = claims.groups;
    Some(caller)
}
