//! Changes to a table that exists: its columns, its name, its texts. The files stay as
//! they are.

use crate::catalog::corrupt;
use crate::{Catalog, EngineError, StoredSchema, TableRecord};
use kusto_kql::{OtherTexts, TableText};
use kusto_types::{Column, ColumnName, ColumnType, DatabaseName, SchemaError, TableName, TableSchema};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeMap;

impl Catalog<'_> {
    /// Gives a table new columns; `sources` says which old one each is.
    fn set_columns(
        &self,
        table: &TableRecord,
        columns: Vec<Column>,
        sources: &[Option<usize>],
    ) -> Result<(), EngineError> {
        let schema = TableSchema::new(columns)?;
        let kept: String = self
            .0
            .prepare_cached("SELECT stored FROM tables WHERE id = ?1")?
            .query_row([table.id.0], |row| row.get(0))?;
        let stored = table.stored_schema();
        let names = stored.changed(&kept, &schema, sources)?;
        let json = serde_json::to_string(&schema).map_err(corrupt)?;
        self.0.execute(
            "UPDATE tables SET schema = ?2, stored = ?3 WHERE id = ?1",
            params![table.id.0, json, names],
        )?;
        // A column's text goes where the column goes.
        let texts = schema.columns().iter().zip(sources).filter_map(|(column, source)| {
            let old = &table.schema.columns()[(*source)?];
            Some((column.name.to_string(), table.column_texts.get(old.name.as_str())?.clone()))
        });
        self.keep_texts(table, &texts.collect())
    }

    fn keep_texts(&self, table: &TableRecord, texts: &BTreeMap<String, String>) -> Result<(), EngineError> {
        let json =
            if texts.is_empty() { String::new() } else { serde_json::to_string(texts).map_err(corrupt)? };
        self.0.execute("UPDATE tables SET column_texts = ?2 WHERE id = ?1", params![table.id.0, json])?;
        Ok(())
    }

    /// `.alter table T column-docstrings`: all of them or none; an empty text is none.
    pub fn set_column_texts(
        &self,
        table: &TableRecord,
        texts: &[(String, String)],
        others: OtherTexts,
    ) -> Result<(), EngineError> {
        let mut kept = match others {
            OtherTexts::Keep => table.column_texts.clone(),
            OtherTexts::Clear => BTreeMap::new(),
        };
        for (column, text) in texts {
            position(table, column)?;
            kept.insert(column.clone(), text.clone());
        }
        kept.retain(|_, text| !text.is_empty());
        self.keep_texts(table, &kept)
    }

    /// `recreate_schema`: these columns and no others, of whatever types. What keeps its name
    /// and type keeps its rows until they are replaced.
    pub fn recreate_columns(&self, table: &TableRecord, schema: &TableSchema) -> Result<(), EngineError> {
        let same = |column: &Column| {
            table.schema.position(column.name.as_str()).filter(|at| table.schema.columns()[*at] == *column)
        };
        let sources: Vec<Option<usize>> = schema.columns().iter().map(same).collect();
        self.set_columns(table, schema.columns().to_vec(), &sources)
    }

    /// `.create-merge` and `.alter-merge` of a table that exists: adds what it lacks.
    pub(crate) fn add_columns(&self, table: &TableRecord, schema: &TableSchema) -> Result<(), EngineError> {
        let merged = table.schema.merged(schema)?;
        let sources: Vec<Option<usize>> =
            merged.columns().iter().map(|column| table.schema.position(column.name.as_str())).collect();
        self.set_columns(table, merged.columns().to_vec(), &sources)
    }

    /// `.alter table`: these columns and no others. One of the same name and type is the
    /// same column; its type cannot be changed here.
    pub(crate) fn replace_columns(
        &self,
        table: &TableRecord,
        schema: &TableSchema,
    ) -> Result<(), EngineError> {
        let mut sources = Vec::new();
        for column in schema.columns() {
            let position = table.schema.position(column.name.as_str());
            if let Some(position) = position {
                let existing = table.schema.columns()[position].column_type;
                if existing != column.column_type {
                    return Err(SchemaError::TypeConflict {
                        column: column.name.clone(),
                        existing,
                        wanted: column.column_type,
                    }
                    .into());
                }
            }
            sources.push(position);
        }
        self.set_columns(table, schema.columns().to_vec(), &sources)
    }

    /// `.rename columns`: all at once, so that names can be swapped.
    pub fn rename_columns(
        &self,
        table: &TableRecord,
        names: &[(String, ColumnName)],
    ) -> Result<(), EngineError> {
        let mut columns = table.schema.columns().to_vec();
        for (old, new) in names {
            columns[position(table, old)?].name = new.clone();
        }
        let sources: Vec<Option<usize>> = (0..columns.len()).map(Some).collect();
        self.set_columns(table, columns, &sources)
    }

    /// `.alter column ... type=`: the column is a new one, null in every row there is.
    pub fn alter_column_type(
        &self,
        table: &TableRecord,
        column: &str,
        column_type: ColumnType,
    ) -> Result<(), EngineError> {
        let position = position(table, column)?;
        let mut columns = table.schema.columns().to_vec();
        if columns[position].column_type == column_type {
            return Ok(());
        }
        columns[position].column_type = column_type;
        let sources: Vec<Option<usize>> =
            (0..columns.len()).map(|index| (index != position).then_some(index)).collect();
        self.set_columns(table, columns, &sources)
    }

    /// `.drop column`: all of them or none.
    pub fn drop_columns(&self, table: &TableRecord, names: &[String]) -> Result<(), EngineError> {
        let gone = names.iter().map(|name| position(table, name)).collect::<Result<Vec<_>, _>>()?;
        let kept = table.schema.columns().iter().enumerate().filter(|(index, _)| !gone.contains(index));
        let (sources, columns): (Vec<Option<usize>>, Vec<Column>) =
            kept.map(|(index, column)| (Some(index), column.clone())).unzip();
        if columns.is_empty() {
            return Err(EngineError::Refused(format!(
                "table {} would have no column; drop the table instead",
                table.name
            )));
        }
        self.set_columns(table, columns, &sources)
    }

    /// `.rename tables`: all at once, so that names can be swapped. Policies go along.
    pub fn rename_tables(
        &self,
        database: &DatabaseName,
        names: &[(String, TableName)],
    ) -> Result<(), EngineError> {
        let tables = names
            .iter()
            .map(|(old, _)| self.table(database, old))
            .collect::<Result<Vec<_>, EngineError>>()?;
        // Every name is set free first.
        for table in &tables {
            let free = format!("\u{1}{}", table.id.0);
            self.0.execute("UPDATE tables SET name = ?2 WHERE id = ?1", params![table.id.0, free])?;
            self.move_policies(database, table.name.as_str(), &free)?;
        }
        for (table, (_, new)) in tables.iter().zip(names) {
            let taken: Option<i64> = self
                .0
                .prepare_cached("SELECT id FROM tables WHERE database = ?1 AND name = ?2")?
                .query_row(params![database.as_str(), new.as_str()], |row| row.get(0))
                .optional()?;
            if taken.is_some() {
                return Err(EngineError::Exists {
                    kind: "table",
                    name: new.to_string(),
                    detail: String::new(),
                });
            }
            self.0.execute("UPDATE tables SET name = ?2 WHERE id = ?1", params![table.id.0, new.as_str()])?;
            self.move_policies(database, &format!("\u{1}{}", table.id.0), new.as_str())?;
        }
        Ok(())
    }

    fn move_policies(&self, database: &DatabaseName, from: &str, to: &str) -> Result<(), EngineError> {
        self.0.execute(
            "UPDATE policies SET table_name = ?3 WHERE database = ?1 AND table_name = ?2",
            params![database.as_str(), from, to],
        )?;
        Ok(())
    }

    /// `.alter table T docstring`, `.alter table T folder`
    pub fn set_table_text(
        &self,
        table: &TableRecord,
        text: TableText,
        value: &str,
    ) -> Result<(), EngineError> {
        let statement = match text {
            TableText::DocString => "UPDATE tables SET docstring = ?2 WHERE id = ?1",
            TableText::Folder => "UPDATE tables SET folder = ?2 WHERE id = ?1",
        };
        self.0.execute(statement, params![table.id.0, value])?;
        Ok(())
    }
}

impl TableRecord {
    /// The schema JSON of `.show table T schema as json`, with the texts of the columns.
    pub fn schema_json(&self) -> serde_json::Value {
        let mut json = self.schema.to_kusto_json(&self.name);
        if let Some(columns) = json["OrderedColumns"].as_array_mut() {
            for (shown, column) in columns.iter_mut().zip(self.schema.columns()) {
                if let Some(text) = self.column_texts.get(column.name.as_str()) {
                    shown["DocString"] = text.as_str().into();
                }
            }
        }
        json
    }

    /// Its columns with their names in its files.
    pub fn stored_schema(&self) -> StoredSchema {
        StoredSchema { columns: self.schema.clone(), names: self.stored_names.clone() }
    }
}

fn position(table: &TableRecord, column: &str) -> Result<usize, EngineError> {
    table
        .schema
        .position(column)
        .ok_or_else(|| EngineError::NotFound { kind: "column", name: format!("{}.{column}", table.name) })
}
