//! Uploads to containers of the caller's own, which the service must be able to read:
//! their signatures go along with each blob.

use super::{Place, Places};
use crate::ranking::Ranking;
use crate::{Error, ErrorKind, SecretUrl};
use futures_util::future::BoxFuture;
use std::sync::{Mutex, PoisonError};

/// Containers of the caller's, used in turns, healthy accounts first. Each URL carries a
/// signature (SAS) with the right to create and read.
#[derive(Debug)]
pub struct ContainerUploader {
    containers: Vec<SecretUrl>,
    ranking: Mutex<Ranking>,
}

impl ContainerUploader {
    /// Uploads to these containers.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(containers: impl IntoIterator<Item = SecretUrl>) -> Result<Self, Error> {
        let containers: Vec<SecretUrl> = containers.into_iter().collect();
        if containers.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "an uploader needs at least one container"));
        }
        Ok(Self { containers, ranking: Mutex::default() })
    }
}

impl Places for ContainerUploader {
    fn places(&self) -> BoxFuture<'_, Result<Vec<Place>, Error>> {
        let mut ranking = self.ranking.lock().unwrap_or_else(PoisonError::into_inner);
        let order = ranking.order(&self.containers, crate::resources::account);
        let places = order.into_iter().take(3).cloned().map(Place::Container).collect();
        Box::pin(async { Ok(places) })
    }

    fn note(&self, place: &Place, succeeded: bool) {
        let account = crate::resources::account(place.url());
        self.ranking.lock().unwrap_or_else(PoisonError::into_inner).note(&account, succeeded);
    }

    fn renew(&self) -> BoxFuture<'_, bool> {
        // The caller gave the signatures; nobody can renew them here.
        Box::pin(async { false })
    }

    fn lake_token(&self) -> BoxFuture<'_, Result<Option<secrecy::SecretString>, Error>> {
        Box::pin(async { Ok(None) })
    }
}
