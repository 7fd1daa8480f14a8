//! External-storage mode: containers, queues and the status table live on a storage
//! account (Azure, or Azurite) that the service reaches with the account's key.

use crate::ServiceError;
use crate::state::{CONTAINERS, QUEUES};
use crate::store::reports::{FAILURE_QUEUE, STATUS_TABLE, SUCCESS_QUEUE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use kusto_types::{DateTime, TICKS_PER_DAY};
use kusto_wire::storage::{QueueMessage, decode_messages, encode_put_message};
use kusto_wire::{IngestionResources, SecretUrl};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::Sha256;

/// The version that signatures name; later ones sign one more field.
const VERSION: &str = "2019-12-12";

/// Where a storage account is, and its key.
#[derive(Debug, Clone)]
pub struct StorageAccount {
    name: String,
    key: SecretString,
    blob: String,
    queue: String,
    table: String,
}

impl StorageAccount {
    /// Reads a storage connection string (`AccountName`, `AccountKey`, and either the
    /// three endpoints or `EndpointSuffix`).
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        let bad = |what: &str| ServiceError::BadRequest(format!("the storage connection string {what}"));
        let mut members = std::collections::HashMap::new();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| bad("is not a list of name=value"))?;
            members.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
        let name = members.get("accountname").cloned().ok_or_else(|| bad("has no AccountName"))?;
        let key = members.get("accountkey").cloned().ok_or_else(|| bad("has no AccountKey"))?;
        if STANDARD.decode(&key).is_err() {
            return Err(bad("has an AccountKey that is not base64"));
        }
        let scheme = members.get("defaultendpointsprotocol").map_or("https", String::as_str);
        let suffix = members.get("endpointsuffix").map_or("core.windows.net", String::as_str);
        let endpoint = |service: &str| {
            members.get(&format!("{service}endpoint")).map_or_else(
                || format!("{scheme}://{name}.{service}.{suffix}"),
                |url| url.trim_end_matches('/').to_owned(),
            )
        };
        let (blob, queue, table) = (endpoint("blob"), endpoint("queue"), endpoint("table"));
        Ok(Self { name, key: SecretString::from(key), blob, queue, table })
    }

    /// An account signature for one service (`b`, `q`, `t`), some resource types and
    /// permissions, good for two days.
    fn signature(&self, service: &str, types: &str, permissions: &str) -> Result<String, ServiceError> {
        let expiry =
            DateTime::from_ticks(DateTime::now().ticks() + 2 * TICKS_PER_DAY).unwrap_or_else(DateTime::now);
        let expiry = format!("{}Z", &expiry.to_string()[..19]);
        let text = format!(
            "{}\n{permissions}\n{service}\n{types}\n\n{expiry}\n\nhttps,http\n{VERSION}\n",
            self.name
        );
        let key = STANDARD
            .decode(self.key.expose_secret())
            .map_err(|_| ServiceError::BadRequest("the account key is not base64".to_owned()))?;
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&key)
            .map_err(|_| ServiceError::BadRequest("the account key is empty".to_owned()))?;
        mac.update(text.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let encoded: String = url::form_urlencoded::byte_serialize(signature.as_bytes()).collect();
        let expiry = expiry.replace(':', "%3A");
        Ok(format!(
            "sv={VERSION}&ss={service}&srt={types}&spr=https,http&se={expiry}&sp={permissions}&sig={encoded}"
        ))
    }
}

/// The URL of a container or blob with a signature that reads, lists and writes, made with the
/// key of its account.
pub(crate) fn signed(url: &str, key: &str) -> Result<String, ServiceError> {
    let bad = || ServiceError::BadRequest(format!("{url} is not the URL of a blob or container"));
    let parsed = url::Url::parse(url).map_err(|_| bad())?;
    let name = match parsed.host() {
        Some(url::Host::Domain(host)) if host.contains('.') => host.split('.').next().map(str::to_owned),
        _ => parsed.path_segments().and_then(|mut parts| parts.next()).map(str::to_owned),
    };
    let name = name.ok_or_else(bad)?;
    let account = StorageAccount::parse(&format!(
        "AccountName={name};AccountKey={}",
        key.trim_matches([' ', '"', '\''])
    ))?;
    Ok(format!("{url}?{}", account.signature("b", "co", "rlcw")?))
}

/// A storage account in use.
pub(crate) struct Account {
    account: StorageAccount,
    http: reqwest::Client,
}

impl Account {
    /// Makes the containers, queues and table where they are missing.
    pub(crate) async fn open(account: StorageAccount, http: reqwest::Client) -> Result<Self, ServiceError> {
        let this = Self { account, http };
        for container in CONTAINERS {
            let url = format!(
                "{}/{container}?restype=container&{}",
                this.account.blob,
                this.account.signature("b", "c", "c")?
            );
            this.call(Method::PUT, url, Vec::new(), &[]).await?;
        }
        for queue in QUEUES.into_iter().chain([SUCCESS_QUEUE, FAILURE_QUEUE]) {
            let url = format!("{}/{queue}?{}", this.account.queue, this.account.signature("q", "c", "c")?);
            this.call(Method::PUT, url, Vec::new(), &[]).await?;
        }
        let url = format!("{}/Tables?{}", this.account.table, this.account.signature("t", "c", "c")?);
        let body = serde_json::json!({ "TableName": STATUS_TABLE }).to_string().into_bytes();
        this.call(Method::POST, url, body, &ENTITY).await?;
        Ok(this)
    }

    /// One request; 409 (it exists) counts as done.
    async fn call(
        &self,
        method: Method,
        url: String,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<String, ServiceError> {
        let place = SecretUrl::new(url.as_str()).without_secrets();
        let mut request = self.http.request(method, url).header("x-ms-version", VERSION).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let failed = |what: String| ServiceError::Storage { place: place.clone(), problem: what };
        let response = request.send().await.map_err(|error| failed(error.without_url().to_string()))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(error.without_url().to_string()))?;
        if status.is_success() || status.as_u16() == 409 {
            return Ok(text);
        }
        Err(failed(format!("it answered {status}")))
    }

    /// What clients are handed out.
    pub(crate) fn resources(&self) -> Result<IngestionResources, ServiceError> {
        let account = &self.account;
        let urls = |base: &str, names: &[&str], signature: &str| -> Vec<SecretUrl> {
            names.iter().map(|name| SecretUrl::new(format!("{base}/{name}?{signature}"))).collect()
        };
        let upload = account.signature("b", "o", "rcw")?;
        let post = account.signature("q", "o", "a")?;
        // Deleting a message is an operation on the queue, not on an object in it.
        let read = account.signature("q", "co", "rp")?;
        let status = account.signature("t", "o", "rau")?;
        Ok(IngestionResources {
            containers: urls(&account.blob, &CONTAINERS, &upload),
            queues: urls(&account.queue, &QUEUES, &post),
            success_queues: urls(&account.queue, &[SUCCESS_QUEUE], &read),
            failure_queues: urls(&account.queue, &[FAILURE_QUEUE], &read),
            status_tables: urls(&account.table, &[STATUS_TABLE], &status),
        })
    }

    /// A container that files can be put into and listed in.
    pub(crate) fn export_container(&self) -> Result<SecretUrl, ServiceError> {
        let signature = self.account.signature("b", "co", "rcwdl")?;
        Ok(SecretUrl::new(format!("{}/{}?{signature}", self.account.blob, CONTAINERS[0])))
    }

    /// Leases messages for two minutes.
    pub(crate) async fn receive(&self, queue: &str, count: u32) -> Result<Vec<QueueMessage>, ServiceError> {
        let signature = self.account.signature("q", "co", "p")?;
        let url = format!(
            "{}/{queue}/messages?numofmessages={count}&visibilitytimeout=120&{signature}",
            self.account.queue
        );
        let xml = self.call(Method::GET, url, Vec::new(), &[]).await?;
        decode_messages(&xml)
            .map_err(|error| ServiceError::Storage { place: queue.to_owned(), problem: error.to_string() })
    }

    /// Deletes a leased message.
    pub(crate) async fn delete(&self, queue: &str, id: &str, receipt: &str) -> Result<(), ServiceError> {
        let signature = self.account.signature("q", "co", "p")?;
        let receipt: String = url::form_urlencoded::byte_serialize(receipt.as_bytes()).collect();
        let url = format!("{}/{queue}/messages/{id}?popreceipt={receipt}&{signature}", self.account.queue);
        self.call(Method::DELETE, url, Vec::new(), &[]).await.map(|_| ())
    }

    /// Puts a message on a status queue.
    pub(crate) async fn put_message(&self, queue: &str, text: &str) -> Result<(), ServiceError> {
        let url =
            format!("{}/{queue}/messages?{}", self.account.queue, self.account.signature("q", "o", "a")?);
        let body = encode_put_message(text).into_bytes();
        self.call(Method::POST, url, body, &[("content-type", "application/xml")]).await.map(|_| ())
    }

    /// Merges properties into a status row, making it when it is missing.
    pub(crate) async fn merge_status(
        &self,
        partition: &str,
        row: &str,
        properties: &Map<String, Value>,
    ) -> Result<(), ServiceError> {
        let encoded = |text: &str| {
            url::form_urlencoded::byte_serialize(text.replace('\'', "''").as_bytes()).collect::<String>()
        };
        let url = format!(
            "{}/{STATUS_TABLE}(PartitionKey='{}',RowKey='{}')?{}",
            self.account.table,
            encoded(partition),
            encoded(row),
            self.account.signature("t", "o", "rau")?
        );
        let body = Value::Object(properties.clone()).to_string().into_bytes();
        let method = Method::from_bytes(b"MERGE").unwrap_or(Method::PATCH);
        self.call(method, url, body, &ENTITY).await.map(|_| ())
    }
}

const ENTITY: [(&str, &str); 3] = [
    ("accept", "application/json;odata=nometadata"),
    ("content-type", "application/json"),
    ("dataserviceversion", "3.0"),
];
