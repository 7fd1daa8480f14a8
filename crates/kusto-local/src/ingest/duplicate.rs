//! `.dup-next-ingest`: copies of the files that an ingestion reads, and what it was asked, in a
//! container of the caller's. Asked for once, kept in memory, served by the next ingestion of
//! the table from storage, queued or direct.

use super::fetch::{self, Fetched};
use super::listing::Place;
use crate::ServiceError;
use crate::state::State;
use crate::store::blobs;
use kusto_kql::Duplicated;
use kusto_wire::{AdditionalProperties, SecretUrl};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Most requests that wait at once: a further one takes the place of the oldest.
const MOST: usize = 100;

/// A request for copies.
#[derive(Clone)]
pub(crate) struct Wanted {
    database: String,
    table: String,
    which: Duplicated,
    container: SecretUrl,
    /// Where in the container they go.
    folder: String,
}

impl Wanted {
    /// Where the copies go, without a secret.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.container.without_secrets().trim_end_matches('/'), self.folder)
    }

    /// Where the request goes.
    pub(crate) fn command_path(&self) -> String {
        format!("{}/command.json", self.path())
    }
}

/// The requests that wait.
#[derive(Default)]
pub(crate) struct Duplicates(Mutex<Vec<Wanted>>);

/// A source that an ingestion reads.
pub(crate) struct Original {
    /// Where it is, without a secret.
    pub(crate) location: String,
    pub(crate) file: Arc<Fetched>,
}

impl Duplicates {
    /// Notes a request; where its copies will be.
    pub(crate) fn want(
        &self,
        (database, table): (&str, &str),
        which: Duplicated,
        container: SecretUrl,
    ) -> Wanted {
        let folder = format!("{table}/{}", uuid::Uuid::new_v4());
        let (database, table) = (database.to_owned(), table.to_owned());
        let wanted = Wanted { database, table, which, container, folder };
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MOST {
            waiting.remove(0);
        }
        waiting.push(wanted.clone());
        wanted
    }

    /// Takes the requests that an ingestion of a table serves, by whether it failed.
    fn take(&self, database: &str, table: &str, failed: bool) -> Vec<Wanted> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = |wanted: &Wanted| {
            wanted.database == database
                && wanted.table == table
                && (failed || wanted.which == Duplicated::Next)
        };
        let (taken, left) = waiting.drain(..).partition(serves);
        *waiting = left;
        taken
    }

    /// Whether anybody waits for an ingestion of a table, so that its files are kept.
    pub(crate) fn waits_for(&self, database: &str, table: &str) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().any(|wanted| wanted.database == database && wanted.table == table)
    }
}

/// Writes what an ingestion read to where it was asked for. The ingestion itself is done, so
/// that a fault here is only told.
pub(crate) async fn serve(
    state: &Arc<State>,
    (database, table): (&str, &str),
    properties: &AdditionalProperties,
    originals: &[Original],
    failure: Option<&str>,
) {
    // Whose token it was is nobody else's business.
    let properties = AdditionalProperties { authorization_context: None, ..properties.clone() };
    let properties = Value::Object(properties.to_json());
    for wanted in state.duplicates.take(database, table, failure.is_some()) {
        if let Err(error) = write(state, &wanted, &properties, originals, failure).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                place = wanted.path(),
                "an ingestion cannot be duplicated"
            );
        }
    }
}

async fn write(
    state: &Arc<State>,
    wanted: &Wanted,
    properties: &Value,
    originals: &[Original],
    failure: Option<&str>,
) -> Result<(), ServiceError> {
    let mut files = Vec::new();
    for (number, original) in originals.iter().enumerate() {
        let name = original.location.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("source");
        let name = format!("{}/{number}-{}", wanted.folder, crate::http::percent_decode(name));
        let length =
            std::fs::metadata(&original.file.path).map_err(ServiceError::file(&original.file.path))?.len();
        put(state, &wanted.container, &name, Body::File(original.file.path.clone(), length)).await?;
        files.push(json!({ "Source": original.location, "Copy": name }));
    }
    let command = json!({
        "Database": wanted.database, "Table": wanted.table, "IngestionProperties": properties, "Files": files,
        "Failure": failure,
    });
    let name = format!("{}/command.json", wanted.folder);
    put(state, &wanted.container, &name, Body::Text(command.to_string())).await
}

enum Body {
    /// A file and its length.
    File(PathBuf, u64),
    Text(String),
}

/// Puts a blob into a container, the service's own or another.
async fn put(state: &Arc<State>, container: &SecretUrl, name: &str, body: Body) -> Result<(), ServiceError> {
    let place = Place::parse(container)?;
    if let Some(own) = place.own() {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(place.query.as_bytes()).into_owned().collect();
        if !state.signer.allows(&format!("blob/{own}"), 'w', &query) {
            return Err(refused(container));
        }
        let name = format!("{}{name}", place.prefix);
        return crate::store::blocking(&state.store, move |store| {
            let file = blobs::new_file();
            let path = store.root.join("blobs").join(&file);
            let size = match &body {
                Body::File(original, _) => std::fs::copy(original, &path),
                Body::Text(text) => std::fs::write(&path, text).map(|()| text.len() as u64),
            }
            .and_then(|size| std::fs::File::open(&path)?.sync_all().map(|()| size))
            .map_err(ServiceError::file(&path))?;
            store.transact(|transaction| blobs::commit(transaction, own, &name, &[file], size))?;
            Ok(())
        })
        .await;
    }
    let url = place.blob(&format!("{}{name}", place.prefix));
    let parsed = url::Url::parse(url.with_secrets()).map_err(|_| refused(container))?;
    let host = parsed.host_str().unwrap_or_default();
    if !state.config.source_hosts.allow(host) {
        return Err(ServiceError::BadRequest(fetch::not_allowed(&url.to_string(), host)));
    }
    let request = state
        .http
        .put(parsed)
        .header("x-ms-blob-type", "BlockBlob")
        .header("x-ms-version", crate::sas::VERSION);
    let request = match body {
        Body::File(path, length) => {
            let file = tokio::fs::File::open(&path).await.map_err(ServiceError::file(&path))?;
            request.header("content-length", length).body(file)
        }
        Body::Text(text) => request.body(text),
    };
    let failed = |problem: String| ServiceError::Storage { place: url.without_secrets(), problem };
    let answer = request.send().await.map_err(|error| failed(error.without_url().to_string()))?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(failed(format!("it answered {}", answer.status())))
    }
}

fn refused(container: &SecretUrl) -> ServiceError {
    ServiceError::BadRequest(format!("the signature of {container} does not let blobs be written"))
}

/// Fails when copies could not be put into a container, before they are promised.
pub(crate) fn check(state: &State, container: &SecretUrl) -> Result<(), ServiceError> {
    let place = Place::parse(container)?;
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(place.query.as_bytes()).into_owned().collect();
    match place.own() {
        Some(own) if !state.signer.allows(&format!("blob/{own}"), 'w', &query) => Err(refused(container)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_served_once_by_what_it_waits_for() {
        let duplicates = Duplicates::default();
        let want = |table: &str, which| {
            duplicates.want(("D", table), which, SecretUrl::new("https://a.b.c/d?sig=x"));
        };
        want("T", Duplicated::Next);
        want("T", Duplicated::NextFailed);
        want("U", Duplicated::Next);
        assert!(duplicates.waits_for("D", "T") && !duplicates.waits_for("E", "T"));
        assert_eq!(duplicates.take("D", "T", false).len(), 1);
        assert_eq!(duplicates.take("D", "T", false).len(), 0);
        assert_eq!(duplicates.take("D", "T", true).len(), 1);
        assert!(!duplicates.waits_for("D", "T"));
        assert_eq!(duplicates.take("D", "U", true).len(), 1);
        for _ in 0..=MOST {
            want("V", Duplicated::Next);
        }
        assert_eq!(duplicates.take("D", "V", false).len(), MOST);
    }
}
