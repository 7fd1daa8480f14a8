//! What to decode into, and what came of it.

use crate::DecodeError;
use kusto_types::{DataFormat, IngestionMapping, TableSchema};

/// What happens to a delimited record with another number of fields than the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// The source fails; the default.
    #[default]
    Fail,
    /// The record is dropped (ValidationImplications BestEffort).
    DropRecord,
    /// The record is taken: missing fields are null, extra ones are ignored.
    Ignore,
}

/// What happens to the last record of a source when it is cut off or otherwise invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastRecord {
    /// It is a record as any other: the source fails; the default.
    #[default]
    MustBeValid,
    /// It is dropped (`ignoreLastRecordIfInvalid`): of a log that is still being written.
    MayBeInvalid,
}

/// How to read a source.
#[derive(Debug, Clone)]
pub struct DecodeRequest<'a> {
    /// Its format.
    pub format: DataFormat,
    /// The table that the rows go into.
    pub schema: &'a TableSchema,
    /// How fields become columns; absent means by position or by name.
    pub mapping: Option<&'a IngestionMapping>,
    /// Whether the first record is a header to skip (delimited formats).
    pub ignore_first_record: bool,
    /// What `SourceLocation` gives; never with a credential in it.
    pub source_location: &'a str,
    /// Which files of a zip archive are read, by their names in it; all when absent.
    pub zip_pattern: Option<&'a regex::Regex>,
    /// What happens to records of another width.
    pub validation: Validation,
    /// What happens to a last record that is invalid.
    pub last_record: LastRecord,
}

impl DecodeRequest<'_> {
    /// Whether mapping, format and table go together.
    pub fn check(&self) -> Result<(), DecodeError> {
        let Some(mapping) = self.mapping else { return Ok(()) };
        if mapping.kind != self.format.mapping_kind() {
            return Err(DecodeError::MappingKind { kind: mapping.kind, format: self.format });
        }
        for element in &mapping.elements {
            let Some(position) = self.schema.position(element.column.as_str()) else {
                return Err(DecodeError::MappingMismatch(format!(
                    "the table has no column {}",
                    element.column
                )));
            };
            let in_table = self.schema.columns()[position].column_type;
            if let Some(said) = element.column_type.filter(|said| *said != in_table) {
                return Err(DecodeError::MappingMismatch(format!(
                    "column {} is {in_table} in the table and {said} in the mapping",
                    element.column
                )));
            }
        }
        Ok(())
    }
}

/// What came of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeReport {
    /// Rows handed on.
    pub rows: u64,
    /// Records dropped (malformed JSON lines, rows of another width under best effort).
    pub dropped: u64,
    /// Why the first of them was dropped.
    pub first_fault: Option<String>,
    /// Uncompressed bytes read.
    pub raw_bytes: u64,
    /// Whether the source held a header and nothing else.
    pub header_only: bool,
}

impl DecodeReport {
    /// Counts a record that is dropped.
    pub(crate) fn drop_record(&mut self, fault: impl std::fmt::Display) {
        self.dropped += 1;
        self.first_fault.get_or_insert_with(|| fault.to_string());
    }
}
