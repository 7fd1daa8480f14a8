//! Where a source goes and how it is read.

use crate::{Error, ErrorKind};
use kusto_types::{DataFormat, DatabaseName, IngestionMapping, MappingName, TableName};
use kusto_wire::{AdditionalProperties, ReportLevel, ReportMethod};

/// How fields become columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mapping {
    /// The name of a mapping on the service.
    Reference(MappingName),
    /// The JSON of a mapping, sent along.
    Inline(String),
}

/// The target and the options of an ingestion.
#[derive(Debug, Clone)]
pub struct IngestionProperties {
    pub(crate) database: DatabaseName,
    pub(crate) table: TableName,
    pub(crate) format: Option<DataFormat>,
    pub(crate) mapping: Option<Mapping>,
    pub(crate) ignore_first_record: bool,
    pub(crate) flush_immediately: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) ingest_if_not_exists: Vec<String>,
    pub(crate) creation_time: Option<String>,
    pub(crate) report_level: ReportLevel,
    pub(crate) report_method: ReportMethod,
}

impl IngestionProperties {
    /// Into a table; the format is inferred, failures are reported to the queue, as the
    /// official clients do by default.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Result<Self, Error> {
        let name = |error: kusto_types::NameError| Error::new(ErrorKind::Usage, error.to_string());
        Ok(Self {
            database: DatabaseName::new(database).map_err(name)?,
            table: TableName::new(table).map_err(name)?,
            format: None,
            mapping: None,
            ignore_first_record: false,
            flush_immediately: false,
            tags: Vec::new(),
            ingest_if_not_exists: Vec::new(),
            creation_time: None,
            report_level: ReportLevel::FailuresOnly,
            report_method: ReportMethod::Queue,
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

    /// Seals the service's batch with this source instead of waiting for more. Costs
    /// the service efficiency; use it for tests and for the last source of a run.
    #[must_use]
    pub fn flushing_immediately(mut self) -> Self {
        self.flush_immediately = true;
        self
    }

    /// Tags of the new extents.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = String>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    /// Skips the source when an extent of the table has one of these `ingest-by:` values.
    #[must_use]
    pub fn with_ingest_if_not_exists(mut self, values: impl IntoIterator<Item = String>) -> Self {
        self.ingest_if_not_exists = values.into_iter().collect();
        self
    }

    /// Creation time of the new extents, ISO 8601.
    #[must_use]
    pub fn with_creation_time(mut self, time: impl Into<String>) -> Self {
        self.creation_time = Some(time.into());
        self
    }

    /// Where and which outcomes are reported.
    #[must_use]
    pub fn with_reporting(mut self, level: ReportLevel, method: ReportMethod) -> Self {
        self.report_level = level;
        self.report_method = method;
        self
    }

    /// Reports every outcome to the status table, so that
    /// [`ingested`](crate::IngestionHandle::ingested) can tell it.
    #[must_use]
    pub fn tracked(self) -> Self {
        self.with_reporting(ReportLevel::FailuresAndSuccesses, ReportMethod::Table)
    }

    /// Checks everything that can be checked before a byte is sent.
    pub(crate) fn check(&self, format: DataFormat) -> Result<(), Error> {
        if let Some(Mapping::Inline(json)) = &self.mapping {
            IngestionMapping::parse(format.mapping_kind(), json).map_err(|error| {
                Error::new(ErrorKind::Usage, format!("the mapping is no {} mapping", format.mapping_kind()))
                    .caused_by(error)
            })?;
        }
        if let Some(time) =
            self.creation_time.as_ref().filter(|time| kusto_types::DateTime::parse(time).is_none())
        {
            return Err(Error::new(ErrorKind::Usage, format!("creation time {time:?} is not a datetime")));
        }
        Ok(())
    }

    pub(crate) fn additional(&self, format: DataFormat, token: &str) -> AdditionalProperties {
        let (reference, inline) = match &self.mapping {
            Some(Mapping::Reference(name)) => (Some(name.clone()), None),
            Some(Mapping::Inline(json)) => (None, Some(json.clone())),
            None => (None, None),
        };
        AdditionalProperties {
            authorization_context: Some(token.to_owned()),
            format: Some(format),
            ingestion_mapping_type: self
                .mapping
                .as_ref()
                .map(|_| format.mapping_kind().wire_name().to_owned()),
            ingestion_mapping: inline,
            ingestion_mapping_reference: reference,
            tags: self.tags.clone(),
            ingest_if_not_exists: self.ingest_if_not_exists.clone(),
            ignore_first_record: self.ignore_first_record,
            creation_time: self.creation_time.clone(),
            ..AdditionalProperties::default()
        }
    }
}
