//! Finds the blobs that `.list blobs` means: in the service's own containers, or on a storage
//! service by List Blobs, with the credential of the locator.

use super::fetch;
use super::path_format::PathFormat;
use crate::ServiceError;
use crate::http::{http_date, percent_decode};
use crate::state::{CONTAINERS, State};
use crate::store::blobs;
use kusto_kql::BlobListing;
use kusto_types::DateTime;
use kusto_wire::SecretUrl;
use kusto_wire::storage::{BlobPage, ListedBlob, decode_blob_page};
use std::collections::HashMap;
use std::sync::Arc;

/// Most blobs of one command.
const MOST: u64 = 1_000_000;
/// Most bytes of a page of names.
const MAX_PAGE: usize = 64 * 1024 * 1024;

/// A blob that was found.
pub(crate) struct FoundBlob {
    /// Its URL, with the locator's credential.
    pub(crate) url: SecretUrl,
    pub(crate) size: u64,
    /// What its path says of the time that it was made.
    pub(crate) creation_time: Option<DateTime>,
}

/// A container, or the blobs of it that begin with some text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The container's URL without a query.
    container: String,
    /// How the names of the blobs begin.
    pub(crate) prefix: String,
    /// The credential.
    pub(crate) query: String,
}

fn wrong(message: String) -> ServiceError {
    ServiceError::BadData { code: "BadRequest_InvalidBlobUri".to_owned(), message }
}

impl Place {
    pub(crate) fn parse(url: &SecretUrl) -> Result<Self, ServiceError> {
        let no_container = || wrong(format!("{:?} names no container", url.without_secrets()));
        let parsed = url::Url::parse(url.with_secrets()).map_err(|_| no_container())?;
        let path = parsed.path().trim_start_matches('/');
        // An address and a name without a domain have the account in the path.
        let is_path_style = match parsed.host() {
            Some(url::Host::Domain(name)) => !name.contains('.'),
            _ => true,
        };
        let (account, path) = match is_path_style {
            true => path.split_once('/').map(|(account, path)| (format!("{account}/"), path)),
            false => Some((String::new(), path)),
        }
        .ok_or_else(no_container)?;
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        if container.is_empty() {
            return Err(no_container());
        }
        Ok(Self {
            container: format!("{}/{account}{container}", parsed.origin().ascii_serialization()),
            prefix: percent_decode(prefix),
            query: parsed.query().unwrap_or_default().to_owned(),
        })
    }

    /// The service's own container that this is, if it is one.
    pub(crate) fn own(&self) -> Option<&'static str> {
        let known = CONTAINERS.iter().find(|name| {
            let of_account = fetch::own_blob(&format!("{}/x", self.container));
            of_account.is_some_and(|(container, _)| container == **name)
        });
        known.copied()
    }

    /// The URL of a blob in it.
    pub(crate) fn blob(&self, name: &str) -> SecretUrl {
        let encoded: Vec<String> = name
            .split('/')
            .map(|part| {
                url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20")
            })
            .collect();
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        SecretUrl::new(format!("{}/{}{query}", self.container, encoded.join("/")))
    }
}

/// The blobs that a listing means, at most `most`; blocking.
pub(crate) fn list(
    state: &Arc<State>,
    listing: &BlobListing,
    most: Option<u64>,
) -> Result<Vec<FoundBlob>, ServiceError> {
    let format = match listing.path_format.as_slice() {
        [] => None,
        parts => Some(PathFormat::new(parts).map_err(ServiceError::BadRequest)?),
    };
    let limit = [listing.max_files, most].into_iter().flatten().min();
    let mut found = Vec::new();
    for locator in &listing.locators {
        let url = fetch::with_signature(&SecretUrl::new(locator.as_str())).map_err(wrong)?;
        let place = Place::parse(&url)?;
        let mut marker = String::new();
        loop {
            let page = page(state, &place, &marker)?;
            for blob in page.blobs {
                if listing.suffix.as_deref().is_some_and(|suffix| !blob.name.ends_with(suffix)) {
                    continue;
                }
                if limit.is_some_and(|limit| found.len() as u64 >= limit) {
                    return Ok(found);
                }
                if found.len() as u64 >= MOST {
                    return Err(ServiceError::BadRequest(format!(
                        "there are more than {MOST} blobs; name a narrower prefix, or give MaxFiles"
                    )));
                }
                found.push(FoundBlob {
                    creation_time: format.as_ref().and_then(|format| format.creation_time(&blob.name)),
                    url: place.blob(&blob.name),
                    size: blob.size,
                });
            }
            if page.next_marker.is_empty() {
                break;
            }
            marker = page.next_marker;
        }
    }
    Ok(found)
}

fn page(state: &Arc<State>, place: &Place, marker: &str) -> Result<BlobPage, ServiceError> {
    match place.own() {
        Some(container) => own_page(state, place, container, marker),
        None => tokio::runtime::Handle::current().block_on(remote_page(state, place, marker)),
    }
}

/// A page of a container of the service's own; the marker is the last name before it.
fn own_page(
    state: &State,
    place: &Place,
    container: &'static str,
    marker: &str,
) -> Result<BlobPage, ServiceError> {
    const PAGE: usize = 5000;
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(place.query.as_bytes()).into_owned().collect();
    if !state.signer.allows(&format!("blob/{container}"), 'l', &query) {
        return Err(ServiceError::BadData {
            code: "Download_Forbidden".to_owned(),
            message: format!(
                "the signature of {} does not let its blobs be listed; .create tempstorage gives one that does",
                place.container
            ),
        });
    }
    let found =
        state.store.read(|connection| blobs::list(connection, container, &place.prefix, marker, PAGE))?;
    let is_last = found.len() < PAGE;
    let blobs: Vec<ListedBlob> = found
        .into_iter()
        .map(|(name, blob)| ListedBlob {
            name,
            size: blob.size,
            modified: http_date(blob.modified),
            etag: blob.etag,
        })
        .collect();
    let next_marker = match blobs.last() {
        Some(last) if !is_last => last.name.clone(),
        _ => String::new(),
    };
    Ok(BlobPage { blobs, next_marker, ..BlobPage::default() })
}

async fn remote_page(state: &State, place: &Place, marker: &str) -> Result<BlobPage, ServiceError> {
    let refused = |code: &str, message: String| ServiceError::BadData { code: code.to_owned(), message };
    let mut url = url::Url::parse(&place.container).map_err(|error| wrong(error.to_string()))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    if !state.config.source_hosts.allow(&host) {
        return Err(refused("Download_Forbidden", fetch::not_allowed(&place.container, &host)));
    }
    url.query_pairs_mut().extend_pairs([
        ("restype", "container"),
        ("comp", "list"),
        ("prefix", &place.prefix),
    ]);
    if !marker.is_empty() {
        url.query_pairs_mut().append_pair("marker", marker);
    }
    let url = match place.query.as_str() {
        "" => url.to_string(),
        query => format!("{url}&{query}"),
    };
    let unreachable = |error: reqwest::Error| {
        ServiceError::Unavailable(format!("{} cannot be listed: {}", place.container, error.without_url()))
    };
    let request = state.http.get(url).header("x-ms-version", crate::sas::VERSION);
    let mut response = request.send().await.map_err(unreachable)?;
    match response.status().as_u16() {
        200..=299 => {}
        status @ (429 | 500..=599) => {
            return Err(ServiceError::Unavailable(format!("{} answered {status}", place.container)));
        }
        404 => return Err(refused("Download_SourceNotFound", format!("{} does not exist", place.container))),
        status => {
            let what = format!(
                "{} cannot be listed: it answered {status}; the credential must let blobs be read and listed",
                place.container
            );
            return Err(refused("Download_Forbidden", what));
        }
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_PAGE {
            return Err(refused(
                "Download_BadRequest",
                format!("the answer of {} is too long", place.container),
            ));
        }
    }
    decode_blob_page(&String::from_utf8_lossy(&body)).map_err(|error| {
        refused("Download_BadRequest", format!("the answer of {}: {error}", place.container))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ACCOUNT;

    #[test]
    fn places_are_containers_and_prefixes() {
        let place = |url: &str| Place::parse(&SecretUrl::new(url));
        for (url, container, prefix) in [
            ("https://a.blob.core.windows.net/c?s=1", "https://a.blob.core.windows.net/c", ""),
            ("https://a.blob.core.windows.net/c/d/e%20f?s=1", "https://a.blob.core.windows.net/c", "d/e f"),
            ("http://127.0.0.1:10000/acct/c/d/?s=1", "http://127.0.0.1:10000/acct/c", "d/"),
            ("http://localhost:1/acct/c?s=1", "http://localhost:1/acct/c", ""),
        ] {
            let place = place(url).unwrap();
            assert_eq!((place.container.as_str(), place.prefix.as_str()), (container, prefix), "{url}");
            assert_eq!(place.query, "s=1");
        }
        for url in ["", "https://a.blob.core.windows.net", "http://localhost/acct", "c/d"] {
            place(url).unwrap_err();
        }
        let own = place(&format!("http://elsewhere/{ACCOUNT}/{}/x", CONTAINERS[1])).unwrap();
        assert_eq!(own.own(), Some(CONTAINERS[1]));
        assert_eq!(place("http://elsewhere/acct/c").unwrap().own(), None);
        assert_eq!(own.blob("a b/c+d.csv").with_secrets().rsplit_once("/a").unwrap().1, "%20b/c%2Bd.csv");
    }
}
