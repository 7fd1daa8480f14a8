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
    #[serde(default, rename = "Options", deserialize_with = "map_or_null")]
    pub options: Map<String, Value>,
    /// Query parameters: name to KQL literal text.
    #[serde(default, rename = "Parameters", deserialize_with = "map_or_null")]
    pub parameters: Map<String, Value>,
    /// The client's id for the request.
    #[serde(default, rename = "ClientRequestId", skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
}

/// Go's client writes `null` for an empty map.
fn map_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_read_as_every_client_writes_them() {
        for text in [
            r#"{"csl":"T","properties":{"Options":{"notruncation":true},"Parameters":null}}"#,
            r#"{"csl":"T","properties":"{\"Options\":{\"notruncation\":\"true\"},\"Parameters\":{}}"}"#,
            r#"{"db":"","csl":"T","properties":{"Options":{"notruncation":1},"Application":"a"}}"#,
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert!(request.properties().unwrap().is_on("notruncation"), "{text}");
        }
        for text in [
            r#"{"csl":"T"}"#,
            r#"{"csl":"T","properties":" "}"#,
            r#"{"csl":"T","properties":{"Options":null}}"#,
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert!(request.properties().unwrap().options.is_empty(), "{text}");
        }
        let wrong: Request = serde_json::from_str(r#"{"csl":"T","properties":"{"}"#).unwrap();
        assert!(wrong.properties().is_err());
    }
}
