//! How a service reports what became of a source: the status table row and the
//! messages of the success and failure queues.

use kusto_types::SourceId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Reads an enum from its number or its name, as different clients write either.
macro_rules! number_or_name {
    ($type:ident { $($variant:ident = $number:literal, $name:literal);* $(;)? }) => {
        impl $type {
            /// The number on the wire.
            pub fn number(self) -> i64 { match self { $(Self::$variant => $number),* } }
            /// The name on the wire.
            pub fn wire_name(self) -> &'static str { match self { $(Self::$variant => $name),* } }
            /// Reads the number or the name, in any case.
            pub fn read(value: &Value) -> Option<Self> {
                let text = match value { Value::String(text) => text.clone(), other => other.to_string() };
                $(if text == stringify!($number) || text.eq_ignore_ascii_case($name) { return Some(Self::$variant); })*
                None
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_i64(self.number()) }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(d)?;
                Self::read(&value).ok_or_else(|| serde::de::Error::custom(format!("{value} is not a {}", stringify!($type))))
            }
        }
    };
}

/// Which outcomes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportLevel {
    /// Only failures; the default.
    #[default]
    FailuresOnly,
    /// Nothing.
    None,
    /// Every outcome.
    FailuresAndSuccesses,
}
number_or_name!(ReportLevel { FailuresOnly = 0, "FailuresOnly"; None = 1, "None"; FailuresAndSuccesses = 2, "FailuresAndSuccesses" });

/// Where outcomes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportMethod {
    /// To the success and failure queues; the default.
    #[default]
    Queue,
    /// To the status table row that the message points at.
    Table,
    /// To both.
    QueueAndTable,
}
number_or_name!(ReportMethod { Queue = 0, "Queue"; Table = 1, "Table"; QueueAndTable = 2, "QueueAndTable" });

/// The state of a source in the status table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IngestionStatus {
    /// On its way.
    Pending,
    /// Posted; never changes where nothing is reported to the table.
    Queued,
    /// In the table.
    Succeeded,
    /// Not in the table, and nothing more will be tried.
    Failed,
    /// Not ingested on purpose (ingestIfNotExists, nothing to ingest).
    Skipped,
    /// Some of it is in the table.
    PartiallySucceeded,
}

impl IngestionStatus {
    /// The name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Queued => "Queued",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::PartiallySucceeded => "PartiallySucceeded",
        }
    }

    /// Whether the state can still change.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureStatus {
    /// Nothing is known.
    Unknown,
    /// The same source can never succeed.
    Permanent,
    /// The service is trying again.
    Transient,
    /// The service gave up after its retries.
    Exhausted,
}

impl FailureStatus {
    /// The name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Permanent => "Permanent",
            Self::Transient => "Transient",
            Self::Exhausted => "Exhausted",
        }
    }
}

/// A row of the ingestion status table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusRow {
    /// Partition key; clients use the source id.
    pub partition_key: String,
    /// Row key; clients use the source id or the nil id.
    pub row_key: String,
    /// The state.
    pub status: IngestionStatus,
    /// The source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingestion_source_id: Option<String>,
    /// The blob, without its SAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingestion_source_path: Option<String>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// When the row changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_on: Option<String>,
    /// The operation that loaded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// The service's activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<String>,
    /// Code of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Whether the failure is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_status: Option<FailureStatus>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Whether an update policy failed rather than the ingestion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originates_from_update_policy: Option<bool>,
}

impl StatusRow {
    /// The row that a client writes before it posts the message.
    pub fn pending(source: SourceId, path: &str, database: &str, table: &str) -> Self {
        Self {
            partition_key: source.to_string(),
            row_key: source.to_string(),
            status: IngestionStatus::Pending,
            ingestion_source_id: Some(source.to_string()),
            ingestion_source_path: Some(path.to_owned()),
            database: Some(database.to_owned()),
            table: Some(table.to_owned()),
            updated_on: Some(kusto_types::DateTime::now().to_string()),
            operation_id: None,
            activity_id: None,
            error_code: None,
            failure_status: None,
            details: None,
            originates_from_update_policy: None,
        }
    }

    /// The properties as a table entity, with `@odata.type` where the type is not text.
    pub fn to_entity(&self) -> Map<String, Value> {
        // INVARIANT: a struct of strings, enums and booleans always becomes an object.
        let Ok(Value::Object(mut entity)) = serde_json::to_value(self) else { return Map::new() };
        if entity.contains_key("UpdatedOn") {
            entity.insert("UpdatedOn@odata.type".to_owned(), "Edm.DateTime".into());
        }
        entity
    }

    /// Reads a table entity.
    pub fn from_entity(entity: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        let plain: Map<String, Value> = entity
            .iter()
            .filter(|(key, _)| !key.contains('@') && !key.starts_with("odata.") && *key != "Timestamp")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        serde_json::from_value(Value::Object(plain))
    }
}

/// A message of the success queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SuccessMessage {
    /// The operation that loaded it.
    pub operation_id: String,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// When.
    pub succeeded_on: String,
    /// The source.
    pub ingestion_source_id: String,
    /// The blob, without its SAS.
    pub ingestion_source_path: String,
    /// The service's activity.
    pub root_activity_id: String,
}

/// A message of the failure queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FailureMessage {
    /// The operation that failed.
    pub operation_id: String,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// When.
    pub failed_on: String,
    /// The source.
    pub ingestion_source_id: String,
    /// The blob, without its SAS.
    pub ingestion_source_path: String,
    /// What happened.
    pub details: String,
    /// Code.
    pub error_code: String,
    /// Whether it is final.
    pub failure_status: FailureStatus,
    /// The service's activity.
    pub root_activity_id: String,
    /// Whether an update policy failed rather than the ingestion.
    pub originates_from_update_policy: bool,
    /// Whether the same request may succeed when sent again.
    pub should_retry: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_methods_read_as_number_or_name() {
        for value in [Value::from(2), "2".into(), "failuresandsuccesses".into()] {
            assert_eq!(ReportLevel::read(&value), Some(ReportLevel::FailuresAndSuccesses), "{value}");
        }
        assert_eq!(ReportMethod::read(&"QueueAndTable".into()), Some(ReportMethod::QueueAndTable));
        assert_eq!(ReportMethod::read(&9.into()), None);
    }

    #[test]
    fn a_status_row_reads_back_from_an_entity() {
        let row = StatusRow::pending(SourceId::random(), "https://a/b", "db", "t");
        let mut entity = row.to_entity();
        entity.insert("odata.etag".into(), "x".into());
        entity.insert("Timestamp".into(), "x".into());
        assert_eq!(StatusRow::from_entity(&entity).unwrap(), row);
    }
}
