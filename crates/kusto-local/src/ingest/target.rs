//! Where a source goes and how it is read: table, mapping and options, looked up fresh
//! for each ingestion so that a changed schema is seen. One place for every path:
//! queued, direct and streaming.

use crate::ServiceError;
use crate::store::reports::Outcome;
use arrow_schema::Schema;
use kusto_decode::{DecodeRequest, LastRecord, Validation};
use kusto_engine::{Catalog, TableId};
use kusto_types::{DataFormat, DateTime, IngestionMapping, TableSchema};
use kusto_wire::AdditionalProperties;
use rusqlite::Connection;
use std::sync::Arc;

/// How a source is read into its table.
pub(crate) struct Target {
    pub(crate) table: TableId,
    pub(crate) schema: TableSchema,
    /// The columns as the table's files have them.
    pub(crate) stored: Arc<Schema>,
    pub(crate) mapping: Option<IngestionMapping>,
    pub(crate) format: DataFormat,
    pub(crate) ignore_first_record: bool,
    pub(crate) validation: Validation,
    pub(crate) last_record: LastRecord,
    pub(crate) zip_pattern: Option<regex::Regex>,
}

/// What a validation policy asks for.
fn validation(policy: Option<&str>) -> Validation {
    let Some(json) = policy else { return Validation::Fail };
    let policy: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let member =
        |names: [&str; 3]| names.iter().find_map(|name| policy.get(name)).and_then(serde_json::Value::as_i64);
    match (
        member(["ValidationOptions", "validationOptions", "validation_options"]),
        member(["ValidationImplications", "validationImplications", "validation_implications"]),
    ) {
        (Some(0), _) => Validation::Ignore,
        (_, Some(1)) => Validation::DropRecord,
        _ => Validation::Fail,
    }
}

/// A `zipPattern`: a regular expression, or, as a sample of the documentation has it, a
/// wildcard such as `*.csv`, which is no expression.
fn archive_pattern(text: &str) -> Result<regex::Regex, regex::Error> {
    regex::Regex::new(text).or_else(|error| match text.starts_with('*') {
        true => {
            let escaped = regex::escape(text).replace(r"\*", ".*").replace(r"\?", ".");
            regex::Regex::new(&format!("^{escaped}$"))
        }
        false => Err(error),
    })
}

impl Target {
    /// Looks up the table and the mapping that `properties` name; what is wrong with them
    /// is an outcome. `path` gives the format when the properties do not.
    pub(crate) fn find(
        connection: &Connection,
        database: &str,
        table: &str,
        properties: &AdditionalProperties,
        path: &str,
    ) -> Result<Result<Self, Outcome>, ServiceError> {
        let fail = |code: &str, details: String| Ok(Err(Outcome::permanent(code, details)));
        let catalog = Catalog(connection);
        let Ok(database) = catalog.database(database) else {
            return fail("BadRequest_DatabaseNotExist", format!("database {database} does not exist"));
        };
        let Some(record) = catalog.find_table(&database, table)? else {
            return fail(
                "BadRequest_TableNotExist",
                format!("table {table} does not exist in database {database}"),
            );
        };
        let format = properties.format.or_else(|| DataFormat::from_path(path)).unwrap_or(DataFormat::Csv);
        if let Some(time) = properties.creation_time.as_ref().filter(|text| DateTime::parse(text).is_none()) {
            return fail(
                "BadRequest_MalformedIngestionProperty",
                format!("creationTime {time:?} is not a datetime"),
            );
        }
        let made = properties.creation_time.as_ref().and_then(|text| DateTime::parse(text));
        let oldest = super::janitor::oldest_kept(&catalog, &database, table)?;
        if let (Some(made), Some(oldest)) = (made, oldest)
            && made < oldest
        {
            return fail(
                "BadRequest_CreationTimeEarlierThanSoftDeletePeriod",
                format!("creationTime {made} is before {oldest}, from which on the table keeps its rows"),
            );
        }
        let pattern = properties.other.iter().find(|(name, _)| name.eq_ignore_ascii_case("zipPattern"));
        let zip_pattern = match pattern.and_then(|(_, value)| value.as_str()).filter(|text| !text.is_empty())
        {
            None => None,
            Some(text) => match archive_pattern(text) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    return fail(
                        "BadRequest_MalformedIngestionProperty",
                        format!(
                            "zipPattern {text:?} is neither a regular expression nor a wildcard: {error}"
                        ),
                    );
                }
            },
        };
        let kind = format.mapping_kind();
        let mapping = match (&properties.ingestion_mapping, &properties.ingestion_mapping_reference) {
            (Some(_), Some(_)) => {
                return fail(
                    "BadRequest_DuplicateMapping",
                    "both a mapping and a mapping reference are given; give one".to_owned(),
                );
            }
            (Some(json), None) => match IngestionMapping::parse(kind, json) {
                Ok(mapping) => Some(mapping),
                Err(error) => return fail("BadRequest_InvalidMapping", error.to_string()),
            },
            (None, Some(name)) => match catalog.find_mapping(&record, kind, name.as_str())? {
                Some(mapping) => Some(mapping),
                None => {
                    return fail(
                        "BadRequest_MappingReferenceWasNotFound",
                        format!("table {table} has no {kind} mapping named {name}"),
                    );
                }
            },
            (None, None) => None,
        };
        let target = Self {
            table: record.id,
            stored: Arc::new(record.stored_schema().arrow()),
            schema: record.schema,
            mapping,
            format,
            ignore_first_record: properties.ignore_first_record,
            validation: validation(properties.validation_policy.as_deref()),
            last_record: match super::extend::is_on(properties, "ignoreLastRecordIfInvalid") {
                true => LastRecord::MayBeInvalid,
                false => LastRecord::MustBeValid,
            },
            zip_pattern,
        };
        if let Err(error) = target.request("").check() {
            return fail(error.code(), error.to_string());
        }
        Ok(Ok(target))
    }

    /// What the decoder is asked for a source at `location`.
    pub(crate) fn request<'t>(&'t self, location: &'t str) -> DecodeRequest<'t> {
        DecodeRequest {
            format: self.format,
            schema: &self.schema,
            mapping: self.mapping.as_ref(),
            ignore_first_record: self.ignore_first_record,
            source_location: location,
            validation: self.validation,
            last_record: self.last_record,
            zip_pattern: self.zip_pattern.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_patterns_are_expressions_or_wildcards() {
        let matches = |pattern: &str, name: &str| archive_pattern(pattern).unwrap().is_match(name);
        assert!(matches(r"\.csv$", "a/b.csv") && !matches(r"\.csv$", "b.csv.txt"));
        assert!(matches("*.csv", "a/b.csv") && !matches("*.csv", "b_csv") && !matches("*.csv", "b.csv.txt"));
        assert!(matches("*part?.csv", "x/part1.csv") && !matches("*part?.csv", "part.csv"));
        archive_pattern("(").unwrap_err();
    }
}
