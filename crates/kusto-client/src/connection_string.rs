//! Kusto connection strings: `Data Source=https://...;Application Client Id=...;...`.
//! Every keyword and alias of the official clients, values with `=`, quoted values, a
//! trailing `;`. Grammar: "Kusto connection strings" of the public documentation.

use crate::{Endpoint, Error, ErrorKind};
use secrecy::SecretString;
use std::fmt;

/// A keyword, whichever alias it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Keyword {
    /// `Data Source`: the cluster URL.
    DataSource,
    /// `Initial Catalog`: the default database.
    InitialCatalog,
    /// `AAD Federated Security`: whether Entra is used.
    FederatedSecurity,
    /// `User ID`
    UserId,
    /// `Password`
    Password,
    /// `Application Client Id`
    ApplicationClientId,
    /// `Application Key`: a client secret.
    ApplicationKey,
    /// `Application Certificate Blob` or `... PrivateKey`: PEM.
    ApplicationCertificateBlob,
    /// `Application Certificate Thumbprint`
    ApplicationCertificateThumbprint,
    /// `Application Certificate SendX5c`: whether the chain is sent.
    ApplicationCertificateSendChain,
    /// `Application Certificate Issuer Distinguished Name`
    ApplicationCertificateIssuer,
    /// `Application Certificate Subject Distinguished Name`
    ApplicationCertificateSubject,
    /// `Authority Id`: the tenant.
    AuthorityId,
    /// `Application Token`
    ApplicationToken,
    /// `User Token`
    UserToken,
    /// `Application Name for Tracing`
    ApplicationNameForTracing,
    /// `User Name for Tracing`
    UserNameForTracing,
    /// `Client Version for Tracing`
    ClientVersionForTracing,
    /// `Azure Region`
    AzureRegion,
    /// `Query Consistency`
    QueryConsistency,
    /// `Namespace`
    Namespace,
    /// `Data Source Uri`
    DataSourceUri,
    /// `dSTS Federated Security`
    DstsFederatedSecurity,
    /// `Streaming`
    Streaming,
    /// `Uncompressed`
    Uncompressed,
    /// `EnforceMfa`
    EnforceMfa,
    /// `Accept`
    Accept,
}

/// What the library does with a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It changes what is done.
    Honoured,
    /// It tunes what this client always or never does; its value changes nothing.
    NoEffect,
    /// It asks for something that this library does not have: an error.
    Unsupported,
}

impl Keyword {
    /// Canonical name and aliases, as the official clients list them. Names are compared
    /// in lower case without spaces.
    const ALL: &[(Self, Use, &str, &[&str])] = &[
        (Self::DataSource, Use::Honoured, "Data Source", &["server", "addr", "address", "networkaddress"]),
        (Self::InitialCatalog, Use::Honoured, "Initial Catalog", &["database"]),
        (
            Self::FederatedSecurity,
            Use::Honoured,
            "AAD Federated Security",
            &["federatedsecurity", "aadfed", "fed", "federated", "microsoftentraid"],
        ),
        (Self::UserId, Use::Honoured, "User ID", &["user", "uid", "loginhint", "aaduserid"]),
        (Self::Password, Use::Honoured, "Password", &["pwd"]),
        (Self::ApplicationClientId, Use::Honoured, "Application Client Id", &["appclientid"]),
        (Self::ApplicationKey, Use::Honoured, "Application Key", &["appkey"]),
        (
            Self::ApplicationCertificateBlob,
            Use::Honoured,
            "Application Certificate Blob",
            &["applicationcertificateprivatekey"],
        ),
        (
            Self::ApplicationCertificateThumbprint,
            Use::Honoured,
            "Application Certificate Thumbprint",
            &["appcert"],
        ),
        (
            Self::ApplicationCertificateSendChain,
            Use::Honoured,
            "Application Certificate SendX5c",
            &[
                "applicationcertificatex5c",
                "sendx5c",
                "applicationcertificatesendpubliccertificate",
                "sendcertificatechain",
            ],
        ),
        (
            Self::ApplicationCertificateIssuer,
            Use::Unsupported,
            "Application Certificate Issuer Distinguished Name",
            &["applicationcertificateissuer"],
        ),
        (
            Self::ApplicationCertificateSubject,
            Use::Unsupported,
            "Application Certificate Subject Distinguished Name",
            &["applicationcertificatesubject"],
        ),
        (
            Self::AuthorityId,
            Use::Honoured,
            "Authority Id",
            &["tenantid", "tid", "tenant", "authority", "domainhint"],
        ),
        (Self::ApplicationToken, Use::Honoured, "Application Token", &["apptoken"]),
        (Self::UserToken, Use::Honoured, "User Token", &["usrtoken"]),
        (Self::ApplicationNameForTracing, Use::Honoured, "Application Name for Tracing", &["traceappname"]),
        (Self::UserNameForTracing, Use::Honoured, "User Name for Tracing", &["traceusername"]),
        (Self::ClientVersionForTracing, Use::Honoured, "Client Version for Tracing", &["traceclientversion"]),
        (Self::AzureRegion, Use::NoEffect, "Azure Region", &["region"]),
        (Self::QueryConsistency, Use::NoEffect, "Query Consistency", &[]),
        (Self::Namespace, Use::Unsupported, "Namespace", &["ns"]),
        (Self::DataSourceUri, Use::Unsupported, "Data Source Uri", &["serveruri", "clusteruri"]),
        (
            Self::DstsFederatedSecurity,
            Use::Unsupported,
            "dSTS Federated Security",
            &["dstsfed", "dststokentype"],
        ),
        (Self::Streaming, Use::NoEffect, "Streaming", &[]),
        (Self::Uncompressed, Use::NoEffect, "Uncompressed", &[]),
        (Self::EnforceMfa, Use::NoEffect, "EnforceMfa", &[]),
        (Self::Accept, Use::NoEffect, "Accept", &[]),
    ];

    /// Reads a keyword or an alias; case and spaces do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let folded: String =
            text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
        Self::ALL
            .iter()
            .find(|(_, _, name, aliases)| {
                let canonical: String =
                    name.chars().filter(|c| *c != ' ').flat_map(char::to_lowercase).collect();
                canonical == folded || aliases.contains(&folded.as_str())
            })
            .map(|(keyword, ..)| *keyword)
    }

    fn entry(self) -> (Use, &'static str) {
        Self::ALL
            .iter()
            .find(|(keyword, ..)| *keyword == self)
            .map_or((Use::Unsupported, "?"), |(_, use_, name, _)| (*use_, name))
    }

    /// The canonical spelling.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Password
                | Self::ApplicationKey
                | Self::ApplicationCertificateBlob
                | Self::ApplicationToken
                | Self::UserToken
        )
    }
}

/// What a connection string says. `Debug` hides secrets.
#[derive(Clone)]
pub struct ConnectionString {
    endpoint: Endpoint,
    values: Vec<(Keyword, String)>,
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_map();
        for (keyword, value) in &self.values {
            shown.entry(&keyword.name(), if keyword.is_secret() { &"[redacted]" } else { value });
        }
        shown.finish()
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Cuts `name=value;...` into pairs. A value in `"` or `'` may hold `;`, and the quote
/// itself when doubled; a bare one ends at `;` and may hold `=`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return Ok(pairs);
        }
        let end = rest.find(['=', ';']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_owned();
        if !rest[end..].starts_with('=') {
            // Only a leading URL may stand without a name.
            if pairs.is_empty() {
                pairs.push(("Data Source".to_owned(), name));
                rest = &rest[end..];
                continue;
            }
            // Not shown: it may be the tail of a secret that holds a `;`.
            return Err(usage(
                "the connection string has a part without a value; write name=value pairs separated by ; and quote values that hold one",
            ));
        }
        let after = rest[end + 1..].trim_start();
        match after.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => {
                let mut value = String::new();
                let mut characters = after.char_indices().skip(1).peekable();
                let closed = loop {
                    match characters.next() {
                        Some((_, c)) if c == quote => match characters.peek() {
                            Some((_, next)) if *next == quote => {
                                characters.next();
                                value.push(quote);
                            }
                            _ => break characters.peek().map_or(after.len(), |(at, _)| *at),
                        },
                        Some((_, c)) => value.push(c),
                        None => {
                            return Err(usage(format!(
                                "the value of {name:?} in the connection string has no closing quote"
                            )));
                        }
                    }
                };
                rest = after[closed..].trim_start();
                if !rest.is_empty() && !rest.starts_with(';') {
                    return Err(usage(format!(
                        "the connection string has text behind the quoted value of {name:?}; end it with ;"
                    )));
                }
                pairs.push((name, value));
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                pairs.push((name, after[..end].trim_end().to_owned()));
                rest = &after[end..];
            }
        }
    }
}

fn boolean(keyword: Keyword, text: &str) -> Result<bool, Error> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(usage(format!("{} in the connection string is true or false", keyword.name()))),
    }
}

impl ConnectionString {
    /// Reads a connection string, or a bare cluster URL. One path segment behind the host
    /// names the database. Unknown keywords, keywords twice and keywords that this library
    /// cannot honour are errors. No error shows a value.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut values: Vec<(Keyword, String)> = Vec::new();
        for (name, value) in pairs(text)? {
            let keyword = Keyword::parse(&name)
                .ok_or_else(|| usage(format!("{name:?} is no keyword of a Kusto connection string")))?;
            if keyword.entry().0 == Use::Unsupported {
                return Err(usage(format!("{} is not supported by this library", keyword.name())));
            }
            if values.iter().any(|(known, _)| *known == keyword) {
                return Err(usage(format!("{} stands twice in the connection string", keyword.name())));
            }
            values.push((keyword, value));
        }
        let source = values
            .iter()
            .find(|(keyword, _)| *keyword == Keyword::DataSource)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| usage("the connection string has no Data Source"))?;
        let (endpoint, database) = Endpoint::parse_with_database(&source)?;
        if let Some(database) = database {
            if values.iter().any(|(keyword, _)| *keyword == Keyword::InitialCatalog) {
                return Err(usage("the database is given twice: in the URL and as Initial Catalog"));
            }
            values.push((Keyword::InitialCatalog, database));
        }
        let parsed = Self { endpoint, values };
        for keyword in [Keyword::FederatedSecurity, Keyword::ApplicationCertificateSendChain] {
            if let Some(value) = parsed.get(keyword) {
                boolean(keyword, value)?;
            }
        }
        Ok(parsed)
    }

    /// The cluster.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The default database.
    pub fn database(&self) -> Option<&str> {
        self.get(Keyword::InitialCatalog)
    }

    /// The tenant.
    pub fn authority(&self) -> Option<&str> {
        self.get(Keyword::AuthorityId)
    }

    /// A value that is no secret.
    pub fn get(&self, keyword: Keyword) -> Option<&str> {
        self.values
            .iter()
            .find(|(known, value)| *known == keyword && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A secret value.
    pub fn secret(&self, keyword: Keyword) -> Option<SecretString> {
        self.get(keyword).map(|value| SecretString::from(value.to_owned()))
    }

    /// A boolean value; `false` when absent.
    pub fn is_on(&self, keyword: Keyword) -> bool {
        self.get(keyword).is_some_and(|value| boolean(keyword, value).unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads() {
        for (text, keyword, value) in [
            ("https://c.kusto.windows.net", Keyword::DataSource, "https://c.kusto.windows.net"),
            ("https://c.kusto.windows.net;Fed=true;", Keyword::FederatedSecurity, "true"),
            ("Data Source=https://c/;appkey=a==;AppClientId=x", Keyword::ApplicationKey, "a=="),
            ("addr=https://c; App Key = \"a;b\"\"c\" ; tid=t", Keyword::ApplicationKey, "a;b\"c"),
            ("server=https://c;pwd='it''s'", Keyword::Password, "it's"),
            ("https://c/MyDb", Keyword::InitialCatalog, "MyDb"),
            ("https://c;DATABASE=Other", Keyword::InitialCatalog, "Other"),
            ("https://c;domain hint=contoso.com", Keyword::AuthorityId, "contoso.com"),
            ("https://c;;SendX5c=True;;", Keyword::ApplicationCertificateSendChain, "True"),
        ] {
            let parsed = ConnectionString::parse(text).unwrap();
            assert_eq!(parsed.get(keyword), Some(value), "{text}");
        }
        for (_, use_, name, aliases) in Keyword::ALL {
            let keyword = Keyword::parse(name).unwrap();
            assert_eq!(keyword.name(), *name);
            for alias in *aliases {
                assert_eq!(Keyword::parse(alias), Some(keyword), "{alias}");
            }
            if *use_ == Use::Unsupported {
                assert!(ConnectionString::parse(&format!("https://c;{name}=x")).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn faults_are_named_and_values_are_not() {
        for (text, says) in [
            ("", "no Data Source"),
            ("appkey=SECRET", "no Data Source"),
            ("https://c;SECRET", "without a value"),
            ("https://c;colour=SECRET", "no keyword"),
            ("https://c;appkey=SECRET;Application Key=SECRET", "twice"),
            ("https://c;appkey=\"SECRET", "no closing quote"),
            ("https://c;appkey=\"SECRET\"SECRET", "text behind"),
            ("https://c/a;database=b", "given twice"),
            ("https://c;fed=SECRET", "true or false"),
            ("https://c;dstsfed=true", "not supported"),
        ] {
            let error = ConnectionString::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        let parsed = ConnectionString::parse("https://c;appkey=SECRET;usrtoken=SECRET").unwrap();
        assert!(!format!("{parsed:?}").contains("SECRET"));
    }
}
