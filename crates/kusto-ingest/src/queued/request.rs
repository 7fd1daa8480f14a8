//! The v2 protocol: blobs in requests to the service, each an operation with an id.

use super::Ready;
use crate::options::Shared;
use crate::properties::IngestionProperties;
use crate::tracking::{Key, Standing};
use crate::{Error, ErrorKind, Transport};
use bytes::Bytes;
use kusto_client::{Resend, ServiceRequest, escape_segment};
use kusto_types::{DataFormat, DateTime};
use kusto_wire::{IngestConfiguration, QueuedBlob, QueuedRequest, QueuedResponse};
use std::sync::Arc;
use std::time::Duration;

/// Blobs of a request when the service does not say.
const BLOBS: usize = 20;

/// Groups of blobs that may be in one request: at most `most`, and a part with a header
/// never with parts without one where headers are left out.
fn groups(blobs: &[Ready], headers: bool, most: usize) -> Vec<&[Ready]> {
    let mut groups = Vec::new();
    let mut rest = blobs;
    while let Some(begin) = rest.first() {
        let same = rest.iter().take_while(|blob| !headers || blob.first == begin.first).count();
        let (group, others) = rest.split_at(same.min(most.max(1)));
        groups.push(group);
        rest = others;
    }
    groups
}

/// Hands the blobs over.
pub(super) async fn submit(
    shared: &Shared,
    transport: &Transport,
    settings: Arc<Option<IngestConfiguration>>,
    blobs: &[Ready],
    properties: &IngestionProperties,
    format: DataFormat,
) -> Result<Standing, Error> {
    let most = settings
        .as_ref()
        .as_ref()
        .map_or(BLOBS, |settings| settings.ingestion_settings.max_blobs_per_batch as usize);
    let client = shared.service.client.over(transport);
    let path = format!(
        "/v1/rest/ingestion/queued/{}/{}",
        escape_segment(properties.database.as_str()),
        escape_segment(properties.table.as_str())
    );
    let mut keys = Vec::new();
    let mut done = 0;
    for group in groups(blobs, properties.ignore_first_record, most) {
        let first = group.first().is_some_and(|blob| blob.first);
        let request = QueuedRequest {
            timestamp: Some(DateTime::now().to_string()),
            blobs: group
                .iter()
                .map(|blob| QueuedBlob {
                    url: blob.url.clone(),
                    source_id: Some(blob.id),
                    raw_size: blob.raw_size,
                })
                .collect(),
            properties: properties.request(format, first),
        };
        let body = serde_json::to_vec(&request).map_err(|error| {
            Error::new(ErrorKind::Usage, "the request cannot be written").caused_by(error)
        })?;
        let answer = client
            .send(&ServiceRequest {
                method: http::Method::POST,
                path: path.clone(),
                activity: "ingestQueued",
                source: None,
                headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
                body: Bytes::from(body),
                limit: Duration::from_secs(60),
                resend: Resend::ByPolicy,
            })
            .await
            .map_err(|error| {
                if done == 0 {
                    return error;
                }
                error.about(format!(
                    "{done} of {} parts were accepted and the rest was not; the same source under the same id may be sent again",
                    blobs.len()
                ))
            })?;
        let response: QueuedResponse = serde_json::from_slice(&answer.body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the answer to the ingestion cannot be read").caused_by(error)
        })?;
        done += group.len();
        if !response.ingestion_operation_id.is_empty() {
            keys.push(Key::Operation {
                database: properties.database.to_string(),
                table: properties.table.to_string(),
                id: response.ingestion_operation_id,
            });
        }
    }
    if keys.is_empty() {
        return Ok(Standing::Untold {
            reason: "the ingestion was not asked to be tracked; use tracked()".to_owned(),
        });
    }
    Ok(Standing::Asked { keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretUrl;
    use kusto_types::SourceId;

    #[test]
    fn groups_keep_the_limit_and_headers_apart() {
        let blob = |first| Ready {
            id: SourceId::random(),
            url: SecretUrl::new("https://a/b"),
            raw_size: None,
            first,
        };
        let parts: Vec<Ready> = (0..6).map(|index| blob(index == 0)).collect();
        let sizes =
            |headers, most| groups(&parts, headers, most).iter().map(|group| group.len()).collect::<Vec<_>>();
        assert_eq!(sizes(false, 20), [6]);
        assert_eq!(sizes(false, 4), [4, 2]);
        assert_eq!(sizes(true, 4), [1, 4, 1]);
        assert_eq!(sizes(true, 0), [1; 6]);
    }
}
