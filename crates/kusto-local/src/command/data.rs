//! The commands that add data: `.ingest inline`, `.set`, `.append`, `.set-or-append`.

use super::Context;
use crate::ServiceError;
use crate::ingest::stage::{Stage, Target, commit_of};
use crate::state::State;
use crate::store::reports::Outcome;
use arrow_array::RecordBatch;
use kusto_decode::{Input, Validation};
use kusto_engine::{
    Catalog, CatalogCommit, CommitOutcome, CreateOutcome, ExtentFile, ExtentWriter, TableCommit, TableRecord,
};
use kusto_kql::{CreateMode, FillMode};
use kusto_types::{
    ColumnType as T, DataFormat, IngestionMapping, TableName, TableSchema, Timespan, arrow_schema,
};
use kusto_wire::{AdditionalProperties, RequestProperties, ResultTable};
use serde_json::{Map, Value};
use std::sync::Arc;

fn data_fault(code: &str, message: impl ToString) -> ServiceError {
    ServiceError::BadData { code: code.to_owned(), message: message.to_string() }
}

/// `with (...)` read as ingestion properties.
fn read_properties(properties: &[(String, String)]) -> Result<AdditionalProperties, ServiceError> {
    let object: Map<String, Value> = properties
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.trim_matches(['\'', '"']).to_owned())))
        .collect();
    AdditionalProperties::read(&object)
        .map_err(|error| data_fault("BadRequest_MalformedIngestionProperty", error))
}

fn find_table(state: &State, context: &Context<'_>, table: &str) -> Result<TableRecord, ServiceError> {
    state.store.read(|connection| {
        let database = crate::query::database_of(connection, context.database)?;
        Ok(Catalog(connection).table(&database, table)?)
    })
}

/// Commits finished files with the given properties.
fn commit(
    state: &State,
    table: &TableRecord,
    files: Vec<(ExtentFile, u64)>,
    properties: &AdditionalProperties,
) -> Result<CommitOutcome, ServiceError> {
    let commit = commit_of(table.id, files, properties);
    let outcome = state.store.transact(|transaction| CatalogCommit.commit(transaction, &commit))?;
    if outcome == CommitOutcome::TableGone {
        return Err(
            kusto_engine::EngineError::NotFound { kind: "table", name: table.name.to_string() }.into()
        );
    }
    Ok(outcome)
}

pub(super) fn ingest_inline(
    state: &Arc<State>,
    context: &Context<'_>,
    table: &str,
    properties: &[(String, String)],
    data: &str,
) -> Result<ResultTable, ServiceError> {
    let begun = std::time::Instant::now();
    let properties = read_properties(properties)?;
    let record = find_table(state, context, table)?;
    let format = properties.format.unwrap_or(DataFormat::Csv);
    let mapping = match (&properties.ingestion_mapping, &properties.ingestion_mapping_reference) {
        (Some(_), Some(_)) => {
            return Err(data_fault(
                "BadRequest_DuplicateMapping",
                "both a mapping and a reference are given",
            ));
        }
        (Some(json), None) => Some(
            IngestionMapping::parse(format.mapping_kind(), json)
                .map_err(|error| data_fault("BadRequest_InvalidMapping", error))?,
        ),
        (None, Some(name)) => {
            let found = state.store.read(|connection| {
                Catalog(connection).find_mapping(&record, format.mapping_kind(), name.as_str())
            })?;
            Some(found.ok_or_else(|| {
                data_fault("BadRequest_MappingReferenceWasNotFound", format!("mapping {name} does not exist"))
            })?)
        }
        (None, None) => None,
    };
    let target = Target {
        schema: record.schema.clone(),
        mapping,
        format,
        ignore_first_record: properties.ignore_first_record,
        validation: Validation::Fail,
    };
    let operation = uuid::Uuid::new_v4().to_string();
    let mut stage = Stage::new(&state.store.root.join("extents"), format!("inline-{operation}"));
    if let Err(Outcome::Failed { code, details, .. }) =
        stage.add(Input::Bytes(data.to_owned().into()), &target, "inline")?
    {
        return Err(data_fault(&code, details));
    }
    let files = stage.finish()?;
    let extent =
        files.first().map(|(file, _)| file.id.clone()).unwrap_or_else(|| uuid::Uuid::nil().to_string());
    commit(state, &record, files, &properties)?;
    Ok(ResultTable::new(
        "Table_0",
        [
            ("ExtentId", T::Guid),
            ("ItemLoaded", T::String),
            ("Duration", T::Timespan),
            ("HasErrors", T::Bool),
            ("OperationId", T::Guid),
        ],
    )
    .with_row(vec![
        extent.into(),
        format!("inproc:{operation}").into(),
        Timespan::from_duration(begun.elapsed()).to_string().into(),
        false.into(),
        operation.into(),
    ]))
}

pub(super) fn fill(
    state: &Arc<State>,
    context: &Context<'_>,
    table: &str,
    mode: FillMode,
    properties: &[(String, String)],
    query: &str,
) -> Result<ResultTable, ServiceError> {
    let properties = read_properties(properties)?;
    let name = TableName::new(table).map_err(|error| ServiceError::BadRequest(error.to_string()))?;
    let mut options = RequestProperties::default();
    options.options.insert("notruncation".to_owned(), true.into());
    let results = crate::query::run(&state.store, context.database, query, &options)?;
    let [result] = results.as_slice() else {
        return Err(ServiceError::BadRequest(
            "the query of this command must have exactly one tabular statement".to_owned(),
        ));
    };
    let columns: Vec<(&str, T)> =
        result.columns.iter().map(|(name, column_type)| (name.as_str(), *column_type)).collect();
    let schema = TableSchema::of(columns).map_err(|error| ServiceError::BadRequest(error.to_string()))?;
    let record = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, context.database)?;
        let catalog = Catalog(transaction);
        let exists = catalog.find_table(&database, name.as_str())?.is_some();
        if exists && mode == FillMode::Set {
            let detail = "; use .append or .set-or-append".to_owned();
            return Err(
                kusto_engine::EngineError::Exists { kind: "table", name: name.to_string(), detail }.into()
            );
        }
        if !exists && mode != FillMode::Append {
            let made = catalog.create_table(&database, &name, &schema, CreateMode::Create, "", "")?;
            debug_assert_eq!(made, CreateOutcome::Created);
        }
        Ok::<_, ServiceError>(catalog.table(&database, name.as_str())?)
    })?;
    let existing: Vec<T> = record.schema.columns().iter().map(|column| column.column_type).collect();
    let produced: Vec<T> = schema.columns().iter().map(|column| column.column_type).collect();
    if existing != produced {
        return Err(data_fault(
            "BadRequest_SchemaMismatch",
            format!(
                "the query gives ({}) and table {name} has ({}); columns are matched by position",
                schema.csl(),
                record.schema.csl()
            ),
        ));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let arrow = Arc::new(arrow_schema(&record.schema));
    let mut writer =
        ExtentWriter::create(&state.store.root.join("extents"), "query", id.clone(), arrow.clone())?;
    for chunk in &result.chunks {
        let batch = RecordBatch::try_new(arrow.clone(), chunk.columns.clone())
            .map_err(kusto_engine::EngineError::from)?;
        writer.write(&batch)?;
    }
    let file = writer.finish()?;
    let (rows, size) = (file.rows, file.size);
    commit(state, &record, vec![(file, size)], &properties)?;
    Ok(ResultTable::new(
        "Table_0",
        [
            ("ExtentId", T::Guid),
            ("OriginalSize", T::Real),
            ("ExtentSize", T::Real),
            ("CompressedSize", T::Real),
            ("IndexSize", T::Real),
            ("RowCount", T::Long),
        ],
    )
    .with_row(vec![
        id.into(),
        (size as f64).into(),
        (size as f64).into(),
        (size as f64).into(),
        0.0.into(),
        rows.into(),
    ]))
}
