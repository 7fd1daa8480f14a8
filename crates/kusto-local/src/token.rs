//! The identity token of `.get kusto identity token`: signed, with an expiry, checked
//! when a message is taken off the queue.

use crate::sas::Signer;
use kusto_types::{DateTime, TICKS_PER_DAY};

/// A token good for a week, the life of a queue message.
pub(crate) fn issue(signer: &Signer) -> String {
    let expiry = DateTime::now().ticks() / 10_000_000 + 7 * TICKS_PER_DAY / 10_000_000;
    let expiry = expiry.to_string();
    let signature = signer.sign(&["identity", &expiry]);
    format!("kin1.{expiry}.{signature}")
}

/// Whether the service issued a token and it has not expired.
pub(crate) fn verify(signer: &Signer, token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some("kin1"), Some(expiry), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    signer.verify(&["identity", expiry], signature)
        && expiry.parse::<i64>().is_ok_and(|expiry| expiry > DateTime::now().ticks() / 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_unexpired_tokens_pass() {
        let signer = Signer::new(vec![1; 32]);
        let token = issue(&signer);
        assert!(verify(&signer, &token));
        assert!(!verify(&Signer::new(vec![2; 32]), &token));
        assert!(!verify(&signer, "kin1.99999999999999.AAAA"));
        assert!(!verify(&signer, ""));
    }
}
