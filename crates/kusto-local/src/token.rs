//! The identity token of `.get kusto identity token`: who asked for it, signed, with an
//! expiry; read when a message is taken off the queue, so that the queue gives nobody
//! more than the front door does.

use crate::access::Caller;
use crate::sas::Signer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kusto_types::{DateTime, TICKS_PER_DAY};

/// A token for a caller, good for a week, the life of a queue message.
pub(crate) fn issue(signer: &Signer, caller: &Caller) -> String {
    let expiry = DateTime::now().ticks() / 10_000_000 + 7 * TICKS_PER_DAY / 10_000_000;
    let expiry = expiry.to_string();
    let caller = URL_SAFE_NO_PAD.encode(serde_json::to_vec(caller).unwrap_or_default());
    let signature = signer.sign(&["identity", &expiry, &caller]);
    format!("kin1.{expiry}.{caller}.{signature}")
}

/// Whom the service issued a token to, if it did and the token has not expired.
pub(crate) fn verify(signer: &Signer, token: &str) -> Option<Caller> {
    let mut parts = token.split('.');
    let (Some("kin1"), Some(expiry), Some(caller), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let valid = signer.verify(&["identity", expiry, caller], signature)
        && expiry.parse::<i64>().is_ok_and(|expiry| expiry > DateTime::now().ticks() / 10_000_000);
    if !valid {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(caller).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_unexpired_tokens_pass() {
        let signer = Signer::new(vec![1; 32]);
        let caller = Caller::of(crate::Principal::parse("aadapp=one;t").unwrap());
        let token = issue(&signer, &caller);
        assert_eq!(verify(&signer, &token), Some(caller.clone()));
        assert_eq!(verify(&Signer::new(vec![2; 32]), &token), None);
        let other = issue(&signer, &Caller::of(crate::Principal::parse("aadapp=two;t").unwrap()));
        let parts: Vec<&str> = token.split('.').collect();
        let stolen = format!("{}.{}.{}.{}", parts[0], parts[1], other.split('.').nth(2).unwrap(), parts[3]);
        assert_eq!(verify(&signer, &stolen), None, "another's name under this signature");
        for wrong in ["", "kin1.99999999999999.AAAA", "kin1.99999999999999.AAAA.AAAA"] {
            assert_eq!(verify(&signer, wrong), None, "{wrong}");
        }
    }
}
