//! The URL of a cluster, and that of its data-management endpoint.

use crate::{Error, ErrorKind};
use std::fmt;
use url::{Host, Url};

/// The base URL of a Kusto endpoint, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Reads a cluster URL: `https://name.region.kusto.windows.net`, `http://localhost:8080`.
    /// A database path behind the host is refused, since it is easily mistaken.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme).map_err(|error| {
            Error::new(ErrorKind::Usage, "the cluster URL cannot be read").caused_by(error)
        })?;
        let supported = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        if !supported || url.query().is_some() || !url.username().is_empty() {
            return Err(Error::new(
                ErrorKind::Usage,
                "a cluster URL is http(s)://host[:port], such as https://name.region.kusto.windows.net",
            ));
        }
        Ok(Self(url))
    }

    /// The base URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The URL of a path of the API.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.as_str())
    }

    fn is_local(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            None => false,
        }
    }

    /// The data-management endpoint: `ingest-` in front of the host, unless it is there
    /// or the host is localhost or an address.
    #[must_use]
    pub fn ingestion(&self) -> Self {
        let host = self.0.host_str().unwrap_or_default();
        if self.is_local() || host.starts_with("ingest-") {
            return self.clone();
        }
        self.with_host(&format!("ingest-{host}"))
    }

    /// The engine endpoint: without `ingest-`.
    #[must_use]
    pub fn engine(&self) -> Self {
        match self.0.host_str().and_then(|host| host.strip_prefix("ingest-")) {
            Some(host) => self.with_host(host),
            None => self.clone(),
        }
    }

    fn with_host(&self, host: &str) -> Self {
        let mut url = self.0.clone();
        // A host that was valid stays valid with or without the prefix.
        if url.set_host(Some(host)).is_err() {
            return self.clone();
        }
        Self(url)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingestion_and_engine_hosts() {
        for (given, ingestion, engine) in [
            (
                "https://c.kusto.windows.net",
                "https://ingest-c.kusto.windows.net",
                "https://c.kusto.windows.net",
            ),
            (
                "https://ingest-c.kusto.windows.net/",
                "https://ingest-c.kusto.windows.net",
                "https://c.kusto.windows.net",
            ),
            ("c.kusto.windows.net", "https://ingest-c.kusto.windows.net", "https://c.kusto.windows.net"),
            ("http://localhost:8080", "http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1"),
            ("http://[::1]:8080", "http://[::1]:8080", "http://[::1]:8080"),
        ] {
            let endpoint = Endpoint::parse(given).unwrap();
            assert_eq!(endpoint.ingestion().as_str(), ingestion, "{given}");
            assert_eq!(endpoint.ingestion().engine().as_str(), engine, "{given}");
        }
        for wrong in ["", "ftp://x", "https://", "https://user:secret@host", "https://host?x=1"] {
            let error = Endpoint::parse(wrong).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{wrong}");
        }
    }
}
