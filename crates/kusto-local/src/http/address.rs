//! Under which name a caller reached the service, and under which names it reaches the
//! rest. On a cluster's own name (`{name}.kusto.windows.net`, by the hosts file or the
//! DNS of a test) the storage has an account's names too; on any other it has paths.

use super::Peer;
use crate::state::ACCOUNT;
use http::{HeaderMap, Uri};

/// The storage services that share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageService {
    Blob,
    Queue,
    Table,
}

impl StorageService {
    fn label(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Queue => "queue",
            Self::Table => "table",
        }
    }
}

/// Scheme, host and port as the caller wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    scheme: &'static str,
    /// With the port, when there is one.
    authority: String,
}

impl Address {
    /// From the connection and the head of the request. A proxy in front may say that its
    /// own side is encrypted.
    pub(crate) fn of(peer: Peer, uri: &Uri, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let encrypted = match header("x-forwarded-proto") {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => peer == Peer::Secure,
        };
        // HTTP/2 has the name in its target, HTTP/1 in a header.
        let named = header("host").map(str::to_owned);
        let authority = named.or_else(|| uri.authority().map(|authority| authority.as_str().to_owned()));
        // Go's client refuses resources that are not encrypted; the same port has both.
        let go = header("x-ms-client-version").is_some_and(|version| version.starts_with("Kusto.Go.Client"));
        Self {
            scheme: if encrypted || go { "https" } else { "http" },
            authority: authority.unwrap_or_else(|| "localhost".to_owned()).to_ascii_lowercase(),
        }
    }

    fn host_and_port(&self) -> (&str, &str) {
        match self.authority.rfind(':') {
            Some(colon) if !self.authority[colon..].contains(']') => self.authority.split_at(colon),
            _ => (&self.authority, ""),
        }
    }

    /// The service whose host this is: `{account}.blob.core.windows.net`.
    pub(crate) fn storage_service(&self) -> Option<StorageService> {
        let mut labels = self.host_and_port().0.split('.').skip(1);
        let service = match labels.next()? {
            // The data lake's names lead to the same blobs.
            "blob" | "dfs" => StorageService::Blob,
            "queue" => StorageService::Queue,
            "table" => StorageService::Table,
            _ => return None,
        };
        (labels.next() == Some("core")).then_some(service)
    }

    /// The URL of the service.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The URL that a container, a queue or a table is below.
    pub(crate) fn storage(&self, service: StorageService) -> String {
        let (host, port) = self.host_and_port();
        if let Some((_, suffix)) = host.split_once(".kusto.") {
            let suffix = if suffix.ends_with("microsoft.com") { "windows.net" } else { suffix };
            return format!("{}://{ACCOUNT}.{}.core.{suffix}{port}", self.scheme, service.label());
        }
        match service {
            StorageService::Blob | StorageService::Queue => format!("{}/{ACCOUNT}", self.url()),
            // Some clients take the first path segment for the table's name.
            StorageService::Table => self.url(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: Peer, uri: &str, headers: &[(&'static str, &str)]) -> Address {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Address::of(peer, &uri.parse().unwrap(), &map)
    }

    #[test]
    fn resources_have_the_scheme_and_shape_that_the_caller_can_use() {
        let plain = address(Peer::Plain, "/v1/rest/mgmt", &[("host", "localhost:8080")]);
        assert_eq!(plain.url(), "http://localhost:8080");
        assert_eq!(plain.storage(StorageService::Queue), "http://localhost:8080/kinstore");
        assert_eq!(plain.storage(StorageService::Table), "http://localhost:8080");
        let go = [("host", "localhost:8080"), ("x-ms-client-version", "Kusto.Go.Client:1.1.0")];
        assert_eq!(address(Peer::Plain, "/", &go).url(), "https://localhost:8080");
        // HTTP/2 has no host header.
        let six = address(Peer::Secure, "https://[::1]:8080/v1", &[]);
        assert_eq!(six.storage(StorageService::Blob), "https://[::1]:8080/kinstore");
        let proxied = [("host", "kin.example"), ("x-forwarded-proto", "https")];
        assert_eq!(address(Peer::Plain, "/", &proxied).url(), "https://kin.example");
        for (host, expected) in [
            ("ingest-c.kusto.windows.net", "https://kinstore.blob.core.windows.net"),
            ("C.region.kusto.windows.net:8443", "https://kinstore.blob.core.windows.net:8443"),
            ("c.kusto.chinacloudapi.cn", "https://kinstore.blob.core.chinacloudapi.cn"),
            ("c.z1.kusto.fabric.microsoft.com", "https://kinstore.blob.core.windows.net"),
        ] {
            let cluster = address(Peer::Secure, "/", &[("host", host)]);
            assert_eq!(cluster.storage(StorageService::Blob), expected, "{host}");
            assert_eq!(cluster.storage_service(), None, "{host}");
        }
    }

    #[test]
    fn hosts_of_accounts_are_storage() {
        for (host, expected) in [
            ("kinstore.blob.core.windows.net", Some(StorageService::Blob)),
            ("KINSTORE.queue.core.windows.net:443", Some(StorageService::Queue)),
            ("any.table.core.usgovcloudapi.net", Some(StorageService::Table)),
            ("any.dfs.core.windows.net", Some(StorageService::Blob)),
            ("blob.core.windows.net", None),
            ("kinstore.blob.example.com", None),
            ("127.0.0.1:8080", None),
            ("", None),
        ] {
            let storage = address(Peer::Secure, "/", &[("host", host)]);
            assert_eq!(storage.storage_service(), expected, "{host}");
        }
    }
}
