//! Who may do what: principals, the roles they are granted in databases and on tables, and
//! the least role that each operation needs. A service without tokens is open: everyone
//! is the administrator, and there is nothing to check.

mod grants;
mod issuer;
mod need;
mod principal;

pub(crate) use grants::{Grants, SCHEMA};
pub use issuer::Issuer;
pub(crate) use issuer::Issuers;
pub(crate) use need::{Need, of_command};
pub(crate) use principal::Caller;
pub use principal::{Principal, PrincipalError};

use crate::ServiceError;
use http::HeaderMap;
use rusqlite::Connection;
use secrecy::{ExposeSecret, SecretString};

/// The settings as a file has them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tokens: Vec<Entry>,
    #[serde(default)]
    issuers: Vec<Issuer>,
    #[serde(default)]
    admins: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
    principal: String,
}

/// Who is let in, and who administers the service.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    tokens: Vec<(SecretString, Principal)>,
    issuers: Vec<Issuer>,
    admins: Vec<Principal>,
}

impl AccessConfig {
    /// Nobody is asked who they are; everyone is the administrator.
    pub fn open() -> Self {
        Self::default()
    }

    /// Lets the bearer of a token in as a principal. With the first token the service asks
    /// everybody for one.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>, principal: Principal) -> Self {
        self.tokens.push((SecretString::from(token.into()), principal));
        self
    }

    /// Lets the bearers of an issuer's tokens in, as whom the tokens say they are.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// The issuers whose tokens are taken.
    pub(crate) fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Reads `{"tokens": [{"token": "...", "principal": "aadapp=...;tenant"}], "issuers":
    /// [{"issuer": "https://...", "audiences": ["..."]}], "admins": ["aaduser=..."]}`.
    ///
    /// # Errors
    /// When the text is something else, a principal cannot be read, or nobody would be let
    /// in.
    pub fn parse(json: &str) -> Result<Self, ServiceError> {
        let bad = |problem: String| ServiceError::BadRequest(format!("the access settings: {problem}"));
        // Its own words may quote a token that stands in a wrong place.
        let file: File = serde_json::from_str(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            bad(format!(
                "line {line}, column {column} is not {{\"tokens\": [{{\"token\", \"principal\"}}], \"issuers\": [{{\"issuer\", \"audiences\"}}], \"admins\": []}}"
            ))
        })?;
        let principal = |text: &str| Principal::parse(text).map_err(|error| bad(error.to_string()));
        let mut access = Self::open();
        for entry in &file.tokens {
            if entry.token.trim().is_empty() || entry.token.contains(char::is_whitespace) {
                return Err(bad(format!("the token of {} is empty or has white space", entry.principal)));
            }
            access = access.with_token(&entry.token, principal(&entry.principal)?);
        }
        for issuer in file.issuers {
            issuer.check().map_err(bad)?;
            access = access.with_issuer(issuer);
        }
        for admin in &file.admins {
            access = access.with_admin(principal(admin)?);
        }
        if access.is_open() {
            return Err(bad("there is no token and no issuer, so nobody could sign in".to_owned()));
        }
        Ok(access)
    }

    /// Makes a principal an administrator of all databases.
    #[must_use]
    pub fn with_admin(mut self, principal: Principal) -> Self {
        self.admins.push(principal);
        self
    }

    /// Whether nobody is asked who they are.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.issuers.is_empty()
    }

    /// Who sends a request: the bearer of a static token, or of one of an issuer's.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        issuers: &Issuers,
    ) -> Result<Caller, ServiceError> {
        if self.is_open() {
            return Ok(Caller::anonymous());
        }
        let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = header.and_then(|header| header.split_once(' ')) else {
            return Err(ServiceError::Unauthenticated("the request has no bearer token"));
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ServiceError::Unauthenticated("only bearer tokens are taken"));
        }
        let token = token.trim();
        // Every token is compared, so that the time tells nothing about the others.
        let mut found = None;
        for (known, principal) in &self.tokens {
            if same(known.expose_secret(), token) {
                found = Some(principal);
            }
        }
        match found {
            Some(principal) => Ok(Caller::of(principal.clone())),
            None if issuers.may_be_of(token) => issuers.identify(token).await,
            None => Err(ServiceError::Unauthenticated("the token is not known")),
        }
    }

    /// Fails when the caller lacks what an operation needs.
    pub(crate) fn check(
        &self,
        connection: &Connection,
        caller: &Caller,
        need: &Need,
    ) -> Result<(), ServiceError> {
        if self.is_open() || self.admins.iter().any(|admin| caller.is(admin)) {
            return Ok(());
        }
        if need.is_met(&Grants(connection), caller)? {
            return Ok(());
        }
        Err(ServiceError::Forbidden { principal: caller.principal.to_string(), need: need.to_string() })
    }
}

/// Compares two texts in a time that depends on the given one's length only.
fn same(known: &str, given: &str) -> bool {
    let (known, given) = (known.as_bytes(), given.as_bytes());
    let mut difference = known.len() ^ given.len();
    for (index, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ known.get(index % known.len().max(1)).copied().unwrap_or_default());
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bearer_of_a_known_token_is_let_in() {
        let principal = Principal::parse("aadapp=one;t").unwrap();
        let access = AccessConfig::open().with_token("secret", principal.clone());
        let _installed = kusto_client::install_crypto_provider();
        let none = Issuers::new(Vec::new(), reqwest::Client::new());
        let identify = async |header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("authorization", header.parse().unwrap());
            }
            access.identify(&headers, &none).await.ok().map(|caller| caller.principal)
        };
        assert_eq!(identify(Some("Bearer secret")).await, Some(principal.clone()));
        assert_eq!(identify(Some("bearer  secret ")).await, Some(principal));
        for header in [
            None,
            Some("Bearer secre"),
            Some("Bearer secrets"),
            Some("Bearer "),
            Some("Basic secret"),
            Some("secret"),
        ] {
            assert_eq!(identify(header).await, None, "{header:?}");
        }
        assert!(AccessConfig::open().identify(&HeaderMap::new(), &none).await.unwrap().anonymous);
        assert!(!format!("{access:?}").contains("secret\""));
    }

    #[test]
    fn settings_read_and_their_faults_name_no_token() {
        let good = r#"{"tokens":[{"token":"hush","principal":"aaduser=jane@contoso.com"}],"admins":["aadapp=one;t"]}"#;
        assert!(!AccessConfig::parse(good).unwrap().is_open());
        for (json, says) in [
            ("", "line 1"),
            (r#"{"tokens":["hush"]}"#, "line 1, column 17"),
            (r#"{"tokens":[]}"#, "nobody"),
            (r#"{"tokens":[{"token":"hush","principal":"jane"}]}"#, "jane"),
            (r#"{"tokens":[{"token":"hush hush","principal":"aaduser=j"}]}"#, "white space"),
            (r#"{"tokens":[{"token":"hush","principal":"aaduser=j","role":"x"}]}"#, "line 1"),
            (r#"{"tokens":[],"admins":["x"]}"#, "x"),
            (r#"{"issuers":[{"issuer":"http://login.example","audiences":["a"]}]}"#, "not an https URL"),
            (r#"{"issuers":[{"issuer":"https://login.example","audiences":[]}]}"#, "needs the audiences"),
            (r#"{"issuers":[{"issuer":"login.example","audiences":["a"]}]}"#, "login.example"),
        ] {
            let error = AccessConfig::parse(json).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hush"), "{json}: {error}");
        }
    }
}
