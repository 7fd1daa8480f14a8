//! Who is granted something (`aadapp=...;tenant`), and who calls.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The kinds of identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum PrincipalKind {
    /// `aaduser=`
    #[serde(rename = "aaduser")]
    User,
    /// `aadapp=`: an application or a managed identity.
    #[serde(rename = "aadapp")]
    App,
    /// `aadgroup=`
    #[serde(rename = "aadgroup")]
    Group,
    /// `msauser=`
    #[serde(rename = "msauser")]
    MicrosoftAccount,
}

impl PrincipalKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::User => "aaduser",
            Self::App => "aadapp",
            Self::Group => "aadgroup",
            Self::MicrosoftAccount => "msauser",
        }
    }

    /// As `.show ... principals` names it.
    pub(crate) fn display(self) -> &'static str {
        match self {
            Self::User => "Microsoft Entra user",
            Self::App => "Microsoft Entra application",
            Self::Group => "Microsoft Entra group",
            Self::MicrosoftAccount => "Microsoft account",
        }
    }
}

/// A fully qualified name that is no principal's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no principal: aaduser=NAME, aadapp=ID;TENANT or aadgroup=ID;TENANT is expected")]
pub struct PrincipalError(String);

/// A principal as grants name it: kind, name or id, and the tenant when it is said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    kind: PrincipalKind,
    /// A user principal name, an object id, an application id or a name.
    id: String,
    tenant: Option<String>,
}

impl Principal {
    /// Reads `aaduser=jane@contoso.com`, `aadapp={id};{tenant}`, `aadgroup={id};{tenant}`
    /// or `msauser=name`; kinds are written in any case.
    ///
    /// # Errors
    /// When the text is none of these.
    pub fn parse(text: &str) -> Result<Self, PrincipalError> {
        let wrong = || PrincipalError(text.to_owned());
        let (kind, name) = text.trim().split_once('=').ok_or_else(wrong)?;
        let kind = match kind.trim().to_ascii_lowercase().as_str() {
            "aaduser" => PrincipalKind::User,
            "aadapp" => PrincipalKind::App,
            "aadgroup" => PrincipalKind::Group,
            "msauser" => PrincipalKind::MicrosoftAccount,
            _ => return Err(wrong()),
        };
        let (id, tenant) = match name.split_once(';') {
            Some((id, tenant)) => (id.trim(), Some(tenant.trim()).filter(|tenant| !tenant.is_empty())),
            None => (name.trim(), None),
        };
        if id.is_empty() {
            return Err(wrong());
        }
        Ok(Self { kind, id: id.to_owned(), tenant: tenant.map(str::to_owned) })
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Its name or id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The same for two spellings of one principal.
    pub(crate) fn key(&self) -> String {
        self.to_string().to_lowercase()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind.prefix(), self.id)?;
        match &self.tenant {
            Some(tenant) => write!(f, ";{tenant}"),
            None => Ok(()),
        }
    }
}

/// Who calls: everything that a grant may know them by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Caller {
    /// The one that is shown and that becomes the admin of what it creates.
    pub(crate) principal: Principal,
    /// Other names and ids of the same identity.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// Object ids of its groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Whether nobody was asked who this is.
    #[serde(default)]
    pub(crate) anonymous: bool,
}

impl Caller {
    /// Someone on this machine, where no identity is asked for.
    pub(crate) fn anonymous() -> Self {
        Self {
            principal: Principal {
                kind: PrincipalKind::User,
                id: "anonymous".to_owned(),
                tenant: Some("local".to_owned()),
            },
            also: Vec::new(),
            groups: Vec::new(),
            anonymous: true,
        }
    }

    /// A principal that is known by one name.
    pub(crate) fn of(principal: Principal) -> Self {
        Self { principal, also: Vec::new(), groups: Vec::new(), anonymous: false }
    }

    /// Whether a grant to this principal is one to the caller. A tenant that either side
    /// leaves out is any.
    pub(crate) fn is(&self, granted: &Principal) -> bool {
        let same_tenant = match (&granted.tenant, &self.principal.tenant) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => true,
        };
        if !same_tenant || self.anonymous {
            return false;
        }
        let known = |ids: &[String]| ids.iter().any(|id| id.eq_ignore_ascii_case(&granted.id));
        match (granted.kind, self.principal.kind) {
            (PrincipalKind::Group, _) => known(&self.groups),
            (PrincipalKind::App, PrincipalKind::App)
            | (
                PrincipalKind::User | PrincipalKind::MicrosoftAccount,
                PrincipalKind::User | PrincipalKind::MicrosoftAccount,
            ) => granted.id.eq_ignore_ascii_case(&self.principal.id) || known(&self.also),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(text: &str) -> Principal {
        Principal::parse(text).unwrap()
    }

    #[test]
    fn names_read_and_print() {
        for (text, printed) in [
            ("aaduser=jane@contoso.com", "aaduser=jane@contoso.com"),
            (" AadApp = 1a2b ; contoso.com ", "aadapp=1a2b;contoso.com"),
            ("aadgroup=Team;", "aadgroup=Team"),
            ("msauser=x@live.com", "msauser=x@live.com"),
        ] {
            assert_eq!(principal(text).to_string(), printed, "{text}");
        }
        for text in ["", "jane", "aaduser=", "aaduser=;t", "role=x", "="] {
            assert!(Principal::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn callers_are_known_by_each_of_their_names_in_their_tenant() {
        let caller = Caller {
            also: vec!["OID-1".to_owned()],
            groups: vec!["g1".to_owned()],
            ..Caller::of(principal("aaduser=jane@contoso.com;t1"))
        };
        for (grant, expected) in [
            ("aaduser=JANE@contoso.com", true),
            ("aaduser=oid-1;T1", true),
            ("aaduser=oid-1;t2", false),
            ("aadgroup=g1;t1", true),
            ("aadgroup=g2;t1", false),
            ("aadapp=oid-1;t1", false),
            ("aaduser=john@contoso.com", false),
        ] {
            assert_eq!(caller.is(&principal(grant)), expected, "{grant}");
        }
        assert!(!Caller::anonymous().is(&principal("aaduser=anonymous")));
    }
}
