//! Shared access signatures: `se` (expiry), `sp` (permissions) and an HMAC over both
//! and the resource, checked whatever the order of the query's parameters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use kusto_types::{DateTime, TICKS_PER_DAY};
use sha2::Sha256;
use std::collections::HashMap;

/// The version that signatures and storage answers name.
pub(crate) const VERSION: &str = "2025-07-05";

/// Signs and checks with the install's key.
#[derive(Clone)]
pub(crate) struct Signer {
    key: Vec<u8>,
}

impl Signer {
    pub(crate) fn new(key: Vec<u8>) -> Self {
        Self { key }
    }

    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        // INVARIANT: HMAC takes a key of any length.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key)
            .unwrap_or_else(|_| unreachable!("any key length"));
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        mac
    }

    /// The signature of some texts.
    pub(crate) fn sign(&self, parts: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(parts).finalize().into_bytes())
    }

    /// Whether a signature is that of these texts, in constant time.
    pub(crate) fn verify(&self, parts: &[&str], signature: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')) else { return false };
        self.mac(parts).verify_slice(&bytes).is_ok()
    }

    /// A query that grants `permissions` on a resource (`blob/container`,
    /// `queue/name`, `table/name`) for two days.
    pub(crate) fn grant(&self, resource: &str, permissions: &str) -> String {
        let expiry =
            DateTime::from_ticks(DateTime::now().ticks() + 2 * TICKS_PER_DAY).unwrap_or_else(DateTime::now);
        let expiry = format!("{}Z", &expiry.to_string()[..19]);
        let signature = self.sign(&["sas", resource, permissions, &expiry]);
        format!("sv={VERSION}&se={}&sp={permissions}&sig={signature}", expiry.replace(':', "%3A"))
    }

    /// Whether a query's parameters grant `permission` on a resource.
    pub(crate) fn allows(&self, resource: &str, permission: char, query: &HashMap<String, String>) -> bool {
        let (Some(expiry), Some(permissions), Some(signature)) =
            (query.get("se"), query.get("sp"), query.get("sig"))
        else {
            return false;
        };
        permissions.contains(permission)
            && self.verify(&["sas", resource, permissions, expiry], signature)
            && DateTime::parse(expiry).is_some_and(|expiry| expiry > DateTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_hold_for_their_resource_permission_and_key_only() {
        let signer = Signer::new(vec![1; 32]);
        let query =
            |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<HashMap<_, _>>();
        let grant = query(&signer.grant("blob/c", "rw"));
        assert!(signer.allows("blob/c", 'w', &grant));
        assert!(!signer.allows("blob/d", 'w', &grant));
        assert!(!signer.allows("blob/c", 'd', &grant));
        assert!(!Signer::new(vec![2; 32]).allows("blob/c", 'w', &grant));
        let mut late = grant.clone();
        late.insert("se".into(), "2020-01-01T00:00:00Z".into());
        assert!(!signer.allows("blob/c", 'w', &late));
        let mut wide = grant;
        wide.insert("sp".into(), "rwd".into());
        assert!(!signer.allows("blob/c", 'd', &wide));
    }
}
