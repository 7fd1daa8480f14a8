//! Which hosts the service reads sources from: whoever may ingest names a URL, and the
//! service fetches it from where it stands.

use std::sync::Arc;

/// The hosts that sources may be on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SourceHosts {
    /// Any host: for a service that only serves its own machine.
    #[default]
    Any,
    /// These, and with a leading dot every host below a domain.
    Only(Vec<String>),
}

/// Redirects that are followed for one source.
const REDIRECTS: usize = 5;

impl SourceHosts {
    /// The hosts of the well-known storage services, where a source's URL carries its own
    /// credential: for a service that other machines reach.
    pub fn well_known() -> Self {
        let suffixes = [
            ".core.windows.net",
            ".core.chinacloudapi.cn",
            ".core.usgovcloudapi.net",
            ".storage.azure.net",
            ".fabric.microsoft.com",
            ".amazonaws.com",
            ".storage.googleapis.com",
        ];
        Self::Only(suffixes.map(str::to_owned).to_vec())
    }

    /// The same hosts and one more.
    #[must_use]
    pub fn with(self, host: &str) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Only(mut hosts) => {
                hosts.push(host.trim().trim_end_matches('.').to_ascii_lowercase());
                Self::Only(hosts)
            }
        }
    }

    /// Whether a source may be on a host.
    pub(crate) fn allow(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::Only(hosts) => hosts.iter().any(|allowed| {
                if allowed.starts_with('.') { host.ends_with(allowed.as_str()) } else { host == *allowed }
            }),
        }
    }

    /// Follows a redirect only to a host that a source may be on itself.
    pub(crate) fn redirects(&self) -> reqwest::redirect::Policy {
        let hosts = Arc::new(self.clone());
        reqwest::redirect::Policy::custom(move |attempt| {
            let allowed = attempt.url().host_str().is_some_and(|host| hosts.allow(host));
            if !allowed {
                attempt.error("the redirect leads to a host that sources are not read from")
            } else if attempt.previous().len() > REDIRECTS {
                attempt.error("too many redirects")
            } else {
                attempt.follow()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_whole() {
        let hosts = SourceHosts::well_known().with("Data.Example.COM.").with(".corp");
        for (host, expected) in [
            ("account.blob.core.windows.net", true),
            ("ACCOUNT.blob.core.windows.net.", true),
            ("bucket.s3.eu-west-1.amazonaws.com", true),
            ("data.example.com", true),
            ("x.corp", true),
            ("corp", false),
            ("evilcore.windows.net", false),
            ("core.windows.net.evil.com", false),
            ("more.data.example.com", false),
            ("169.254.169.254", false),
            ("localhost", false),
            ("", false),
        ] {
            assert_eq!(hosts.allow(host), expected, "{host}");
        }
        assert!(SourceHosts::Any.with("x").allow("169.254.169.254"));
    }
}
