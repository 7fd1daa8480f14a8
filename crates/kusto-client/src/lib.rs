//! Endpoints, credentials, the HTTP transport with retry, management commands and
//! queries of Kusto. `kusto-ingest` builds on it; alone it is enough to query.
//!
//! ```no_run
//! # async fn run() -> Result<(), kusto_client::Error> {
//! use kusto_client::{Credential, Endpoint, KustoClient};
//! let client = KustoClient::new(Endpoint::parse("https://help.kusto.windows.net")?, Credential::none())?;
//! let result = client.query("Samples", "StormEvents | count").await?;
//! println!("{:?}", result.tables[0].rows);
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

mod client;
mod cloud;
mod connection_string;
mod credential;
mod details;
mod endpoint;
mod error;
mod retry;
mod transport;
mod trusted;

pub use client::{KustoClient, Resend, ServiceRequest};
pub use cloud::CloudMetadata;
pub use connection_string::{ConnectionString, Keyword};
pub use credential::{
    AccessToken, ChainSending, Credential, DeviceCodePrompt, ManagedIdentity, TokenProvider, TokenRequest,
};
pub use details::ClientDetails;
pub use endpoint::{Endpoint, escape_segment};
pub use error::{Error, ErrorKind};
pub use retry::{RetryClass, RetryPolicy, random_fraction};
pub use transport::{Answer, Transport, TransportBuilder, install_crypto_provider};
pub use trusted::TrustedEndpoints;
