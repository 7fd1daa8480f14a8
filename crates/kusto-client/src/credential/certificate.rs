//! The signed assertion that an application with a certificate sends instead of a
//! secret: a JWT with PS256, the SHA-256 thumbprint and, when asked for, the chain.

use crate::{Error, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether the certificate chain goes along with the assertion: needed where the
/// application trusts a subject name and issuer rather than one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainSending {
    /// Only the thumbprint.
    Omitted,
    /// The chain too (`x5c`).
    Sent,
}

/// A certificate with its key.
pub(crate) struct Certificate {
    key: RsaKeyPair,
    /// The leaf first.
    chain: Vec<CertificateDer<'static>>,
    sending: ChainSending,
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

impl Certificate {
    /// Reads PEM text with at least one certificate and an RSA private key.
    pub(crate) fn read(pem: &[u8], sending: ChainSending) -> Result<Self, Error> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong("the certificates of the PEM text cannot be read").caused_by(error))?;
        if chain.is_empty() {
            return Err(wrong("the PEM text has no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| wrong("the PEM text has no unencrypted private key").caused_by(error))?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(wrong("the private key is not an RSA key")),
        };
        let key = pair.map_err(|_| wrong("the private key is not a usable RSA key (2048 to 4096 bits)"))?;
        Ok(Self { key, chain, sending })
    }

    /// A signed assertion for a token endpoint, good for ten minutes.
    pub(crate) fn assertion(&self, audience: &str, client_id: &str) -> Result<SecretString, Error> {
        let leaf = self.chain.first().ok_or_else(|| wrong("there is no certificate"))?;
        let thumbprint = ring::digest::digest(&ring::digest::SHA256, leaf);
        let mut header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint),
        });
        if self.sending == ChainSending::Sent {
            header["x5c"] = self.chain.iter().map(|der| Value::from(STANDARD.encode(der))).collect();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0);
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": uuid::Uuid::new_v4().to_string(),
            "nbf": now.saturating_sub(300),
            "exp": now + 600,
        });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Error::new(ErrorKind::Source, "the assertion cannot be signed"))?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
