//! Decides how each file is ingested: its format, whether it has a header, and the
//! table's schema where that is to be made.

use crate::arguments::Ingest;
use crate::failure::{Failure, chain};
use kusto_decode::{Inferred, Input, infer};
use kusto_ingest::{KustoClient, Mapping, MappingName, Source};
use kusto_types::{ColumnType, DataFormat, FormatFamily, TableSchema};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file and how it is read.
#[derive(Debug)]
pub(crate) struct FilePlan {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) format: DataFormat,
    pub(crate) header: bool,
    pub(crate) mapping: Option<Mapping>,
    /// Why the file cannot be ingested, if it cannot.
    pub(crate) fault: Option<String>,
}

/// What happens to files of a folder whose names tell no data format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnyName {
    /// They are ingested, since a format was said.
    Taken,
    /// They are left out, and that is said.
    LeftOut,
}

/// The files of the given paths, in order; folders give their files, sorted.
pub(crate) fn files(paths: &[PathBuf], any_name: AnyName) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        if metadata.is_dir() {
            let before = found.len();
            walk(path, any_name, &mut found)?;
            if found.len() == before {
                return Err(Failure::usage(format!(
                    "folder {} holds no files whose names tell a data format; --format takes them all",
                    path.display()
                )));
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, any_name: AnyName, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("folder {} cannot be read: {error}", folder.display()))
    };
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?.path());
    }
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, any_name, found)?;
        } else if any_name == AnyName::Taken || DataFormat::from_path(&path.to_string_lossy()).is_some() {
            found.push(path);
        } else {
            eprintln!("left out {}: its name tells no data format; --format takes it", path.display());
        }
    }
    Ok(())
}

/// The format of a file: what was said, its first bytes, its name, else CSV.
fn format_of(path: &Path, said: Option<DataFormat>) -> std::io::Result<DataFormat> {
    if let Some(format) = said {
        return Ok(format);
    }
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(8).read_to_end(&mut head)?;
    Ok(DataFormat::from_magic(&head)
        .or_else(|| DataFormat::from_path(&path.to_string_lossy()))
        .unwrap_or(DataFormat::Csv))
}

/// A schema that takes the values of both: numbers widen, anything else becomes text.
fn widened(a: &TableSchema, b: &TableSchema) -> Result<TableSchema, Failure> {
    let mut columns = a.columns().to_vec();
    for column in b.columns() {
        match columns.iter_mut().find(|existing| existing.name == column.name) {
            None => columns.push(column.clone()),
            Some(existing) if existing.column_type == column.column_type => {}
            Some(existing) => {
                let numbers = existing.column_type.is_numeric() && column.column_type.is_numeric();
                existing.column_type = if numbers { ColumnType::Real } else { ColumnType::String };
            }
        }
    }
    TableSchema::new(columns).map_err(|error| Failure::new(1, error.to_string()))
}

/// The table's schema, when the table exists.
async fn table_schema(
    client: &KustoClient,
    database: &str,
    table: &str,
) -> Result<Option<TableSchema>, Failure> {
    let command = format!(".show table ['{table}'] schema as json");
    let answer = match client.management(database, &command).await {
        Ok(answer) => answer,
        Err(error)
            if error.code().is_some_and(|code| code.contains("EntityNotFound"))
                || error.status() == Some(404) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let json = answer.primary().and_then(|table| table.text(0, "Schema")).unwrap_or_default();
    let schema: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let columns: Vec<(String, ColumnType)> = schema["OrderedColumns"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|column| {
            let name = column["Name"].as_str()?.to_owned();
            let type_name = column["CslType"].as_str().or_else(|| column["Type"].as_str())?;
            Some((name, ColumnType::parse(type_name).ok()?))
        })
        .collect();
    TableSchema::of(columns.iter().map(|(name, column_type)| (name.as_str(), *column_type)))
        .map(Some)
        .map_err(|error| Failure::new(1, format!("the schema of table {table} cannot be read: {error}")))
}

/// `--mapping`: a file with a mapping, or the name of one.
fn mapping_of(text: &str) -> Result<Mapping, Failure> {
    let path = Path::new(text);
    if path.is_file() {
        let json = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("mapping file {text} cannot be read: {error}")))?;
        return Ok(Mapping::inline_json(json));
    }
    if text.contains(['/', '\\']) || text.ends_with(".json") {
        return Err(Failure::usage(format!("mapping file {text} does not exist")));
    }
    MappingName::new(text).map(Mapping::Reference).map_err(|error| Failure::usage(error.to_string()))
}

/// Looks at the files, makes the table where that is wanted, and decides about each.
pub(crate) async fn plan(
    client: &KustoClient,
    ingest: &Ingest,
    paths: Vec<PathBuf>,
    embedded: bool,
) -> Result<Vec<FilePlan>, Failure> {
    let said = ingest
        .format
        .as_deref()
        .map(|text| DataFormat::parse(text).map_err(|error| Failure::usage(error.to_string())))
        .transpose()?;
    let mapping = ingest.mapping.as_deref().map(mapping_of).transpose()?;
    let table = kusto_types::TableName::new(ingest.table.as_str())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let creates = embedded || ingest.create_merge;
    let mut plans = Vec::new();
    let mut inferences: Vec<Option<Inferred>> = Vec::new();
    for path in paths {
        let size = std::fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or(0);
        let format = format_of(&path, said)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        let mut plan = FilePlan {
            path,
            size,
            format,
            header: ingest.ignore_first_record,
            mapping: mapping.clone(),
            fault: None,
        };
        let mut inferred = None;
        if size == 0 {
            plan.fault = Some("the file is empty: there is nothing to ingest".to_owned());
        } else if creates {
            let path = plan.path.clone();
            let looked = tokio::task::spawn_blocking(move || {
                infer(|| std::fs::File::open(&path).map(Input::File), format)
            })
            .await
            .map_err(|error| Failure::new(1, format!("looking at a file failed: {error}")))?;
            match looked {
                Ok(found) => inferred = Some(found),
                Err(error) => plan.fault = Some(chain(&error)),
            }
        } else if said.is_none() && format == DataFormat::Json {
            // As every client: records of one line and of several are both taken.
            plan.format = DataFormat::MultiJson;
        }
        if let Some(found) = &inferred {
            plan.format = if said.is_some() { format } else { found.format };
        }
        plans.push(plan);
        inferences.push(inferred);
    }
    if !creates {
        return Ok(plans);
    }
    let existing = table_schema(client, &ingest.target.database, table.as_str()).await?;
    let schema = make_table(client, ingest, &table, existing, &inferences, mapping.is_some()).await?;
    for (plan, inferred) in plans.iter_mut().zip(&inferences) {
        if let (Some(inferred), Some(schema)) = (inferred, &schema) {
            settle_header(plan, inferred, schema, ingest);
        }
    }
    Ok(plans)
}

async fn make_table(
    client: &KustoClient,
    ingest: &Ingest,
    table: &kusto_types::TableName,
    existing: Option<TableSchema>,
    inferences: &[Option<Inferred>],
    mapped: bool,
) -> Result<Option<TableSchema>, Failure> {
    if existing.is_some() && !ingest.create_merge {
        return Ok(existing);
    }
    let mut schema: Option<TableSchema> = None;
    for inferred in inferences.iter().flatten() {
        // Without a header a first file's names are Column1, ...; with --ignore-first-record
        // the header's names count even where it does not look like one.
        schema = Some(match schema {
            None => inferred.schema.clone(),
            Some(earlier) => widened(&earlier, &inferred.schema)?,
        });
    }
    let Some(mut schema) = schema else { return Ok(existing) };
    if let Some(existing) = &existing {
        if mapped {
            return Ok(Some(existing.clone()));
        }
        // A column that exists keeps its type.
        let added: Vec<_> = schema
            .columns()
            .iter()
            .filter(|column| existing.position(column.name.as_str()).is_none())
            .cloned()
            .collect();
        let mut columns = existing.columns().to_vec();
        columns.extend(added);
        schema = TableSchema::new(columns).map_err(|error| Failure::new(1, error.to_string()))?;
    } else if mapped && existing.is_none() {
        return Err(Failure::usage(format!(
            "table {table} does not exist, and with --mapping its schema is not inferred; create it first: kin query '.create table {table} (...)'"
        )));
    }
    let command = format!(".create-merge table ['{table}'] ({})", schema.csl());
    client.management(&ingest.target.database, &command).await?;
    Ok(Some(schema))
}

/// Whether the first record is a header, and the mapping that the order or the names of
/// the columns need.
fn settle_header(plan: &mut FilePlan, inferred: &Inferred, schema: &TableSchema, ingest: &Ingest) {
    let renamed = inferred
        .properties
        .iter()
        .zip(inferred.schema.columns())
        .any(|(property, column)| property != column.name.as_str());
    if renamed && plan.mapping.is_none() {
        // Properties whose names no column can have are led into their columns.
        let elements: Vec<serde_json::Value> = inferred
            .properties
            .iter()
            .zip(inferred.schema.columns())
            .filter(|(_, column)| schema.position(column.name.as_str()).is_some())
            .map(|(property, column)| {
                let path = kusto_types::JsonPath::property(property.as_str()).to_string();
                serde_json::json!({"column": column.name, "Properties": {"Path": path}})
            })
            .collect();
        plan.mapping = Some(Mapping::inline_json(serde_json::Value::Array(elements).to_string()));
    }
    if plan.format.family() != FormatFamily::Delimited || ingest.no_header {
        plan.header = false;
        return;
    }
    let first: Vec<&str> = inferred.first_record.iter().map(|name| name.trim()).collect();
    let names_table = !first.is_empty()
        && first.iter().all(|name| {
            schema.columns().iter().any(|column| column.name.as_str().eq_ignore_ascii_case(name))
        });
    plan.header = ingest.ignore_first_record || inferred.header || names_table;
    let in_order = first
        .iter()
        .zip(schema.columns())
        .all(|(name, column)| column.name.as_str().eq_ignore_ascii_case(name));
    if plan.header && names_table && !in_order && plan.mapping.is_none() {
        let elements: Vec<serde_json::Value> = first
            .iter()
            .enumerate()
            .filter_map(|(ordinal, name)| {
                let column = schema.columns().iter().find(|column| column.name.as_str().eq_ignore_ascii_case(name))?;
                Some(serde_json::json!({"column": column.name, "Properties": {"Ordinal": ordinal.to_string()}}))
            })
            .collect();
        plan.mapping = Some(Mapping::inline_json(serde_json::Value::Array(elements).to_string()));
    }
}

impl FilePlan {
    pub(crate) fn source(&self) -> Source {
        Source::file(self.path.clone())
    }
}
