//! Which hosts a token may be sent to. A token goes to well-known Kusto hosts of the
//! cloud that it was issued in, to this machine, and to what the caller adds.
//!
//! The host names are facts of the public `wellKnownKustoEndpoints.json` that the
//! official clients ship.

use crate::{Endpoint, Error, ErrorKind};
use std::sync::Arc;

/// The well-known hosts of one cloud.
struct Cloud {
    login: &'static str,
    suffixes: &'static [&'static str],
    hosts: &'static [&'static str],
}

const CLOUDS: &[Cloud] = &[
    Cloud {
        login: "https://login.microsoftonline.com",
        suffixes: &[
            ".dxp.aad.azure.com",
            ".dxp-dev.aad.azure.com",
            ".kusto.azuresynapse.net",
            ".kusto.windows.net",
            ".kustodev.azuresynapse-dogfood.net",
            ".kustodev.windows.net",
            ".kustomfa.windows.net",
            ".playfabapi.com",
            ".playfab.com",
            ".azureplayfab.com",
            ".kusto.data.microsoft.com",
            ".kusto.fabric.microsoft.com",
            ".api.securityplatform.microsoft.com",
            ".securitycenter.windows.com",
            ".arg-int.core.windows.net",
            ".arg-df.core.windows.net",
            ".arg.core.windows.net",
        ],
        hosts: &[
            "ade.applicationinsights.io",
            "ade.loganalytics.io",
            "adx.aimon.applicationinsights.azure.com",
            "adx.applicationinsights.azure.com",
            "adx.int.applicationinsights.azure.com",
            "adx.int.loganalytics.azure.com",
            "adx.int.monitor.azure.com",
            "adx.loganalytics.azure.com",
            "adx.monitor.azure.com",
            "kusto.aria.microsoft.com",
            "eu.kusto.aria.microsoft.com",
            "api.securityplatform.microsoft.com",
        ],
    },
    Cloud {
        login: "https://login.microsoftonline.us",
        suffixes: &[".kusto.usgovcloudapi.net", ".kustomfa.usgovcloudapi.net", ".arg.core.usgovcloudapi.net"],
        hosts: &["adx.applicationinsights.azure.us", "adx.loganalytics.azure.us", "adx.monitor.azure.us"],
    },
    Cloud {
        login: "https://login.partner.microsoftonline.cn",
        suffixes: &[
            ".kusto.azuresynapse.azure.cn",
            ".kusto.chinacloudapi.cn",
            ".kustomfa.chinacloudapi.cn",
            ".playfab.cn",
            ".arg.core.chinacloudapi.cn",
        ],
        hosts: &["adx.applicationinsights.azure.cn", "adx.loganalytics.azure.cn", "adx.monitor.azure.cn"],
    },
    Cloud {
        login: "https://login.microsoftonline.eaglex.ic.gov",
        suffixes: &[".kusto.core.eaglex.ic.gov", ".kustomfa.core.eaglex.ic.gov", ".arg.core.eaglex.ic.gov"],
        hosts: &[
            "adx.applicationinsights.azure.eaglex.ic.gov",
            "adx.loganalytics.azure.eaglex.ic.gov",
            "adx.monitor.azure.eaglex.ic.gov",
        ],
    },
    Cloud {
        login: "https://login.microsoftonline.microsoft.scloud",
        suffixes: &[
            ".kusto.core.microsoft.scloud",
            ".kustomfa.core.microsoft.scloud",
            ".arg.core.microsoft.scloud",
        ],
        hosts: &[
            "adx.applicationinsights.azure.microsoft.scloud",
            "adx.loganalytics.azure.microsoft.scloud",
            "adx.monitor.azure.microsoft.scloud",
        ],
    },
    Cloud {
        login: "https://login.sovcloud-identity.fr",
        suffixes: &[".kusto.sovcloud-api.fr", ".kustomfa.sovcloud-api.fr"],
        hosts: &["adx.applicationinsights.azure.fr", "adx.loganalytics.azure.fr", "adx.monitor.azure.fr"],
    },
    Cloud {
        login: "https://login.sovcloud-identity.de",
        suffixes: &[".kusto.sovcloud-api.de", ".kustomfa.sovcloud-api.de"],
        hosts: &["adx.applicationinsights.azure.de", "adx.loganalytics.azure.de", "adx.monitor.azure.de"],
    },
    Cloud {
        login: "https://login.sovcloud-identity.sg",
        suffixes: &[".kusto.sovcloud-api.sg", ".kustomfa.sovcloud-api.sg"],
        hosts: &["adx.applicationinsights.azure.sg", "adx.loganalytics.azure.sg", "adx.monitor.azure.sg"],
    },
];

fn matches(host: &str, suffixes: &[impl AsRef<str>], hosts: &[impl AsRef<str>]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    hosts.iter().any(|known| host == known.as_ref())
        || suffixes.iter().any(|suffix| host.len() > suffix.as_ref().len() && host.ends_with(suffix.as_ref()))
}

/// A rule of the caller's own.
type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The hosts that a client sends tokens to.
#[derive(Clone, Default)]
pub struct TrustedEndpoints {
    hosts: Vec<String>,
    suffixes: Vec<String>,
    instead: Option<Predicate>,
}

impl std::fmt::Debug for TrustedEndpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustedEndpoints")
            .field("hosts", &self.hosts)
            .field("suffixes", &self.suffixes)
            .field("overridden", &self.instead.is_some())
            .finish()
    }
}

impl TrustedEndpoints {
    /// The well-known hosts and no others.
    pub fn well_known() -> Self {
        Self::default()
    }

    /// Adds one host, or with a leading dot every host below a domain.
    #[must_use]
    pub fn with(mut self, host: &str) -> Self {
        let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
        if host.starts_with('.') {
            self.suffixes.push(host)
        } else {
            self.hosts.push(host)
        }
        self
    }

    /// Asks a rule of the caller's instead of the lists; it is given the host.
    #[must_use]
    pub fn only_if(mut self, rule: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.instead = Some(Arc::new(rule));
        self
    }

    /// Whether the caller's own additions or rule settle the matter for a host.
    fn settled(&self, endpoint: &Endpoint) -> Option<bool> {
        let host = endpoint.host();
        if let Some(rule) = &self.instead {
            return Some(rule(host));
        }
        (endpoint.is_loopback() || matches(host, &self.suffixes, &self.hosts)).then_some(true)
    }

    /// Whether the host is trusted in some cloud: asked before the host is asked which
    /// cloud it is in.
    pub(crate) fn allow_metadata(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let known = self.settled(endpoint).unwrap_or_else(|| {
            CLOUDS.iter().any(|cloud| matches(endpoint.host(), cloud.suffixes, cloud.hosts))
        });
        if known { Ok(()) } else { Err(untrusted(endpoint)) }
    }

    /// Whether a token of the cloud with this login address may go to the host.
    pub(crate) fn allow_token(&self, endpoint: &Endpoint, login: &str) -> Result<(), Error> {
        let login = login.trim_end_matches('/');
        let known = self.settled(endpoint).unwrap_or_else(|| {
            CLOUDS.iter().any(|cloud| {
                cloud.login.eq_ignore_ascii_case(login)
                    && matches(endpoint.host(), cloud.suffixes, cloud.hosts)
            })
        });
        if known { Ok(()) } else { Err(untrusted(endpoint)) }
    }
}

fn untrusted(endpoint: &Endpoint) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!(
            "no token is sent to {}: it is no well-known Kusto host; if you trust it, add it with TrustedEndpoints::with",
            endpoint.host()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "https://login.microsoftonline.com";

    fn allowed(trusted: &TrustedEndpoints, url: &str, login: &str) -> bool {
        let endpoint = Endpoint::parse(url).unwrap();
        trusted.allow_token(&endpoint, login).is_ok()
    }

    #[test]
    fn tokens_go_to_known_hosts_of_their_cloud_only() {
        let trusted = TrustedEndpoints::well_known();
        for (url, login, expected) in [
            ("https://ingest-c.region.kusto.windows.net", PUBLIC, true),
            ("https://C.KUSTO.WINDOWS.NET:443", PUBLIC, true),
            ("https://x.z1.kusto.fabric.microsoft.com", PUBLIC, true),
            ("https://ade.loganalytics.io", PUBLIC, true),
            ("https://kusto.windows.net", PUBLIC, false),
            ("https://evilkusto.windows.net", PUBLIC, false),
            ("https://c.kusto.windows.net.evil.com", PUBLIC, false),
            ("https://c.kusto.chinacloudapi.cn", PUBLIC, false),
            ("https://c.kusto.chinacloudapi.cn", "https://login.partner.microsoftonline.cn/", true),
            ("https://c.kusto.windows.net", "https://login.evil.com", false),
            ("http://localhost:8080", PUBLIC, true),
            ("http://[::1]", PUBLIC, true),
            ("https://10.0.0.1", PUBLIC, false),
        ] {
            assert_eq!(allowed(&trusted, url, login), expected, "{url} {login}");
        }
    }

    #[test]
    fn callers_add_and_override() {
        let added = TrustedEndpoints::well_known().with("kusto.example.com").with(".corp.example.com");
        assert!(allowed(&added, "https://kusto.example.com", PUBLIC));
        assert!(allowed(&added, "https://a.corp.example.com", PUBLIC));
        assert!(!allowed(&added, "https://a.kusto.example.com", PUBLIC));
        assert!(!allowed(&added, "https://corp.example.com", PUBLIC));
        let none = TrustedEndpoints::well_known().only_if(|host| host == "one");
        assert!(allowed(&none, "https://one", PUBLIC));
        assert!(!allowed(&none, "https://c.kusto.windows.net", PUBLIC));
        assert!(!allowed(&none, "http://localhost", PUBLIC));
    }
}
