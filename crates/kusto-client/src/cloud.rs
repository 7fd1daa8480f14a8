//! Which cloud a cluster is in: where its users sign in and for what resource. The
//! cluster tells it without authentication; the answer is kept for each endpoint.

use crate::{Endpoint, Error, ErrorKind, Transport};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Sign-in facts of a cloud. Source: `GET {cluster}/v1/rest/auth/metadata`; 404 and an
/// empty answer mean the public cloud, as in the official clients.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloudMetadata {
    /// Base of the token endpoint.
    pub login_endpoint: String,
    /// The resource that tokens are asked for.
    pub resource: String,
    /// Whether users must sign in with a second factor.
    pub mfa_required: bool,
    /// Application that interactive sign-in uses.
    pub client_app_id: String,
    /// Where interactive sign-in returns to.
    pub redirect_uri: String,
}

impl CloudMetadata {
    /// The public cloud.
    pub fn public() -> Self {
        Self {
            login_endpoint: "https://login.microsoftonline.com".to_owned(),
            resource: "https://kusto.kusto.windows.net".to_owned(),
            mfa_required: false,
            client_app_id: "db662dc1-0cfe-4e1c-a843-19a68e65be58".to_owned(),
            redirect_uri: "http://localhost".to_owned(),
        }
    }

    /// The scope that tokens are asked for.
    pub fn scope(&self) -> String {
        let resource = if self.mfa_required {
            self.resource.replace(".kusto.", ".kustomfa.")
        } else {
            self.resource.clone()
        };
        format!("{}/.default", resource.trim_end_matches('/'))
    }

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let document: Value = serde_json::from_slice(body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the cluster's auth metadata is not JSON").caused_by(error)
        })?;
        let public = Self::public();
        let cloud = &document["AzureAD"];
        let text = |name: &str, default: String| match cloud[name].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => default,
        };
        Ok(Self {
            login_endpoint: text("LoginEndpoint", public.login_endpoint),
            resource: text("KustoServiceResourceId", public.resource),
            mfa_required: cloud["LoginMfaRequired"].as_bool().unwrap_or(false),
            client_app_id: text("KustoClientAppId", public.client_app_id),
            redirect_uri: text("KustoClientRedirectUri", public.redirect_uri),
        })
    }
}

/// The metadata of the endpoints that were asked, shared by the clones of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloudCache(Arc<Mutex<HashMap<String, Arc<CloudMetadata>>>>);

impl CloudCache {
    /// The cloud of an endpoint. A failure is an error, never silently the public cloud.
    pub(crate) async fn of(
        &self,
        endpoint: &Endpoint,
        transport: &Transport,
    ) -> Result<Arc<CloudMetadata>, Error> {
        // Held over the request, so that many waiting calls ask once.
        let mut kept = self.0.lock().await;
        if let Some(found) = kept.get(endpoint.as_str()) {
            return Ok(found.clone());
        }
        let url = endpoint.join("/v1/rest/auth/metadata");
        let metadata = match transport.send(|http| http.get(&url).header("accept", "application/json")).await
        {
            Ok(answer) => CloudMetadata::decode(&answer.body)?,
            Err(error) if error.status() == Some(404) => CloudMetadata::public(),
            Err(error) => return Err(error),
        };
        let metadata = Arc::new(metadata);
        kept.insert(endpoint.as_str().to_owned(), metadata.clone());
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_and_falls_back() {
        assert_eq!(CloudMetadata::decode(br#"{"AzureAD":null}"#).unwrap(), CloudMetadata::public());
        let cloud = CloudMetadata::decode(
            br#"{"AzureAD":{"LoginEndpoint":"https://login.partner.microsoftonline.cn","LoginMfaRequired":true,
                 "KustoServiceResourceId":"https://kusto.kusto.chinacloudapi.cn"}}"#,
        )
        .unwrap();
        assert_eq!(cloud.login_endpoint, "https://login.partner.microsoftonline.cn");
        assert_eq!(cloud.scope(), "https://kusto.kustomfa.chinacloudapi.cn/.default");
        assert_eq!(CloudMetadata::decode(b"<html>").unwrap_err().kind(), ErrorKind::Protocol);
    }
}
