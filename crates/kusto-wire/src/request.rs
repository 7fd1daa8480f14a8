//! The body of `/v1/rest/mgmt`, `/v1/rest/query` and `/v2/rest/query`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A management or query request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Request {
    /// The database; absent or empty means the default database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db: Option<String>,
    /// The command or query text.
    pub csl: String,
    /// Client request properties: an object, or a JSON text of one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub properties: Value,
}

/// The client request properties of a request, whichever way they were written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestProperties {
    /// Options such as `notruncation`.
    #[serde(default, rename = "Options")]
    pub options: Map<String, Value>,
    /// Query parameters: name to KQL literal text.
    #[serde(default, rename = "Parameters")]
    pub parameters: Map<String, Value>,
    /// The client's id for the request.
    #[serde(default, rename = "ClientRequestId", skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
}

impl Request {
    /// The properties, from an object or from a text; unreadable ones are an error.
    pub fn properties(&self) -> Result<RequestProperties, serde_json::Error> {
        match &self.properties {
            Value::Null => Ok(RequestProperties::default()),
            Value::String(text) if text.trim().is_empty() => Ok(RequestProperties::default()),
            Value::String(text) => serde_json::from_str(text),
            other => serde_json::from_value(other.clone()),
        }
    }
}

impl RequestProperties {
    /// Whether a boolean option is on (true, "true" or 1).
    pub fn is_on(&self, option: &str) -> bool {
        match self.options.get(option) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        }
    }
}
