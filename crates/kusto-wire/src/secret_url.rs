//! A URL whose query may be a credential (a shared access signature): it prints
//! without it, and the whole text must be asked for by name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A URL that prints without its query, user info and storage key suffix.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps the whole text.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole text with its secrets. Never log it.
    pub fn with_secrets(&self) -> &str {
        &self.0
    }

    /// The text up to the first `?` or `;`, without user info: safe to show.
    pub fn without_secrets(&self) -> String {
        let shown = self.0.split(['?', ';', '#']).next().unwrap_or_default();
        match shown.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
                let host = authority.rsplit('@').next().unwrap_or(authority);
                let slash = if rest.contains('/') { "/" } else { "" };
                format!("{scheme}://{host}{slash}{path}")
            }
            None => shown.to_owned(),
        }
    }
}

impl From<&str> for SecretUrl {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_secrets())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({})", self.without_secrets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        for url in [
            "https://acct.blob.core.windows.net/c/b.csv?sv=1&sig=SECRET",
            "https://user:SECRET@host/c/b.csv",
            "https://acct.blob.core.windows.net/c/b.csv;SECRET",
        ] {
            let printed = format!("{0} {0:?}", SecretUrl::new(url));
            assert!(!printed.contains("SECRET"), "{printed}");
            assert!(printed.contains("b.csv"), "{printed}");
        }
    }
}
