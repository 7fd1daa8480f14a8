//! The certificates of an install: an authority of its own, made at the first start and
//! kept in the data folder, issues one certificate for each name that a client asks for.
//! Whoever is to trust the service trusts the authority; its key never leaves the folder.

use crate::ServiceError;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Names whose certificates are kept; past that all are made anew.
const NAMES: usize = 256;

/// Issues certificates.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// Names that every certificate has, since some clients (Java's, for names without a
    /// dot) do not say whom they want.
    always: Vec<String>,
    /// The settings of each name that was asked for.
    served: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

fn unusable(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Certificate(error.to_string())
}

/// Days from today, as the certificates write them.
fn day(offset: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc() + time::Duration::days(offset)
}

/// What the authority says of itself; the same at every start, since its certificate is
/// not read back.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "kin local certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Where the authority's certificate is, in PEM.
pub(crate) fn certificate_file(data_dir: &Path) -> PathBuf {
    data_dir.join("tls").join("ca.pem")
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<(), ServiceError> {
    use std::io::Write as _;
    let temporary = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary).map_err(ServiceError::file(&temporary))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(ServiceError::file(&temporary))?;
    std::fs::rename(&temporary, path).map_err(ServiceError::file(path))
}

impl Authority {
    /// Reads the authority of a data folder, or makes it.
    pub(crate) fn open(data_dir: &Path, host_names: &[String]) -> Result<Self, ServiceError> {
        let (public, private) =
            (certificate_file(data_dir), certificate_file(data_dir).with_file_name("ca.key"));
        let folder = data_dir.join("tls");
        std::fs::create_dir_all(&folder).map_err(ServiceError::file(&folder))?;
        // The key is written last: without it both are made anew.
        if !(public.exists() && private.exists()) {
            let key = KeyPair::generate().map_err(unusable)?;
            let mut params = authority_params();
            (params.not_before, params.not_after) = (day(-1), day(3650));
            let certificate = params.self_signed(&key).map_err(unusable)?;
            std::fs::write(&public, certificate.pem()).map_err(ServiceError::file(&public))?;
            write_private(&private, &key.serialize_pem())?;
        }
        let pem = std::fs::read(&public).map_err(ServiceError::file(&public))?;
        let key = std::fs::read_to_string(&private).map_err(ServiceError::file(&private))?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|error| unusable(format!("{}: {error}", public.display())))?;
        let key =
            KeyPair::from_pem(&key).map_err(|error| unusable(format!("{}: {error}", private.display())))?;
        let issuer = Issuer::new(authority_params(), key);
        let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let always = loopback.into_iter().chain(host_names.iter().cloned()).collect();
        Ok(Self { certificate, issuer, always, served: Mutex::default() })
    }

    /// The settings to answer a client with that asks for a name or an address.
    pub(crate) fn settings(&self, name: &str) -> Result<Arc<ServerConfig>, ServiceError> {
        let name = name.to_ascii_lowercase();
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = served.get(&name) {
            return Ok(settings.clone());
        }
        if served.len() >= NAMES {
            served.clear();
        }
        let settings = Arc::new(self.issue(&name)?);
        served.insert(name, settings.clone());
        Ok(settings)
    }

    fn issue(&self, name: &str) -> Result<ServerConfig, ServiceError> {
        let key = KeyPair::generate().map_err(unusable)?;
        let mut names = vec![name.to_owned()];
        names.extend(self.always.iter().filter(|other| *other != name).cloned());
        let mut params = CertificateParams::new(names).map_err(unusable)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kin");
        // Some clients refuse certificates of more than 825 days.
        (params.not_before, params.not_after) = (day(-1), day(820));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(unusable)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut settings = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone(), self.certificate.clone()], key)
            .map_err(unusable)?;
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_stays_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let _first = kusto_client::install_crypto_provider();
        let made = Authority::open(folder.path(), &[]).unwrap();
        let again = Authority::open(folder.path(), &[]).unwrap();
        assert_eq!(made.certificate, again.certificate);
        let one = made.settings("Localhost").unwrap();
        assert!(Arc::ptr_eq(&one, &made.settings("localhost").unwrap()));
        assert!(made.settings("näme").is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join("tls/ca.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(folder.path().join("tls/ca.key"), "no key").unwrap();
        let Err(error) = Authority::open(folder.path(), &[]) else { panic!("a broken key was taken") };
        assert!(error.to_string().contains("ca.key"), "{error}");
    }
}
