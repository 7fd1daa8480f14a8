//! Uploads to what the service hands out: containers of the v1 resources or of the v2
//! configuration, or lake folders where the service or the caller prefers them.

use super::{Place, Places};
use crate::resources::Service;
use crate::{Error, KustoClient};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// The scope of tokens for Azure Storage and OneLake.
const STORAGE_SCOPE: &str = "https://storage.azure.com/.default";

/// Which of the service's two kinds of storage is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UploadMethod {
    /// What the service prefers; the only kind when it offers one.
    #[default]
    Default,
    /// Blob containers.
    Storage,
    /// Lake folders.
    Lake,
}

/// The service's own storage.
pub(crate) struct ManagedUploader {
    pub(crate) service: Arc<Service>,
    pub(crate) client: KustoClient,
    pub(crate) method: UploadMethod,
}

impl Places for ManagedUploader {
    fn places(&self) -> BoxFuture<'_, Result<Vec<Place>, Error>> {
        Box::pin(self.service.places(self.method))
    }

    fn note(&self, place: &Place, succeeded: bool) {
        self.service.note(place.url(), succeeded);
    }

    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.service.expire().await;
            true
        })
    }

    fn lake_token(&self) -> BoxFuture<'_, Result<Option<secrecy::SecretString>, Error>> {
        Box::pin(self.client.token_for_scope(STORAGE_SCOPE))
    }
}
