//! The commands that add data: `.ingest into`, `.ingest inline`, `.set`, `.append`,
//! `.set-or-append`, `.set-or-replace`.

use crate::ServiceError;
use crate::access::Caller;
use crate::error::with_causes;
use crate::ingest::duplicate::{self, Original};
use crate::ingest::stage::{Stage, commit_of};
use crate::ingest::target::Target;
use crate::ingest::update::{self, NewRows};
use crate::ingest::{extend, fetch};
use crate::running::Stop;
use crate::state::State;
use crate::store::reports::Outcome;
use arrow_array::RecordBatch;
use kusto_decode::Input;
use kusto_engine::{
    Catalog, CatalogCommit, Commit, CommitOutcome, CreateOutcome, Existing, ExtentFile, ExtentWriter,
    TableCommit, TableRecord,
};
use kusto_kql::{CreateMode, FillMode, PolicyEntity, PolicyKind};
use kusto_types::{ColumnType as T, DataFormat, TableName, TableSchema, Timespan};
use kusto_wire::{AdditionalProperties, RequestProperties, ResultTable, SecretUrl};
use serde_json::{Map, Value};
use std::sync::Arc;

fn data_fault(code: &str, message: impl ToString) -> ServiceError {
    ServiceError::BadData { code: code.to_owned(), message: message.to_string() }
}

/// `with (...)` read as ingestion properties.
pub(super) fn read_properties(properties: &[(String, String)]) -> Result<AdditionalProperties, ServiceError> {
    let object: Map<String, Value> = properties
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.trim_matches(['\'', '"']).to_owned())))
        .collect();
    AdditionalProperties::read(&object)
        .map_err(|error| data_fault("BadRequest_MalformedIngestionProperty", with_causes(&error)))
}

/// Commits finished files with the given properties.
fn commit(
    state: &State,
    table: &TableRecord,
    files: Vec<(ExtentFile, u64)>,
    properties: &AdditionalProperties,
    existing: Existing,
    stop: &Stop,
) -> Result<CommitOutcome, ServiceError> {
    let commit = Commit { existing, ..commit_of(table.id, files, properties) };
    let updates = update::derive(state, table.id, NewRows::Extents(&commit.extents))?
        .map_err(|failure| data_fault(failure.code, failure.details))?;
    // Nobody can stop it from here on.
    stop.check()?;
    let outcome = state.store.transact(|transaction| {
        let outcome = CatalogCommit.commit(transaction, &commit)?;
        if outcome == CommitOutcome::Committed {
            updates.commit(transaction, table.database.as_str(), &uuid::Uuid::new_v4().to_string())?;
        }
        Ok::<_, ServiceError>(outcome)
    })?;
    if outcome == CommitOutcome::TableGone {
        return Err(
            kusto_engine::EngineError::NotFound { kind: "table", name: table.name.to_string() }.into()
        );
    }
    Ok(outcome)
}

/// A command that adds data.
pub(super) enum Work {
    Inline { table: String, properties: Vec<(String, String)>, data: String },
    Pull { table: String, locators: Vec<String>, properties: Vec<(String, String)> },
    Fill { table: String, mode: FillMode, properties: Vec<(String, String)>, query: String, caller: Caller },
}

impl Work {
    /// The name that `.show operations` gives it.
    pub(super) fn operation_kind(&self) -> &'static str {
        match self {
            Self::Inline { .. } => "DataIngestInline",
            Self::Pull { .. } => "DataIngestPull",
            Self::Fill { mode: FillMode::Set, .. } => "TableSet",
            Self::Fill { mode: FillMode::Append, .. } => "TableAppend",
            Self::Fill { mode: FillMode::SetOrAppend, .. } => "TableSetOrAppend",
            Self::Fill { mode: FillMode::SetOrReplace, .. } => "TableSetOrReplace",
        }
    }

    pub(super) fn table(&self) -> &str {
        match self {
            Self::Inline { table, .. } | Self::Pull { table, .. } | Self::Fill { table, .. } => table,
        }
    }
}

/// Carries a command out. Blocking.
pub(super) fn run(
    state: &Arc<State>,
    database: &str,
    work: Work,
    operation: &str,
    stop: &Stop,
) -> Result<ResultTable, ServiceError> {
    match work {
        Work::Inline { table, properties, data } => {
            let inputs = vec![(Input::Bytes(data.into()), "inline".to_owned(), None)];
            ingest(state, (database, &table), &read_properties(&properties)?, operation, inputs, stop)
        }
        Work::Pull { table, locators, properties } => {
            let mut properties = read_properties(&properties)?;
            if properties.format.is_none() {
                properties.format = locators
                    .first()
                    .and_then(|url| DataFormat::from_path(&SecretUrl::new(url).without_secrets()));
            }
            let runtime = tokio::runtime::Handle::current();
            let mut inputs = Vec::new();
            let mut originals = Vec::new();
            let is_awaited = state.duplicates.waits_for(database, &table);
            for locator in locators {
                stop.check()?;
                let url = SecretUrl::new(locator);
                let location = url.without_secrets();
                let fetched = Arc::new(runtime.block_on(fetch::fetch(state, &url))?.map_err(fault)?);
                let file = std::fs::File::open(&fetched.path).map_err(ServiceError::file(&fetched.path))?;
                if is_awaited {
                    originals.push(Original { location: location.clone(), file: fetched.clone() });
                }
                inputs.push((Input::File(file), location, Some(fetched)));
            }
            let result = ingest(state, (database, &table), &properties, operation, inputs, stop);
            if is_awaited {
                let failure = result.as_ref().err().map(ToString::to_string);
                let place = (database, table.as_str());
                let served = duplicate::serve(state, place, &properties, &originals, failure.as_deref());
                runtime.block_on(served);
            }
            result
        }
        Work::Fill { table, mode, properties, query, caller } => {
            fill(state, &caller, (database, &table), mode, (&properties, &query), stop)
        }
    }
}

fn fault(outcome: Outcome) -> ServiceError {
    match outcome {
        Outcome::Failed { code, details, .. } => data_fault(&code, details),
        Outcome::Succeeded { .. } | Outcome::Skipped { .. } => {
            data_fault("BadRequest_InvalidBlob", "the source gave nothing")
        }
    }
}

/// Decodes the inputs and commits them together: all of them or none.
fn ingest(
    state: &Arc<State>,
    (database, table): (&str, &str),
    properties: &AdditionalProperties,
    operation: &str,
    inputs: Vec<(Input, String, Option<Arc<fetch::Fetched>>)>,
    stop: &Stop,
) -> Result<ResultTable, ServiceError> {
    let begun = std::time::Instant::now();
    let record = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, Some(database))?;
        let catalog = Catalog(transaction);
        let record = catalog.table(&database, table)?;
        extend::by_mapping(&catalog, &record, properties)?.map_err(fault)?;
        Ok::<_, ServiceError>(catalog.table(&database, table)?)
    })?;
    let target = state
        .store
        .read(|connection| Target::find(connection, database, table, properties, ""))?
        .map_err(fault)?;
    let mut stage = Stage::new(&state.store.root.join("extents"), format!("command-{operation}"));
    let mut loaded = Vec::new();
    for (input, location, fetched) in inputs {
        stop.check()?;
        stage.add(input, &target, &location)?.map_err(fault)?;
        drop(fetched);
        loaded.push(location);
    }
    let files = stage.finish()?;
    let mut extents: Vec<String> = files.iter().map(|(file, _)| file.id.clone()).collect();
    if commit(state, &record, files, properties, Existing::Keep, stop)? != CommitOutcome::Committed {
        extents.clear();
    }
    if extents.is_empty() {
        extents.push(uuid::Uuid::nil().to_string());
    }
    let mut result = ResultTable::new(
        "Table_0",
        [
            ("ExtentId", T::Guid),
            ("ItemLoaded", T::String),
            ("Duration", T::Timespan),
            ("HasErrors", T::Bool),
            ("OperationId", T::Guid),
        ],
    );
    for extent in extents {
        result = result.with_row(vec![
            extent.into(),
            loaded.join(", ").into(),
            Timespan::from_duration(begun.elapsed()).to_string().into(),
            false.into(),
            operation.into(),
        ]);
    }
    Ok(result)
}

fn fill(
    state: &Arc<State>,
    caller: &Caller,
    (database, table): (&str, &str),
    mode: FillMode,
    (properties, query): (&[(String, String)], &str),
    stop: &Stop,
) -> Result<ResultTable, ServiceError> {
    let is_on = |name: &str| {
        properties
            .iter()
            .any(|(known, value)| known.eq_ignore_ascii_case(name) && value.eq_ignore_ascii_case("true"))
    };
    let text = |name: &str| {
        let found = properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let (folder, docstring) = (text("folder"), text("docstring"));
    let keeps_times = !text("policy_ingestiontime").eq_ignore_ascii_case("false");
    let recreates = is_on("recreate_schema");
    if recreates && mode != FillMode::SetOrReplace {
        return Err(ServiceError::BadRequest("recreate_schema is for .set-or-replace".to_owned()));
    }
    let extends = is_on("extend_schema") && !recreates;
    let properties = read_properties(properties)?;
    let name = TableName::new(table).map_err(|error| ServiceError::BadRequest(error.to_string()))?;
    let mut options = RequestProperties::default();
    options.options.insert("notruncation".to_owned(), true.into());
    let results = crate::query::run(state, caller, Some(database), query, &options, stop)?;
    let [result] = results.as_slice() else {
        return Err(ServiceError::BadRequest(
            "the query of this command must have exactly one tabular statement".to_owned(),
        ));
    };
    let columns: Vec<(&str, T)> =
        result.columns.iter().map(|(name, column_type)| (name.as_str(), *column_type)).collect();
    let schema = TableSchema::of(columns).map_err(|error| ServiceError::BadRequest(error.to_string()))?;
    let record = state.store.transact(|transaction| {
        let database = crate::query::database_of(transaction, Some(database))?;
        let catalog = Catalog(transaction);
        let exists = catalog.find_table(&database, name.as_str())?.is_some();
        if exists && mode == FillMode::Set {
            let detail = "; use .append or .set-or-append".to_owned();
            return Err(
                kusto_engine::EngineError::Exists { kind: "table", name: name.to_string(), detail }.into()
            );
        }
        if !exists && mode != FillMode::Append {
            let made =
                catalog.create_table(&database, &name, &schema, CreateMode::Create, &folder, &docstring)?;
            debug_assert_eq!(made, CreateOutcome::Created);
            super::own(transaction, caller, database.as_str(), name.as_str())?;
            if !keeps_times {
                let entity = PolicyEntity::Table(name.to_string());
                let json = Some(r#"{"IsEnabled":false}"#);
                catalog.set_policy(&database, &entity, PolicyKind::IngestionTime, json)?;
            }
        }
        if exists && recreates {
            // A transaction of its own before the data, as on a cluster.
            let table = catalog.table(&database, name.as_str())?;
            catalog.recreate_columns(&table, &schema)?;
        }
        if exists && extends {
            // Columns go by their positions; those behind the table's own are new ones.
            let table = catalog.table(&database, name.as_str())?;
            let mut columns = table.schema.columns().to_vec();
            columns.extend(schema.columns().iter().skip(columns.len()).cloned());
            let extended =
                TableSchema::new(columns).map_err(|error| ServiceError::BadRequest(error.to_string()))?;
            catalog.create_table(&database, &name, &extended, CreateMode::AlterMerge, "", "")?;
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
    let arrow = Arc::new(record.stored_schema().arrow());
    let mut writer =
        ExtentWriter::create(&state.store.root.join("extents"), "query", id.clone(), arrow.clone())?;
    for chunk in &result.chunks {
        let batch = RecordBatch::try_new(arrow.clone(), chunk.columns.clone())
            .map_err(kusto_engine::EngineError::from)?;
        writer.write(&batch)?;
    }
    let file = writer.finish()?;
    let (rows, size) = (file.rows, file.size);
    let existing = match mode {
        FillMode::SetOrReplace => Existing::Replace,
        FillMode::Set | FillMode::Append | FillMode::SetOrAppend => Existing::Keep,
    };
    commit(state, &record, vec![(file, size)], &properties, existing, stop)?;
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
