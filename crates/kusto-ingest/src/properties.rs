//! Where a source goes and how it is read: every ingestion property, said once and
//! written in the way of each protocol.

use crate::mapping::Mapping;
use crate::{Error, ErrorKind};
use kusto_types::{DataFormat, DatabaseName, DateTime, TableName};
use kusto_wire::{AdditionalProperties, ReportLevel, ReportMethod};
use serde_json::{Map, Value, json};

/// What is checked of delimited records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationOptions {
    /// Nothing.
    DoNotValidate,
    /// That every record has the same number of fields.
    ConstantColumns,
    /// Each column alone.
    ColumnLevelOnly,
}

/// What a failed check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationImplications {
    /// The source fails.
    Fail,
    /// The record is left out.
    BestEffort,
}

/// What happens to a blob that the service read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterSuccess {
    /// It stays.
    #[default]
    Keep,
    /// The service deletes it once it is ingested; never when it failed.
    Delete,
}

/// How a zip or gzip name is treated by the service.
const TREAT_GZ: &str = "TreatGzAsUncompressed";

/// The target and the options of an ingestion.
#[derive(Debug, Clone)]
pub struct IngestionProperties {
    pub(crate) database: DatabaseName,
    pub(crate) table: TableName,
    pub(crate) format: Option<DataFormat>,
    pub(crate) mapping: Option<Mapping>,
    pub(crate) ignore_first_record: bool,
    pub(crate) ignore_last_record_if_invalid: bool,
    pub(crate) flush_immediately: bool,
    pub(crate) additional_tags: Vec<String>,
    pub(crate) drop_by_tags: Vec<String>,
    pub(crate) ingest_by_tags: Vec<String>,
    pub(crate) ingest_if_not_exists: Vec<String>,
    pub(crate) creation_time: Option<String>,
    pub(crate) validation: Option<(ValidationOptions, ValidationImplications)>,
    pub(crate) zip_pattern: Option<String>,
    pub(crate) extend_schema: bool,
    pub(crate) recreate_schema: bool,
    pub(crate) ignore_size_limit: bool,
    pub(crate) after_success: AfterSuccess,
    pub(crate) report_level: ReportLevel,
    pub(crate) report_method: ReportMethod,
    pub(crate) custom: Vec<(String, String)>,
}

impl IngestionProperties {
    /// Into a table; the format is inferred, failures are reported to the queue, as the
    /// official clients do by default.
    ///
    /// # Errors
    /// When a name is empty or malformed.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Result<Self, Error> {
        let name = |error: kusto_types::NameError| Error::new(ErrorKind::Usage, error.to_string());
        Ok(Self {
            database: DatabaseName::new(database).map_err(name)?,
            table: TableName::new(table).map_err(name)?,
            format: None,
            mapping: None,
            ignore_first_record: false,
            ignore_last_record_if_invalid: false,
            flush_immediately: false,
            additional_tags: Vec::new(),
            drop_by_tags: Vec::new(),
            ingest_by_tags: Vec::new(),
            ingest_if_not_exists: Vec::new(),
            creation_time: None,
            validation: None,
            zip_pattern: None,
            extend_schema: false,
            recreate_schema: false,
            ignore_size_limit: false,
            after_success: AfterSuccess::Keep,
            report_level: ReportLevel::FailuresOnly,
            report_method: ReportMethod::Queue,
            custom: Vec::new(),
        })
    }

    /// The data format, instead of the one that name and first bytes tell.
    #[must_use]
    pub fn with_format(mut self, format: DataFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// The ingestion mapping.
    #[must_use]
    pub fn with_mapping(mut self, mapping: Mapping) -> Self {
        self.mapping = Some(mapping);
        self
    }

    /// Skips the first record of each source (a header of a delimited format).
    #[must_use]
    pub fn ignoring_first_record(mut self) -> Self {
        self.ignore_first_record = true;
        self
    }

    /// Leaves out a last record that is cut off.
    #[must_use]
    pub fn ignoring_invalid_last_record(mut self) -> Self {
        self.ignore_last_record_if_invalid = true;
        self
    }

    /// Seals the service's batch with this source instead of waiting for more (v1
    /// `FlushImmediately`, v2 `skipBatching`). Costs the service efficiency; use it for
    /// tests and for the last source of a run.
    #[must_use]
    pub fn flushing_immediately(mut self) -> Self {
        self.flush_immediately = true;
        self
    }

    /// Tags of the new extents, as they are.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = String>) -> Self {
        self.additional_tags = tags.into_iter().collect();
        self
    }

    /// `drop-by:` tags of the new extents, without the prefix.
    #[must_use]
    pub fn with_drop_by_tags(mut self, tags: impl IntoIterator<Item = String>) -> Self {
        self.drop_by_tags = tags.into_iter().collect();
        self
    }

    /// `ingest-by:` tags of the new extents, without the prefix.
    #[must_use]
    pub fn with_ingest_by_tags(mut self, tags: impl IntoIterator<Item = String>) -> Self {
        self.ingest_by_tags = tags.into_iter().collect();
        self
    }

    /// Skips the source when an extent of the table has one of these `ingest-by:` values.
    #[must_use]
    pub fn with_ingest_if_not_exists(mut self, values: impl IntoIterator<Item = String>) -> Self {
        self.ingest_if_not_exists = values.into_iter().collect();
        self
    }

    /// Ingests the source once, however often it is sent: its extents get this
    /// `ingest-by:` value, and nothing is ingested when one has it.
    #[must_use]
    pub fn once_as(mut self, value: impl Into<String>) -> Self {
        let value = value.into();
        self.ingest_by_tags.push(value.clone());
        self.ingest_if_not_exists.push(value);
        self
    }

    /// Creation time of the new extents, ISO 8601.
    #[must_use]
    pub fn with_creation_time(mut self, time: impl Into<String>) -> Self {
        self.creation_time = Some(time.into());
        self
    }

    /// What is checked of delimited records, and what a failed check means.
    #[must_use]
    pub fn with_validation(
        mut self,
        options: ValidationOptions,
        implications: ValidationImplications,
    ) -> Self {
        self.validation = Some((options, implications));
        self
    }

    /// Which files of a zip archive are ingested.
    #[must_use]
    pub fn with_zip_pattern(mut self, pattern: impl Into<String>) -> Self {
        self.zip_pattern = Some(pattern.into());
        self
    }

    /// Adds columns that the table lacks.
    #[must_use]
    pub fn extending_schema(mut self) -> Self {
        self.extend_schema = true;
        self
    }

    /// Replaces the table's schema by that of the source.
    #[must_use]
    pub fn recreating_schema(mut self) -> Self {
        self.recreate_schema = true;
        self
    }

    /// Sends a source that is over the size limit all the same (6 GiB uncompressed).
    #[must_use]
    pub fn ignoring_size_limit(mut self) -> Self {
        self.ignore_size_limit = true;
        self
    }

    /// What happens to the blob after it is ingested. Local files are never deleted.
    #[must_use]
    pub fn after_success(mut self, after: AfterSuccess) -> Self {
        self.after_success = after;
        self
    }

    /// Reads blobs whose names end in `.gz` as they are.
    #[must_use]
    pub fn treating_gz_as_uncompressed(self) -> Self {
        self.with_property(TREAT_GZ, "true")
    }

    /// Where and which outcomes are reported (v1).
    #[must_use]
    pub fn with_reporting(mut self, level: ReportLevel, method: ReportMethod) -> Self {
        self.report_level = level;
        self.report_method = method;
        self
    }

    /// Reports every outcome, so that [`ingested`](crate::IngestionHandle::ingested) can
    /// tell it: v1 to the status table, v2 with `enableTracking`.
    #[must_use]
    pub fn tracked(self) -> Self {
        self.with_reporting(ReportLevel::FailuresAndSuccesses, ReportMethod::Table)
    }

    /// A property of the service that has no method here.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.custom.push((name.into(), value.into()));
        self
    }

    /// The database.
    pub fn database(&self) -> &DatabaseName {
        &self.database
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Whether outcomes can be asked for.
    pub(crate) fn is_tracked(&self) -> bool {
        self.report_level == ReportLevel::FailuresAndSuccesses
            && matches!(self.report_method, ReportMethod::Table | ReportMethod::QueueAndTable)
    }

    /// Every tag, in the order of the official clients.
    pub(crate) fn tags(&self) -> Vec<String> {
        let prefixed = |prefix: &str, tags: &[String]| {
            tags.iter().map(|tag| format!("{prefix}{tag}")).collect::<Vec<_>>()
        };
        let mut tags = self.additional_tags.clone();
        tags.extend(prefixed("drop-by:", &self.drop_by_tags));
        tags.extend(prefixed("ingest-by:", &self.ingest_by_tags));
        tags
    }

    fn validation_policy(&self) -> Option<String> {
        let (options, implications) = self.validation?;
        let options = match options {
            ValidationOptions::DoNotValidate => 0,
            ValidationOptions::ConstantColumns => 1,
            ValidationOptions::ColumnLevelOnly => 2,
        };
        let implications = match implications {
            ValidationImplications::Fail => 0,
            ValidationImplications::BestEffort => 1,
        };
        Some(json!({ "ValidationOptions": options, "ValidationImplications": implications }).to_string())
    }

    /// Checks everything that can be checked before a byte is sent.
    pub(crate) fn check(&self, format: DataFormat) -> Result<(), Error> {
        let wrong = |problem: String| Err(Error::new(ErrorKind::Usage, problem));
        if let Some(mapping) = &self.mapping {
            mapping.check(format)?;
        }
        if let Some(time) = self.creation_time.as_ref().filter(|time| DateTime::parse(time).is_none()) {
            return wrong(format!("creation time {time:?} is not a datetime"));
        }
        if self.tags().iter().chain(&self.ingest_if_not_exists).any(|tag| tag.trim().is_empty()) {
            return wrong("a tag is empty".to_owned());
        }
        if let Some(tag) = self.ingest_if_not_exists.iter().find(|tag| tag.starts_with("ingest-by:")) {
            return wrong(format!("{tag:?}: values of ingestIfNotExists are without the prefix ingest-by:"));
        }
        let own = [
            "format",
            "ingestionMapping",
            "ingestionMappingReference",
            "ingestionMappingType",
            "tags",
            "ingestIfNotExists",
            "ignoreFirstRecord",
            "creationTime",
            "validationPolicy",
            "zipPattern",
            "extend_schema",
            "recreate_schema",
            "ignoreLastRecordIfInvalid",
            "authorizationContext",
            "enableTracking",
            "skipBatching",
            "deleteAfterDownload",
            "ignoreSizeLimit",
        ];
        for (index, (name, _)) in self.custom.iter().enumerate() {
            if name.trim().is_empty() {
                return wrong("a property has no name".to_owned());
            }
            if own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                return wrong(format!("property {name} has a method of its own; use that"));
            }
            if self.custom[..index].iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
                return wrong(format!("property {name} is set twice"));
            }
        }
        Ok(())
    }

    /// The options that streaming ingestion has no way to carry.
    pub(crate) fn unstreamable(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut note = |is_set: bool, name: &'static str| {
            if is_set {
                names.push(name);
            }
        };
        note(!self.tags().is_empty(), "tags");
        note(!self.ingest_if_not_exists.is_empty(), "ingestIfNotExists");
        note(matches!(self.mapping, Some(Mapping::Inline { .. })), "an inline mapping");
        note(self.ignore_first_record, "ignoreFirstRecord");
        note(self.ignore_last_record_if_invalid, "ignoreLastRecordIfInvalid");
        note(self.creation_time.is_some(), "creationTime");
        note(self.validation.is_some(), "a validation policy");
        note(self.zip_pattern.is_some(), "zipPattern");
        note(self.extend_schema || self.recreate_schema, "a change of the schema");
        note(self.after_success == AfterSuccess::Delete, "deletion of the source");
        note(!self.custom.is_empty(), "other properties");
        names
    }

    /// The options that a direct `.ingest` command has no way to carry.
    pub(crate) fn undirectable(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if self.extend_schema || self.recreate_schema {
            names.push("a change of the schema (only ingestion from a query changes it)");
        }
        if self.after_success == AfterSuccess::Delete {
            names.push("deletion of the source");
        }
        names
    }

    /// The text and boolean options that v1 messages, v2 requests and commands write alike.
    fn shared(&self) -> Vec<(&'static str, Value)> {
        let mut shared: Vec<(&'static str, Value)> = Vec::new();
        if self.ignore_last_record_if_invalid {
            shared.push(("ignoreLastRecordIfInvalid", true.into()));
        }
        if let Some(pattern) = &self.zip_pattern {
            shared.push(("zipPattern", pattern.as_str().into()));
        }
        if self.extend_schema {
            shared.push(("extend_schema", true.into()));
        }
        if self.recreate_schema {
            shared.push(("recreate_schema", true.into()));
        }
        shared
    }

    fn mapping_parts(&self) -> (Option<&Mapping>, Option<String>) {
        let inline = match &self.mapping {
            Some(Mapping::Inline { json, .. }) => Some(json.clone()),
            _ => None,
        };
        (self.mapping.as_ref(), inline)
    }

    /// The `AdditionalProperties` of a v1 message. `first` tells the first part of a split
    /// source, which alone has a header.
    pub(crate) fn message(&self, format: DataFormat, token: &str, first: bool) -> AdditionalProperties {
        let (mapping, inline) = self.mapping_parts();
        let mut other: Map<String, Value> =
            self.shared().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in &self.custom {
            other.insert(name.clone(), value.as_str().into());
        }
        AdditionalProperties {
            authorization_context: Some(token.to_owned()),
            format: Some(format),
            ingestion_mapping_type: mapping.map(|_| format.mapping_kind().wire_name().to_owned()),
            ingestion_mapping: inline,
            ingestion_mapping_reference: match mapping {
                Some(Mapping::Reference(name)) => Some(name.clone()),
                _ => None,
            },
            tags: self.tags(),
            ingest_if_not_exists: self.ingest_if_not_exists.clone(),
            ignore_first_record: self.ignore_first_record && first,
            creation_time: self.creation_time.clone(),
            validation_policy: self.validation_policy(),
            other,
        }
    }

    /// The `properties` of a v2 request.
    pub(crate) fn request(&self, format: DataFormat, first: bool) -> Map<String, Value> {
        let (mapping, inline) = self.mapping_parts();
        let mut properties = Map::new();
        let mut put = |name: &str, value: Value| {
            properties.insert(name.to_owned(), value);
        };
        put("format", format.wire_name().into());
        put("enableTracking", self.is_tracked().into());
        if self.flush_immediately {
            put("skipBatching", true.into());
        }
        let tags = self.tags();
        if !tags.is_empty() {
            put("tags", tags.into());
        }
        if !self.ingest_if_not_exists.is_empty() {
            put("ingestIfNotExists", self.ingest_if_not_exists.clone().into());
        }
        if let Some(Mapping::Reference(name)) = mapping {
            put("ingestionMappingReference", name.as_str().into());
        }
        if let Some(json) = inline {
            put("ingestionMapping", json.into());
        }
        if self.ignore_first_record && first {
            put("ignoreFirstRecord", true.into());
        }
        if let Some(time) = &self.creation_time {
            put("creationTime", time.as_str().into());
        }
        if let Some(policy) = self.validation_policy() {
            put("validationPolicy", policy.into());
        }
        if self.ignore_size_limit {
            put("ignoreSizeLimit", true.into());
        }
        if self.after_success == AfterSuccess::Delete {
            put("deleteAfterDownload", true.into());
        }
        for (name, value) in self.shared() {
            put(name, value);
        }
        for (name, value) in &self.custom {
            put(name, value.as_str().into());
        }
        properties
    }

    /// The `with (...)` of a command.
    pub(crate) fn command(&self, format: Option<DataFormat>, first: bool) -> Vec<(String, String)> {
        let (mapping, inline) = self.mapping_parts();
        let mut properties = Vec::new();
        let mut put = |name: &str, value: String| properties.push((name.to_owned(), value));
        if let Some(format) = format {
            put("format", format.wire_name().to_owned());
        }
        if let Some(Mapping::Reference(name)) = mapping {
            put("ingestionMappingReference", name.to_string());
        }
        if let Some(json) = inline {
            put("ingestionMapping", json);
        }
        let tags = self.tags();
        if !tags.is_empty() {
            put("tags", Value::from(tags).to_string());
        }
        if !self.ingest_if_not_exists.is_empty() {
            put("ingestIfNotExists", Value::from(self.ingest_if_not_exists.clone()).to_string());
        }
        if self.ignore_first_record && first {
            put("ignoreFirstRecord", "true".to_owned());
        }
        if let Some(time) = &self.creation_time {
            put("creationTime", time.clone());
        }
        if let Some(policy) = self.validation_policy() {
            put("validationPolicy", policy);
        }
        for (name, value) in self.shared() {
            put(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        for (name, value) in &self.custom {
            put(name, value.clone());
        }
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> IngestionProperties {
        IngestionProperties::new("db", "t")
            .unwrap()
            .with_mapping(Mapping::reference("m").unwrap())
            .ignoring_first_record()
            .ignoring_invalid_last_record()
            .flushing_immediately()
            .with_tags(["a".to_owned()])
            .with_drop_by_tags(["d".to_owned()])
            .once_as("i")
            .with_creation_time("2024-01-01T00:00:00Z")
            .with_validation(ValidationOptions::ConstantColumns, ValidationImplications::BestEffort)
            .with_zip_pattern("*.csv")
            .extending_schema()
            .ignoring_size_limit()
            .after_success(AfterSuccess::Delete)
            .treating_gz_as_uncompressed()
            .tracked()
    }

    #[test]
    fn every_option_is_in_each_protocol() {
        let properties = full();
        properties.check(DataFormat::Csv).unwrap();
        let message = Value::Object(properties.message(DataFormat::Csv, "T", true).to_json());
        assert_eq!(message["tags"], r#"["a","drop-by:d","ingest-by:i"]"#);
        assert_eq!(message["validationPolicy"], r#"{"ValidationOptions":1,"ValidationImplications":1}"#);
        assert_eq!(message["TreatGzAsUncompressed"], "true");
        assert_eq!((&message["extend_schema"], &message["zipPattern"]), (&true.into(), &"*.csv".into()));
        let request = Value::Object(properties.request(DataFormat::Csv, true));
        assert_eq!(
            request,
            json!({
                "format": "csv", "enableTracking": true, "skipBatching": true,
                "tags": ["a", "drop-by:d", "ingest-by:i"], "ingestIfNotExists": ["i"],
                "ingestionMappingReference": "m", "ignoreFirstRecord": true,
                "creationTime": "2024-01-01T00:00:00Z",
                "validationPolicy": "{\"ValidationOptions\":1,\"ValidationImplications\":1}",
                "ignoreSizeLimit": true, "deleteAfterDownload": true, "ignoreLastRecordIfInvalid": true,
                "zipPattern": "*.csv", "extend_schema": true, "TreatGzAsUncompressed": "true",
            })
        );
        let command = properties.command(Some(DataFormat::Csv), true);
        let names: Vec<&str> = command.iter().map(|(name, _)| name.as_str()).collect();
        assert!(["format", "tags", "zipPattern", "creationTime"].iter().all(|name| names.contains(name)));
        // Only the first part of a split source has the header.
        assert_eq!(properties.request(DataFormat::Csv, false).get("ignoreFirstRecord"), None);
        assert_eq!(properties.unstreamable().len(), 11 - 1);
        assert_eq!(properties.undirectable().len(), 2);
    }

    #[test]
    fn faults_are_found_before_a_byte_is_sent() {
        let base = || IngestionProperties::new("db", "t").unwrap();
        for (properties, says) in [
            (base().with_creation_time("soon"), "not a datetime"),
            (base().with_tags([String::new()]), "tag is empty"),
            (base().with_ingest_if_not_exists(["ingest-by:x".to_owned()]), "without the prefix"),
            (base().with_property("Tags", "[]"), "method of its own"),
            (base().with_property("a", "1").with_property("A", "2"), "set twice"),
            (base().with_property("", "1"), "no name"),
        ] {
            let error = properties.check(DataFormat::Csv).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(IngestionProperties::new("", "t").is_err());
        assert!(IngestionProperties::new("db", "").is_err());
    }
}
