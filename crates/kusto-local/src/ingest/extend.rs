//! `extend_schema` of files: columns that the mapping has and the table lacks are added to it.

use crate::ServiceError;
use crate::store::reports::Outcome;
use kusto_engine::{Catalog, TableRecord};
use kusto_kql::CreateMode;
use kusto_types::{Column, ColumnType, DataFormat, IngestionMapping, TableSchema};
use kusto_wire::AdditionalProperties;
use serde_json::Value;

/// Whether properties ask for a change of the schema.
pub(crate) fn is_asked(properties: &AdditionalProperties) -> bool {
    is_on(properties, "extend_schema") || is_on(properties, "recreate_schema")
}

/// Whether a property that has no place of its own is switched on.
pub(crate) fn is_on(properties: &AdditionalProperties, name: &str) -> bool {
    properties.other.iter().any(|(known, value)| {
        known.eq_ignore_ascii_case(name)
            && (value == &Value::Bool(true)
                || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
    })
}

/// Adds the columns of the mapping that properties name, if they ask for it. What is wrong
/// with them is an outcome; a mapping that cannot be read or found is left to whoever reads
/// the source by it.
pub(crate) fn by_mapping(
    catalog: &Catalog<'_>,
    table: &TableRecord,
    properties: &AdditionalProperties,
) -> Result<Result<(), Outcome>, ServiceError> {
    if is_on(properties, "recreate_schema") {
        return Ok(Err(Outcome::permanent(
            "BadRequest_MalformedIngestionProperty",
            "recreate_schema is for .set-or-replace; use .drop table and .create table, or extend_schema",
        )));
    }
    if !is_on(properties, "extend_schema") {
        return Ok(Ok(()));
    }
    let kind = properties.format.unwrap_or(DataFormat::Csv).mapping_kind();
    let mapping = match (&properties.ingestion_mapping, &properties.ingestion_mapping_reference) {
        (Some(json), None) => IngestionMapping::parse(kind, json).ok(),
        (None, Some(name)) => catalog.find_mapping(table, kind, name.as_str())?,
        _ => None,
    };
    let Some(mapping) = mapping else { return Ok(Ok(())) };
    let lacking: Vec<Column> = mapping
        .elements
        .iter()
        .filter(|element| table.schema.position(element.column.as_str()).is_none())
        .map(|element| Column {
            name: element.column.clone(),
            column_type: element.column_type.unwrap_or(ColumnType::String),
        })
        .collect();
    if lacking.is_empty() {
        return Ok(Ok(()));
    }
    match TableSchema::new(lacking) {
        Ok(lacking) => {
            catalog.create_table(&table.database, &table.name, &lacking, CreateMode::AlterMerge, "", "")?;
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(Outcome::permanent("BadRequest_InvalidMapping", error.to_string()))),
    }
}
