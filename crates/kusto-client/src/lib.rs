//! Endpoints, credentials, the HTTP transport with retry, management commands and
//! queries of Kusto. `kusto-ingest` builds on it; alone it is enough to query.
//!
//! ```no_run
//! # async fn run() -> Result<(), kusto_client::Error> {
//! use kusto_client::{Credential, Endpoint, KustoClient};
//! let client = KustoClient::new(Endpoint::parse("https://help.kusto.windows.net")?, Credential::None)?;
//! let result = client.query("Samples", "StormEvents | count").await?;
//! println!("{:?}", result.tables[0].rows);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod client;
mod credential;
mod endpoint;
mod error;
mod retry;
mod transport;

pub use client::KustoClient;
pub use credential::Credential;
pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind};
pub use retry::{RetryClass, RetryPolicy};
pub use transport::{Answer, Transport, install_crypto_provider};
