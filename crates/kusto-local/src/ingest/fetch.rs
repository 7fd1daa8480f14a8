//! Gets the bytes of a source into a local file: our own blobs by their path, whatever
//! host and port the client wrote; other URLs by HTTP.

use crate::ServiceError;
use crate::state::{ACCOUNT, State};
use crate::store::blobs;
use crate::store::reports::Outcome;
use futures_util::StreamExt;
use kusto_wire::{FailureStatus, SecretUrl};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// A local file with a source's bytes; deletes itself when it is a copy.
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    temporary: bool,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.temporary {
            // What stays behind falls to the janitor.
            let _removed = std::fs::remove_file(&self.path);
        }
    }
}

/// Container and blob name, when a URL is one of ours: `{any host}/{account}/{container}`,
/// or `{account}.blob.core.{cloud}/{container}`.
pub(crate) fn own_blob(url: &str) -> Option<(String, String)> {
    let (host, path) = url.split_once("://").map_or(url, |(_, rest)| rest).split_once('/')?;
    let path = path.split('?').next().unwrap_or(path);
    let labels: Vec<&str> = host.split('.').take(3).collect();
    let named = matches!(labels.as_slice(), [account, "blob" | "dfs", "core"] if *account == ACCOUNT);
    let rest = if named { path } else { path.strip_prefix(ACCOUNT)?.strip_prefix('/')? };
    let (container, name) = rest.split_once('/')?;
    let name = crate::http::percent_decode(name);
    crate::state::CONTAINERS.contains(&container).then(|| (container.to_owned(), name))
}

/// The file, or the outcome that the lack of it means.
pub(crate) async fn fetch(
    state: &Arc<State>,
    url: &SecretUrl,
) -> Result<Result<Fetched, Outcome>, ServiceError> {
    if let Some((container, name)) = own_blob(url.with_secrets()) {
        let blob = crate::store::blocking(&state.store, move |store| {
            let Some(blob) = store.read(|connection| blobs::find(connection, &container, &name))? else {
                return Ok(None);
            };
            blobs::materialise(&store.root, &blob).map(Some)
        })
        .await?;
        return Ok(match blob {
            Some((path, temporary)) => Ok(Fetched { path, temporary }),
            None => Err(Outcome::permanent("Download_SourceNotFound", format!("blob {url} does not exist"))),
        });
    }
    download(state, url).await
}

/// The URL with a signature in its query in place of an account key behind a semicolon.
pub(crate) fn with_signature(url: &SecretUrl) -> Result<SecretUrl, String> {
    let Some((place, credential)) = url.with_secrets().split_once(';') else { return Ok(url.clone()) };
    let word = credential.split('=').next().unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "" => Ok(SecretUrl::new(place)),
        "impersonate" | "managed_identity" | "token" | "prompt" | "awscredentials" => Err(format!(
            "{url} asks for ;{word}, and this service has no identity of its own; give the URL a shared access signature, or the account's key behind the semicolon"
        )),
        _ => {
            crate::external::signed(place, credential).map(SecretUrl::new).map_err(|error| error.to_string())
        }
    }
}

/// What is said of a host that sources are not read from.
pub(crate) fn not_allowed(place: &str, host: &str) -> String {
    format!(
        "{place} is on a host that this service does not read sources from; kin serve --source-host {host} allows it"
    )
}

fn transient(details: String) -> Outcome {
    Outcome::Failed { code: "Download_UnknownError".to_owned(), status: FailureStatus::Transient, details }
}

async fn download(state: &Arc<State>, url: &SecretUrl) -> Result<Result<Fetched, Outcome>, ServiceError> {
    let url = &match with_signature(url) {
        Ok(url) => url,
        Err(problem) => return Ok(Err(Outcome::permanent("BadRequest_InvalidBlobUri", problem))),
    };
    let parsed = match url::Url::parse(url.with_secrets()) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => parsed,
        _ => {
            return Ok(Err(Outcome::permanent(
                "BadRequest_InvalidBlobUri",
                format!("{url} is not an http or https URL"),
            )));
        }
    };
    let host = parsed.host_str().unwrap_or_default();
    if !state.config.source_hosts.allow(host) {
        return Ok(Err(Outcome::permanent("Download_Forbidden", not_allowed(&url.to_string(), host))));
    }
    let response = match state.http.get(parsed).send().await {
        Ok(response) => response,
        // A loop, or a way to a host that is not allowed: the same again next time.
        Err(error) if error.is_redirect() => {
            return Ok(Err(Outcome::permanent(
                "Download_Forbidden",
                format!("{url} redirects to where sources are not read from, or too often"),
            )));
        }
        Err(error) => return Ok(Err(transient(format!("{url} cannot be fetched: {}", error.without_url())))),
    };
    match response.status().as_u16() {
        200..=299 => {}
        404 => {
            return Ok(Err(Outcome::permanent("Download_SourceNotFound", format!("{url} does not exist"))));
        }
        401 | 403 => {
            return Ok(Err(Outcome::permanent("Download_Forbidden", format!("access to {url} is refused"))));
        }
        429 | 500..=599 => return Ok(Err(transient(format!("{url} answered {}", response.status())))),
        _ => {
            let details = format!("{url} answered {}", response.status());
            return Ok(Err(Outcome::permanent("Download_BadRequest", details)));
        }
    }
    let path = state.store.root.join("staging").join(blobs::new_file());
    let fetched = Fetched { path: path.clone(), temporary: true };
    let mut file = tokio::fs::File::create(&path).await.map_err(ServiceError::file(&path))?;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => file.write_all(&chunk).await.map_err(ServiceError::file(&path))?,
            Err(error) => return Ok(Err(transient(format!("{url} broke off: {}", error.without_url())))),
        }
    }
    file.flush().await.map_err(ServiceError::file(&path))?;
    Ok(Ok(fetched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_blobs_are_known_under_every_name() {
        let own = |url: &str| own_blob(url).map(|(container, name)| format!("{container} {name}"));
        for url in [
            "http://localhost:1/kinstore/ingest0/a/b%20c.csv?sig=x",
            "https://elsewhere/kinstore/ingest0/a/b%20c.csv",
            "https://kinstore.blob.core.windows.net:8443/ingest0/a/b%20c.csv?sig=x",
            "https://kinstore.dfs.core.chinacloudapi.cn/ingest0/a/b%20c.csv",
        ] {
            assert_eq!(own(url).as_deref(), Some("ingest0 a/b c.csv"), "{url}");
        }
        for url in [
            "https://other.blob.core.windows.net/ingest0/a.csv",
            "https://kinstore.blob.example.com/ingest0/a.csv",
            "http://localhost/kinstore/other/a.csv",
            "http://localhost",
            "",
        ] {
            assert_eq!(own(url), None, "{url}");
        }
    }
}
