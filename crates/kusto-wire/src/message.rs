//! The message of queued ingestion: base64 of a JSON object in an Azure queue. Reads
//! the dialect of every client (names in any case, numbers as text, enums by number
//! or name); writes the names and types of the Python client.

use crate::{ReportLevel, ReportMethod, SecretUrl};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kusto_types::{DataFormat, DatabaseName, MappingName, NameError, SourceId, TableName, UnknownFormat};
use serde_json::{Map, Value};

/// One source to ingest, as posted to an ingestion queue.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestionMessage {
    /// The source id.
    pub id: SourceId,
    /// The blob with its credential.
    pub blob: SecretUrl,
    /// Uncompressed bytes, when the client knows.
    pub raw_data_size: Option<u64>,
    /// Target database.
    pub database: DatabaseName,
    /// Target table.
    pub table: TableName,
    /// Whether the service keeps the blob after success. Absent means it may delete it.
    pub retain_blob_on_success: bool,
    /// Whether the batch is sealed with this source.
    pub flush_immediately: bool,
    /// Whether the size limit of one blob is ignored.
    pub ignore_size_limit: bool,
    /// Which outcomes are reported.
    pub report_level: ReportLevel,
    /// Where they are reported.
    pub report_method: ReportMethod,
    /// The status row, when outcomes go to the table.
    pub status_in_table: Option<StatusTablePointer>,
    /// When the client made the message.
    pub source_message_creation_time: Option<String>,
    /// The client's application name.
    pub application_for_tracing: Option<String>,
    /// The client's version.
    pub client_version_for_tracing: Option<String>,
    /// Identity token, format, mapping and the rest.
    pub additional: AdditionalProperties,
}

/// Which status row a message's outcome goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusTablePointer {
    /// The table with its SAS.
    pub table: SecretUrl,
    /// Partition key.
    pub partition_key: String,
    /// Row key.
    pub row_key: String,
}

/// The `AdditionalProperties` of a message.
#[derive(Clone, PartialEq, Default)]
pub struct AdditionalProperties {
    /// The identity token that the service gave out. A secret.
    pub authorization_context: Option<String>,
    /// Data format; absent means the service infers it from the blob's name.
    pub format: Option<DataFormat>,
    /// Inline mapping as JSON text.
    pub ingestion_mapping: Option<String>,
    /// Name of a mapping on the service.
    pub ingestion_mapping_reference: Option<MappingName>,
    /// Kind of the mapping as the client wrote it.
    pub ingestion_mapping_type: Option<String>,
    /// Tags of the new extents.
    pub tags: Vec<String>,
    /// Skip when an extent has one of these `ingest-by:` values.
    pub ingest_if_not_exists: Vec<String>,
    /// Whether the first record of the source is a header.
    pub ignore_first_record: bool,
    /// Creation time of the new extents.
    pub creation_time: Option<String>,
    /// Validation policy, as JSON text.
    pub validation_policy: Option<String>,
    /// Everything else, by the name it came with.
    pub other: Map<String, Value>,
}

impl std::fmt::Debug for AdditionalProperties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdditionalProperties")
            .field("authorization_context", &self.authorization_context.as_ref().map(|_| "[redacted]"))
            .field("format", &self.format)
            .field("mapping", &self.ingestion_mapping)
            .field("mapping_reference", &self.ingestion_mapping_reference)
            .field("tags", &self.tags)
            .field("ingest_if_not_exists", &self.ingest_if_not_exists)
            .field("ignore_first_record", &self.ignore_first_record)
            .field("creation_time", &self.creation_time)
            .field("other", &self.other.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Why a text is not an ingestion message. None of these shows the text, since it may
/// hold credentials.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Neither base64 of JSON nor JSON.
    #[error("the message is neither JSON nor base64 of JSON")]
    NotJson,
    /// A member that every message must have.
    #[error("the message has no {0}")]
    Missing(&'static str),
    /// A member of the wrong type or with an unknown value.
    #[error("the message's {0} cannot be read")]
    Value(&'static str),
    /// A malformed name.
    #[error("the message names an impossible entity")]
    Name(#[from] NameError),
    /// An unknown format.
    #[error("the message's format is unknown")]
    Format(#[from] UnknownFormat),
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null())
        .map(|(_, value)| value)
}

fn text(object: &Map<String, Value>, name: &'static str) -> Result<Option<String>, MessageError> {
    match member(object, name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(MessageError::Value(name)),
    }
}

fn boolean(object: &Map<String, Value>, name: &'static str) -> Result<bool, MessageError> {
    match member(object, name) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") || text.is_empty() => Ok(false),
        Some(_) => Err(MessageError::Value(name)),
    }
}

/// A list of texts: an array, or a JSON text of one.
fn list(object: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, MessageError> {
    let value = match member(object, name) {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
        // Go's client writes a lone value where the others write a JSON list.
        Some(Value::String(text)) if !text.trim_start().starts_with('[') => return Ok(vec![text.clone()]),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| MessageError::Value(name))?,
        Some(other) => other.clone(),
    };
    serde_json::from_value(value).map_err(|_| MessageError::Value(name))
}

/// A JSON document: a text of it, or the document itself.
fn document(object: &Map<String, Value>, names: &[&'static str]) -> Option<String> {
    names.iter().find_map(|name| match member(object, name) {
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
        None => None,
    })
}

impl IngestionMessage {
    /// Reads a queue message's text: base64 of JSON, or JSON.
    pub fn decode(text: &str) -> Result<Self, MessageError> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let json = if text.starts_with('{') {
            text.as_bytes().to_vec()
        } else {
            STANDARD.decode(text).map_err(|_| MessageError::NotJson)?
        };
        let json = String::from_utf8(json).map_err(|_| MessageError::NotJson)?;
        let value: Value =
            serde_json::from_str(json.trim_matches('\0')).map_err(|_| MessageError::NotJson)?;
        let Value::Object(object) = value else { return Err(MessageError::NotJson) };
        Self::read(&object)
    }

    fn read(object: &Map<String, Value>) -> Result<Self, MessageError> {
        let required = |name| text(object, name)?.ok_or(MessageError::Missing(name));
        let raw_data_size = match text(object, "RawDataSize")? {
            None => None,
            Some(digits) => Some(digits.parse().map_err(|_| MessageError::Value("RawDataSize"))?),
        };
        let status_in_table = match member(object, "IngestionStatusInTable") {
            None => None,
            // Go's client always writes the object, and leaves it empty when there is no row.
            Some(Value::Object(pointer)) if pointer.is_empty() => None,
            Some(Value::Object(pointer)) => Some(StatusTablePointer {
                table: SecretUrl::new(text(pointer, "TableConnectionString")?.unwrap_or_default()),
                partition_key: text(pointer, "PartitionKey")?.ok_or(MessageError::Missing("PartitionKey"))?,
                row_key: text(pointer, "RowKey")?.ok_or(MessageError::Missing("RowKey"))?,
            }),
            Some(_) => return Err(MessageError::Value("IngestionStatusInTable")),
        };
        let empty = Map::new();
        let additional = match member(object, "AdditionalProperties") {
            None => &empty,
            Some(Value::Object(additional)) => additional,
            Some(_) => return Err(MessageError::Value("AdditionalProperties")),
        };
        Ok(Self {
            id: required("Id")?.parse().map_err(|_| MessageError::Value("Id"))?,
            blob: SecretUrl::new(required("BlobPath")?.trim_matches('\0')),
            raw_data_size,
            database: DatabaseName::new(required("DatabaseName")?)?,
            table: TableName::new(required("TableName")?)?,
            retain_blob_on_success: boolean(object, "RetainBlobOnSuccess")?,
            flush_immediately: boolean(object, "FlushImmediately")?,
            ignore_size_limit: boolean(object, "IgnoreSizeLimit")?,
            report_level: match member(object, "ReportLevel") {
                None => ReportLevel::default(),
                Some(value) => ReportLevel::read(value).ok_or(MessageError::Value("ReportLevel"))?,
            },
            report_method: match member(object, "ReportMethod") {
                None => ReportMethod::default(),
                Some(value) => ReportMethod::read(value).ok_or(MessageError::Value("ReportMethod"))?,
            },
            status_in_table,
            source_message_creation_time: text(object, "SourceMessageCreationTime")?,
            application_for_tracing: text(object, "ApplicationForTracing")?,
            client_version_for_tracing: text(object, "ClientVersionForTracing")?,
            additional: AdditionalProperties::read(additional)?,
        })
    }

    /// The JSON object.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| {
            object.insert(name.to_owned(), value);
        };
        put("Id", self.id.to_string().into());
        put("BlobPath", self.blob.with_secrets().into());
        if let Some(size) = self.raw_data_size {
            put("RawDataSize", size.into());
        }
        put("DatabaseName", self.database.as_str().into());
        put("TableName", self.table.as_str().into());
        put("RetainBlobOnSuccess", self.retain_blob_on_success.into());
        put("FlushImmediately", self.flush_immediately.into());
        put("IgnoreSizeLimit", self.ignore_size_limit.into());
        put("ReportLevel", self.report_level.number().into());
        put("ReportMethod", self.report_method.number().into());
        if let Some(pointer) = &self.status_in_table {
            put(
                "IngestionStatusInTable",
                serde_json::json!({
                    "TableConnectionString": pointer.table.with_secrets(),
                    "PartitionKey": pointer.partition_key,
                    "RowKey": pointer.row_key,
                }),
            );
        }
        for (name, value) in [
            ("SourceMessageCreationTime", &self.source_message_creation_time),
            ("ApplicationForTracing", &self.application_for_tracing),
            ("ClientVersionForTracing", &self.client_version_for_tracing),
        ] {
            if let Some(value) = value {
                put(name, value.as_str().into());
            }
        }
        put("AdditionalProperties", Value::Object(self.additional.to_json()));
        Value::Object(object)
    }

    /// The text to post: base64 of the JSON.
    pub fn encode(&self) -> String {
        STANDARD.encode(self.to_json().to_string())
    }
}

impl AdditionalProperties {
    /// Reads the object, deprecated names included.
    pub fn read(object: &Map<String, Value>) -> Result<Self, MessageError> {
        const REFERENCES: [&str; 5] = [
            "ingestionMappingReference",
            "mappingReference",
            "jsonMappingReference",
            "csvMappingReference",
            "avroMappingReference",
        ];
        const KNOWN: [&str; 18] = [
            "authorizationContext",
            "format",
            "ingestionMapping",
            "ingestionMappingReference",
            "ingestionMappingType",
            "tags",
            "ingestIfNotExists",
            "ignoreFirstRecord",
            "creationTime",
            "validationPolicy",
            "csvMapping",
            "jsonMapping",
            "avroMapping",
            "mappingReference",
            "csvMappingReference",
            "jsonMappingReference",
            "avroMappingReference",
            "parquetMapping",
        ];
        let mut reference = None;
        for name in REFERENCES {
            if reference.is_none() {
                reference = text(object, name)?;
            }
        }
        Ok(Self {
            authorization_context: text(object, "authorizationContext")?,
            format: text(object, "format")?.map(|format| DataFormat::parse(&format)).transpose()?,
            ingestion_mapping: document(
                object,
                &["ingestionMapping", "jsonMapping", "csvMapping", "avroMapping", "parquetMapping"],
            ),
            ingestion_mapping_reference: reference.map(MappingName::new).transpose()?,
            ingestion_mapping_type: text(object, "ingestionMappingType")?,
            tags: list(object, "tags")?,
            ingest_if_not_exists: list(object, "ingestIfNotExists")?,
            ignore_first_record: boolean(object, "ignoreFirstRecord")?,
            creation_time: text(object, "creationTime")?,
            validation_policy: document(object, &["validationPolicy"]),
            other: object
                .iter()
                .filter(|(key, _)| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(key)))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        })
    }

    /// The object, with the names and types that the official clients write.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let texts = [
            ("authorizationContext", self.authorization_context.clone()),
            ("ingestionMapping", self.ingestion_mapping.clone()),
            ("ingestionMappingReference", self.ingestion_mapping_reference.clone().map(String::from)),
            ("ingestionMappingType", self.ingestion_mapping_type.clone()),
            ("validationPolicy", self.validation_policy.clone()),
            ("creationTime", self.creation_time.clone()),
            ("format", self.format.map(String::from)),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        }
        for (name, values) in [("tags", &self.tags), ("ingestIfNotExists", &self.ingest_if_not_exists)] {
            if !values.is_empty() {
                object.insert(name.to_owned(), Value::from(values.clone()).to_string().into());
            }
        }
        if self.ignore_first_record {
            object.insert("ignoreFirstRecord".to_owned(), true.into());
        }
        object.extend(self.other.clone());
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_dialect_message_reads() {
        let json = r#"{"id":"1b6e52f2-53d5-4ee2-9c4d-3b3f1b0e1c11","blobPath":"https://a/b/c.csv?sig=x","rawDataSize":"12",
            "databaseName":"db","tableName":"t","retainBlobOnSuccess":true,"reportLevel":"FailuresAndSuccesses","reportMethod":"Table",
            "ingestionStatusInTable":{"tableConnectionString":"https://a/t?sig=x","partitionKey":"p","rowKey":"r"},
            "additionalProperties":{"authorizationContext":"SECRET","ignoreFirstRecord":"true","tags":"[\"a\"]","format":"CSV","jsonMappingReference":"m","x":1}}"#;
        let message = IngestionMessage::decode(json).unwrap();
        assert_eq!(message.raw_data_size, Some(12));
        assert_eq!(message.report_method, ReportMethod::Table);
        assert!(message.additional.ignore_first_record);
        assert_eq!(message.additional.tags, ["a"]);
        assert_eq!(message.additional.ingestion_mapping_reference.as_ref().unwrap().as_str(), "m");
        assert_eq!(message.additional.other.len(), 1);
        assert_eq!(IngestionMessage::decode(&message.encode()).unwrap(), message);
        let go = json.replacen(
            r#"{"tableConnectionString":"https://a/t?sig=x","partitionKey":"p","rowKey":"r"}"#,
            "{}",
            1,
        );
        let go = go.replacen(r#""x":1"#, r#""ingestIfNotExists":"one""#, 1);
        let go = IngestionMessage::decode(&go).unwrap();
        assert_eq!((go.status_in_table, go.additional.ingest_if_not_exists), (None, vec!["one".to_owned()]));
        let printed = format!("{message:?}");
        assert!(!printed.contains("SECRET") && !printed.contains("sig="), "{printed}");
    }

    #[test]
    fn malformed_messages_are_errors_without_their_text() {
        for text in ["", "####", "e30=", "{}", "[]", r#"{"Id":"x"}"#, r#"{"Id":{}}"#, "\u{0}"] {
            let error = IngestionMessage::decode(text).unwrap_err();
            assert!(!error.to_string().is_empty());
        }
    }
}
