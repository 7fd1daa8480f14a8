//! The URL of a cluster, and that of its data-management endpoint.

use crate::{Error, ErrorKind};
use std::fmt;
use url::{Host, Url};

/// Whether a client may put `ingest-` in front of a host or take it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    Allowed,
    /// The caller said where requests go.
    Forbidden,
}

/// The base URL of a Kusto endpoint, without a trailing slash.
///
/// Either URL of a cluster will do, with or without `ingest-`: the clients derive the
/// other. The host is left alone when it is `localhost` or below it, an IPv4 or IPv6
/// address, or `onebox.dev.kusto.windows.net`, with or without a port, since behind these
/// one service answers for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    correction: Correction,
}

impl Endpoint {
    /// Reads a cluster URL: `https://name.region.kusto.windows.net`, `http://localhost:8080`.
    /// Without a scheme it is https. A query or user info is refused.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme).map_err(|error| {
            Error::new(ErrorKind::Usage, "the cluster URL cannot be read").caused_by(error)
        })?;
        let supported = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        if !supported || url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(Error::new(
                ErrorKind::Usage,
                "a cluster URL is http(s)://host[:port], such as https://name.region.kusto.windows.net",
            ));
        }
        Ok(Self { url, correction: Correction::Allowed })
    }

    /// Reads a URL whose one path segment, if it has one, names a database.
    pub fn parse_with_database(text: &str) -> Result<(Self, Option<String>), Error> {
        let mut endpoint = Self::parse(text)?;
        let segments: Vec<String> = endpoint
            .url
            .path_segments()
            .map(|segments| segments.filter(|part| !part.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default();
        match segments.as_slice() {
            [] => Ok((endpoint, None)),
            [database] => {
                let decoded =
                    url::form_urlencoded::parse(format!("x={}", database.replace('+', "%2B")).as_bytes())
                        .next()
                        .map(|(_, value)| value.into_owned());
                endpoint.url.set_path("");
                Ok((endpoint, decoded))
            }
            _ => {
                Err(Error::new(ErrorKind::Usage, "a cluster URL has at most one path segment, the database"))
            }
        }
    }

    /// The same URL, used as it is for every request: nothing is derived from it.
    #[must_use]
    pub fn exactly(mut self) -> Self {
        self.correction = Correction::Forbidden;
        self
    }

    /// The base URL as text.
    pub fn as_str(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether requests are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL of a path of the API.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.as_str())
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => is_localhost(name),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => {
                address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
            }
            None => false,
        }
    }

    /// Whether one host answers for engine and data management, so that nothing is derived.
    fn is_reserved(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => {
                is_localhost(name) || name.eq_ignore_ascii_case("onebox.dev.kusto.windows.net")
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => true,
        }
    }

    /// The data-management endpoint: `ingest-` in front of the host, unless it is there
    /// or the host is one that is left alone.
    #[must_use]
    pub fn ingestion(&self) -> Self {
        let host = self.host();
        if self.correction == Correction::Forbidden || self.is_reserved() || host.starts_with("ingest-") {
            return self.clone();
        }
        self.with_host(&format!("ingest-{host}"))
    }

    /// The engine endpoint: without `ingest-`.
    #[must_use]
    pub fn engine(&self) -> Self {
        match self.host().strip_prefix("ingest-") {
            Some(host) if self.correction == Correction::Allowed && !self.is_reserved() => {
                self.with_host(host)
            }
            _ => self.clone(),
        }
    }

    fn with_host(&self, host: &str) -> Self {
        let mut changed = self.clone();
        // A host that was valid stays valid with or without the prefix.
        if changed.url.set_host(Some(host)).is_err() {
            return self.clone();
        }
        changed
    }
}

/// A text as one segment of a path or one value of a query, every reserved character
/// escaped.
pub fn escape_segment(text: &str) -> String {
    // Forms write a space as `+`, which a path does not know.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
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
            ("https://c.x.net:8443", "https://ingest-c.x.net:8443", "https://c.x.net:8443"),
            (
                "https://trd-1a2b.z0.kusto.fabric.microsoft.com",
                "https://ingest-trd-1a2b.z0.kusto.fabric.microsoft.com",
                "https://trd-1a2b.z0.kusto.fabric.microsoft.com",
            ),
            ("http://localhost", "http://localhost", "http://localhost"),
            ("http://localhost:8080", "http://localhost:8080", "http://localhost:8080"),
            ("http://kusto.localhost:8080", "http://kusto.localhost:8080", "http://kusto.localhost:8080"),
            ("http://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1"),
            ("http://10.1.2.3:8080", "http://10.1.2.3:8080", "http://10.1.2.3:8080"),
            ("http://[::1]:8080", "http://[::1]:8080", "http://[::1]:8080"),
            ("http://[2001:db8::1]", "http://[2001:db8::1]", "http://[2001:db8::1]"),
            (
                "https://onebox.dev.kusto.windows.net",
                "https://onebox.dev.kusto.windows.net",
                "https://onebox.dev.kusto.windows.net",
            ),
            ("http://kustainer:8080", "http://ingest-kustainer:8080", "http://kustainer:8080"),
        ] {
            let endpoint = Endpoint::parse(given).unwrap();
            assert_eq!(endpoint.ingestion().as_str(), ingestion, "{given}");
            assert_eq!(endpoint.ingestion().engine().as_str(), engine, "{given}");
            let exact = endpoint.clone().exactly();
            assert_eq!(exact.ingestion().as_str(), endpoint.as_str(), "{given}");
            assert_eq!(exact.engine().as_str(), endpoint.as_str(), "{given}");
        }
        for wrong in ["", "ftp://x", "https://", "https://user:secret@host", "https://host?x=1"] {
            let error = Endpoint::parse(wrong).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{wrong}");
        }
    }

    #[test]
    fn a_path_names_a_database() {
        let (endpoint, database) = Endpoint::parse_with_database("https://c.x.net/My%20Db/").unwrap();
        assert_eq!((endpoint.as_str(), database.as_deref()), ("https://c.x.net", Some("My Db")));
        assert!(Endpoint::parse_with_database("https://c.x.net/a/b").is_err());
    }

    #[test]
    fn segments_are_escaped() {
        assert_eq!(escape_segment("a b/c;d?e%+ü"), "a%20b%2Fc%3Bd%3Fe%25%2B%C3%BC");
    }

    #[test]
    fn loopback_hosts() {
        for (url, expected) in [
            ("http://localhost:1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://localhost.evil.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().is_loopback(), expected, "{url}");
        }
    }
}
