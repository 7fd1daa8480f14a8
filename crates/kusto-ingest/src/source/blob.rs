//! Sources that the service reads itself, and the credentials that their URLs carry.

use crate::{Error, ErrorKind, SecretUrl};
use kusto_types::{Compression, DataFormat, SourceId};

/// A blob, file or object that the service reads by URL. The URL may carry its
/// credential as Kusto's storage connection strings do:
///
/// | storage | credential |
/// |---|---|
/// | Azure Blob, Data Lake, OneLake | `?{SAS}`, `;{account key}`, `;sharedkey={key}`, `;token={Entra token}`, `;managed_identity=system`, `;managed_identity={object id}`, `;impersonate` |
/// | S3 | a presigned URL, `;AwsCredentials={id},{secret}` |
/// | other http(s) | none, or what the URL holds |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub(crate) url: SecretUrl,
    pub(crate) id: Option<SourceId>,
    pub(crate) raw_size: Option<u64>,
}

impl Blob {
    /// A blob by its URL.
    pub fn new(url: impl Into<SecretUrl>) -> Self {
        Self { url: url.into(), id: None, raw_size: None }
    }

    /// The same blob, read with an identity of the cluster: `system`, or an object id.
    #[must_use]
    pub fn with_managed_identity(self, identity: &str) -> Self {
        let url = SecretUrl::new(format!("{};managed_identity={identity}", self.url.with_secrets()));
        Self { url, ..self }
    }

    /// The same blob, read with the identity of the one who ingests.
    #[must_use]
    pub fn with_impersonation(self) -> Self {
        let url = SecretUrl::new(format!("{};impersonate", self.url.with_secrets()));
        Self { url, ..self }
    }

    /// The same blob under this id, where several are one operation.
    #[must_use]
    pub fn with_id(mut self, id: SourceId) -> Self {
        self.id = Some(id);
        self
    }

    /// The same blob with its uncompressed bytes said: the service need not ask storage.
    #[must_use]
    pub fn with_raw_size(mut self, bytes: u64) -> Self {
        self.raw_size = Some(bytes);
        self
    }

    /// The format that the URL's path tells.
    pub(crate) fn named_format(&self) -> Option<DataFormat> {
        DataFormat::from_path(&self.url.without_secrets())
    }

    pub(crate) fn compression(&self) -> Compression {
        Compression::from_path(&self.url.without_secrets())
    }

    /// Refuses what cannot be a storage URL, before anything is sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let plain = self.url.without_secrets();
        let known = ["https://", "http://", "abfss://", "adl://"]
            .iter()
            .any(|scheme| plain.len() > scheme.len() && plain.to_ascii_lowercase().starts_with(scheme));
        if known {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Usage,
            format!("{plain:?} is no URL that the service can read; https, http, abfss and adl are"),
        ))
    }
}
