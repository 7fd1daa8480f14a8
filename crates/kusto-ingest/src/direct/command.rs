//! The texts of the ingestion commands: pure. Names and texts are quoted so that nothing
//! in them can end the command; URLs are obfuscated (`h"..."`), so that the engine hides
//! them from its logs.

use super::Execution;
use crate::{IngestionProperties, SecretUrl};
use kusto_types::DataFormat;

/// A KQL string literal of any text.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A table's name, whatever it holds.
fn entity(name: &str) -> String {
    format!("[{}]", quote(name))
}

fn with(properties: &[(String, String)]) -> String {
    if properties.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!(" with ({})", pairs.join(", "))
}

fn mode(execution: Execution) -> &'static str {
    match execution {
        Execution::Wait => "",
        Execution::Async => "async ",
    }
}

/// `.ingest into`
pub(super) fn pull(
    urls: &[SecretUrl],
    properties: &IngestionProperties,
    format: Option<DataFormat>,
    first: bool,
    execution: Execution,
) -> String {
    let urls: Vec<String> = urls.iter().map(|url| format!("h{}", quote(url.with_secrets()))).collect();
    format!(
        ".ingest {}into table {} ({}){}",
        mode(execution),
        entity(properties.table.as_str()),
        urls.join(", "),
        with(&properties.command(format, first))
    )
}

/// `.ingest inline`
pub(super) fn inline(data: &str, properties: &IngestionProperties, format: DataFormat) -> String {
    format!(
        ".ingest inline into table {}{} <|\n{data}",
        entity(properties.table.as_str()),
        with(&properties.command(Some(format), true))
    )
}

/// Which command fills the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Set,
    Append,
    SetOrAppend,
    SetOrReplace,
}

/// A query whose result is ingested. Columns are matched by position and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryIngestion {
    fill: Fill,
    query: String,
    options: Vec<(String, String)>,
}

impl QueryIngestion {
    fn of(fill: Fill, query: impl Into<String>) -> Self {
        Self { fill, query: query.into(), options: Vec::new() }
    }

    /// Makes the table and fills it; fails when it exists.
    pub fn set(query: impl Into<String>) -> Self {
        Self::of(Fill::Set, query)
    }

    /// Adds to the table; fails when it does not exist.
    pub fn append(query: impl Into<String>) -> Self {
        Self::of(Fill::Append, query)
    }

    /// Adds to the table, which is made when it does not exist.
    pub fn set_or_append(query: impl Into<String>) -> Self {
        Self::of(Fill::SetOrAppend, query)
    }

    /// Replaces what is in the table, which is made when it does not exist.
    pub fn set_or_replace(query: impl Into<String>) -> Self {
        Self::of(Fill::SetOrReplace, query)
    }

    /// Spreads the work over the nodes of the cluster.
    #[must_use]
    pub fn distributed(mut self) -> Self {
        self.options.push(("distributed".to_owned(), "true".to_owned()));
        self
    }

    /// The folder of a table that is made.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<String>) -> Self {
        self.options.push(("folder".to_owned(), folder.into()));
        self
    }

    /// The docstring of a table that is made.
    #[must_use]
    pub fn with_docstring(mut self, text: impl Into<String>) -> Self {
        self.options.push(("docstring".to_owned(), text.into()));
        self
    }

    /// Makes a table without the policy that records ingestion times.
    #[must_use]
    pub fn without_ingestion_time(mut self) -> Self {
        self.options.push(("policy_ingestiontime".to_owned(), "false".to_owned()));
        self
    }

    /// Keeps the command's result for `.show operation ... details`.
    #[must_use]
    pub fn persisting_details(mut self) -> Self {
        self.options.push(("persistDetails".to_owned(), "true".to_owned()));
        self
    }

    pub(super) fn text(&self, properties: &IngestionProperties, execution: Execution) -> String {
        let verb = match self.fill {
            Fill::Set => ".set",
            Fill::Append => ".append",
            Fill::SetOrAppend => ".set-or-append",
            Fill::SetOrReplace => ".set-or-replace",
        };
        let mut options = properties.command(None, true);
        options.extend(self.options.iter().cloned());
        format!(
            "{verb} {}{}{} <|\n{}",
            mode(execution),
            entity(properties.table.as_str()),
            with(&options),
            self.query
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_or_text_ends_the_command() {
        let properties = IngestionProperties::new("db", "odd name-1.x")
            .unwrap()
            .with_tags(["x\") <| .drop table T".to_owned()])
            .once_as("a\nb");
        let url = SecretUrl::new("https://a/b.csv?sig=\"x\"");
        let text = pull(&[url.clone(), url], &properties, Some(DataFormat::Csv), true, Execution::Async);
        let parsed = kusto_kql::parse_command(&text).unwrap();
        let kusto_kql::Command::IngestPull { table, locators, properties: read, execution } = parsed.command
        else {
            panic!("{text}")
        };
        assert_eq!((table.as_str(), execution), ("odd name-1.x", kusto_kql::Execution::Async));
        assert_eq!(locators, ["https://a/b.csv?sig=\"x\"", "https://a/b.csv?sig=\"x\""]);
        assert_eq!(
            read,
            [
                ("format".to_owned(), "csv".to_owned()),
                ("tags".to_owned(), r#"["x\") <| .drop table T","ingest-by:a\nb"]"#.to_owned()),
                ("ingestIfNotExists".to_owned(), r#"["a\nb"]"#.to_owned()),
            ]
        );
    }

    #[test]
    fn data_and_queries_stand_as_they_are() {
        let properties = IngestionProperties::new("db", "T").unwrap();
        let text = inline("\t1,\"a\nb\"\n  x\n", &properties, DataFormat::Csv);
        let kusto_kql::Command::IngestInline { data, .. } = kusto_kql::parse_command(&text).unwrap().command
        else {
            panic!("{text}")
        };
        assert_eq!(data, "\t1,\"a\nb\"\n  x\n");
        for (ingestion, begins) in [
            (QueryIngestion::set("T | take 1"), ".set [\"T\"] <|\nT | take 1"),
            (QueryIngestion::append("T").distributed(), ".append [\"T\"] with (distributed=\"true\") <|\nT"),
            (QueryIngestion::set_or_append("T"), ".set-or-append [\"T\"] <|\nT"),
            (QueryIngestion::set_or_replace("T"), ".set-or-replace [\"T\"] <|\nT"),
        ] {
            assert_eq!(ingestion.text(&properties, Execution::Wait), begins);
        }
        let text = QueryIngestion::append("T").text(&properties, Execution::Async);
        assert!(text.starts_with(".append async [\"T\"]"), "{text}");
    }
}
