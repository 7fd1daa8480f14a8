//! Databases, their schemas, and what is in them.

use super::{effective_of, principals_json, table};
use crate::ServiceError;
use kusto_engine::Catalog;
use kusto_kql::{DatabaseView, PolicyKind, SchemaShape};
use kusto_types::{ColumnType as T, DatabaseName};
use kusto_wire::ResultTable;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The policies that a database's details show.
const POLICIES: [PolicyKind; 6] = [
    PolicyKind::Retention,
    PolicyKind::Merge,
    PolicyKind::Caching,
    PolicyKind::Sharding,
    PolicyKind::StreamingIngestion,
    PolicyKind::IngestionBatching,
];

const POLICY_COLUMNS: [(&str, T); 7] = [
    ("AuthorizedPrincipals", T::String),
    ("RetentionPolicy", T::String),
    ("MergePolicy", T::String),
    ("CachingPolicy", T::String),
    ("ShardingPolicy", T::String),
    ("StreamingIngestionPolicy", T::String),
    ("IngestionBatchingPolicy", T::String),
];

/// The id that a database is shown with.
fn id_of(name: &DatabaseName) -> String {
    let digest = Sha256::digest(name.as_str().as_bytes());
    let (first, _) = digest.split_at(16);
    uuid::Builder::from_slice(first).map(uuid::Builder::into_uuid).unwrap_or_default().to_string()
}

/// `.show databases`, `.show database D details` and its kin; an empty name is the request's.
pub(super) fn databases(
    catalog: &Catalog<'_>,
    name: Option<&str>,
    view: DatabaseView,
    current: Option<DatabaseName>,
) -> Result<ResultTable, ServiceError> {
    let shown = match name {
        None => catalog.databases()?,
        Some("") => vec![current.clone().unwrap_or_else(DatabaseName::net_default)],
        Some(name) => vec![catalog.database(name)?],
    };
    let mut columns = vec![
        ("DatabaseName", T::String),
        ("PersistentStorage", T::String),
        ("Version", T::String),
        ("IsCurrent", T::Bool),
        ("DatabaseAccessMode", T::String),
        ("PrettyName", T::String),
    ];
    match view {
        DatabaseView::Plain => columns.extend([
            ("DatabaseId", T::Guid),
            ("InTransitionTo", T::String),
            ("SuspensionState", T::String),
        ]),
        DatabaseView::Details => {
            columns.extend(POLICY_COLUMNS);
            columns.extend([
                ("TotalSize", T::Real),
                ("DatabaseId", T::Guid),
                ("InTransitionTo", T::String),
                ("NumberOfTables", T::Int),
                ("NumberOfExternalTables", T::Int),
                ("NumberOfMaterializedViews", T::Int),
                ("EncryptionScope", T::String),
                ("SuspensionState", T::String),
            ]);
        }
        DatabaseView::Policies => {
            columns.push(("DatabaseId", T::Guid));
            columns.extend(POLICY_COLUMNS);
        }
        DatabaseView::DataStats => columns.extend([
            ("DatabaseId", T::Guid),
            ("OriginalSize", T::Real),
            ("ExtentSize", T::Real),
            ("CompressedSize", T::Real),
            ("IndexSize", T::Real),
            ("RowCount", T::Long),
            ("HotOriginalSize", T::Real),
            ("HotExtentSize", T::Real),
            ("HotCompressedSize", T::Real),
            ("HotIndexSize", T::Real),
            ("HotRowCount", T::Long),
            ("TotalExtents", T::Long),
            ("HotExtents", T::Long),
        ]),
    }
    let mut result = table(columns);
    for name in shown {
        let mut row: Vec<Value> = vec![
            name.as_str().into(),
            "".into(),
            "v1.0".into(),
            (Some(&name) == current.as_ref()).into(),
            "ReadWrite".into(),
            "".into(),
        ];
        let id = || Value::from(id_of(&name));
        let policies = || -> Result<Vec<Value>, ServiceError> {
            let mut shown = vec![principals_json(catalog, name.as_str(), "")?.into()];
            for policy in POLICIES {
                shown.push(effective_of(catalog, &name, None, policy)?.into());
            }
            Ok(shown)
        };
        match view {
            DatabaseView::Plain => row.extend([id(), "".into(), "".into()]),
            DatabaseView::Policies => {
                row.push(id());
                row.extend(policies()?);
            }
            DatabaseView::Details => {
                let size = Size::of(catalog, &name)?;
                row.extend(policies()?);
                row.extend([size.bytes.into(), id(), "".into(), size.tables.into()]);
                row.extend([0.into(), 0.into(), "".into(), "".into()]);
            }
            DatabaseView::DataStats => {
                let size = Size::of(catalog, &name)?;
                row.push(id());
                // Everything is on this machine, so that everything is hot.
                for _ in 0..2 {
                    row.extend([
                        size.original.into(),
                        size.bytes.into(),
                        size.bytes.into(),
                        0.0.into(),
                        size.rows.into(),
                    ]);
                }
                row.extend([size.extents.into(), size.extents.into()]);
            }
        }
        result = result.with_row(row);
    }
    Ok(result)
}

/// How much is in a database.
#[derive(Default)]
struct Size {
    tables: usize,
    extents: usize,
    rows: u64,
    bytes: f64,
    original: f64,
}

impl Size {
    fn of(catalog: &Catalog<'_>, database: &DatabaseName) -> Result<Self, ServiceError> {
        let mut size = Self::default();
        for table in catalog.tables(database)? {
            size.tables += 1;
            for extent in catalog.extents(table.id)? {
                size.extents += 1;
                size.rows += extent.rows;
                size.bytes += extent.size as f64;
                size.original += extent.original_size as f64;
            }
        }
        Ok(size)
    }
}

/// `.show database schema`, as rows or as JSON.
pub(super) fn schema(
    catalog: &Catalog<'_>,
    database: &DatabaseName,
    shape: SchemaShape,
) -> Result<ResultTable, ServiceError> {
    let tables = catalog.tables(database)?;
    if shape == SchemaShape::Columns {
        let mut result = table([
            ("DatabaseName", T::String),
            ("TableName", T::String),
            ("ColumnName", T::String),
            ("ColumnType", T::String),
            ("IsDefaultTable", T::Bool),
            ("IsDefaultColumn", T::Bool),
            ("PrettyName", T::String),
            ("Version", T::String),
            ("Folder", T::String),
            ("DocString", T::String),
        ]);
        for record in &tables {
            for column in record.schema.columns() {
                result = result.with_row(vec![
                    database.as_str().into(),
                    record.name.as_str().into(),
                    column.name.as_str().into(),
                    column.column_type.clr_name().into(),
                    false.into(),
                    false.into(),
                    "".into(),
                    "v1.0".into(),
                    record.folder.as_str().into(),
                    record
                        .column_texts
                        .get(column.name.as_str())
                        .unwrap_or(&record.docstring)
                        .as_str()
                        .into(),
                ]);
            }
        }
        return Ok(result);
    }
    if shape == SchemaShape::Script {
        return script(catalog, database);
    }
    let functions: Map<String, Value> = catalog
        .functions(database)?
        .into_iter()
        .map(|function| {
            let shown = json!({
                "Name": function.name, "InputParameters": [], "Body": function.body, "Folder": function.folder,
                "DocString": function.docstring, "FunctionKind": "Unknown", "OutputColumns": [],
            });
            (function.name, shown)
        })
        .collect();
    let members: Map<String, Value> = tables
        .iter()
        .map(|record| {
            let mut schema = record.schema_json();
            schema["Folder"] = record.folder.as_str().into();
            schema["DocString"] = record.docstring.as_str().into();
            (record.name.to_string(), schema)
        })
        .collect();
    let schema = json!({"Databases": {database.as_str(): {
        "Name": database, "Tables": members, "ExternalTables": {}, "MaterializedViews": {}, "Functions": functions,
        "MajorVersion": 1, "MinorVersion": 0,
    }}});
    Ok(table([("DatabaseSchema", T::String)]).with_row(vec![schema.to_string().into()]))
}

/// The commands that make the tables, functions and mappings of a database.
fn script(catalog: &Catalog<'_>, database: &DatabaseName) -> Result<ResultTable, ServiceError> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut result = table([("DatabaseSchemaScript", T::String)]);
    for record in catalog.tables(database)? {
        let mut with = Vec::new();
        for (name, text) in [("folder", &record.folder), ("docstring", &record.docstring)] {
            if !text.is_empty() {
                with.push(format!("{name} = {}", quoted(text)));
            }
        }
        let with = if with.is_empty() { String::new() } else { format!(" with ({})", with.join(", ")) };
        let name = bracketed(record.name.as_str());
        let command = format!(".create-merge table {name} ({}){with}", record.schema.csl());
        result = result.with_row(vec![command.into()]);
        for mapping in catalog.mappings(&record)? {
            let kind = mapping.kind.wire_name().to_lowercase();
            let json = mapping.json.replace('\\', "\\\\").replace('\'', "\\'");
            let command = format!(
                ".create-or-alter table {name} ingestion {kind} mapping {} '{json}'",
                quoted(mapping.name.as_str())
            );
            result = result.with_row(vec![command.into()]);
        }
    }
    for function in catalog.functions(database)? {
        let command = format!(
            ".create-or-alter function with (folder = {}, docstring = {}) {} {} {}",
            quoted(&function.folder),
            quoted(&function.docstring),
            bracketed(&function.name),
            function.parameters,
            function.body
        );
        result = result.with_row(vec![command.into()]);
    }
    Ok(result)
}

/// A name as every command reads it.
fn bracketed(name: &str) -> String {
    format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// `.show databases entities`: what is in every database.
pub(super) fn entities(catalog: &Catalog<'_>) -> Result<ResultTable, ServiceError> {
    let texts = [
        "DatabaseName",
        "EntityType",
        "EntityName",
        "DocString",
        "Folder",
        "CslInputSchema",
        "Content",
        "CslOutputSchema",
    ];
    let properties = ("Properties", T::Dynamic);
    let mut result = table(texts.map(|name| (name, T::String)).into_iter().chain([properties]));
    for database in catalog.databases()? {
        for record in catalog.tables(&database)? {
            result = result.with_row(vec![
                database.as_str().into(),
                "Table".into(),
                record.name.as_str().into(),
                record.docstring.as_str().into(),
                record.folder.as_str().into(),
                record.schema.csl().into(),
                "".into(),
                "".into(),
                Value::Null,
            ]);
        }
        for function in catalog.functions(&database)? {
            result = result.with_row(vec![
                database.as_str().into(),
                "Function".into(),
                function.name.into(),
                function.docstring.into(),
                function.folder.into(),
                function.parameters.into(),
                function.body.into(),
                "".into(),
                Value::Null,
            ]);
        }
    }
    Ok(result)
}
