//! Prints to standard output: the one place that does.
#![expect(clippy::print_stdout, reason = "this is where output is printed")]

use kusto_wire::ResultTable;
use serde_json::{Map, Value};
use std::io::Write;

/// A line of text.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// A line of JSON.
pub(crate) fn json(value: &Value) {
    println!("{value}");
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Aligned columns, as a person reads them.
pub(crate) fn table(table: &ResultTable) {
    const WIDEST: usize = 60;
    let shown = |text: String| -> String {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.chars().count() > WIDEST {
            text.chars().take(WIDEST - 1).chain(['…']).collect()
        } else {
            text
        }
    };
    let mut lines: Vec<Vec<String>> = vec![table.columns.iter().map(|column| column.name.clone()).collect()];
    lines.extend(table.rows.iter().map(|row| row.iter().map(|value| shown(cell(value))).collect()));
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|index| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = std::io::stdout().lock();
    for (number, line) in lines.iter().enumerate() {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .zip(&table.columns)
            .map(|((text, width), column)| {
                let gap = " ".repeat(width - text.chars().count());
                if column.column_type.is_numeric() && number > 0 {
                    format!("{gap}{text}")
                } else {
                    format!("{text}{gap}")
                }
            })
            .collect();
        // A closed pipe (| head) ends the output, not the command.
        if writeln!(out, "{}", padded.join("  ").trim_end()).is_err() {
            return;
        }
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            if writeln!(out, "{}", rule.join("  ")).is_err() {
                return;
            }
        }
    }
}

/// RFC 4180 with a header.
pub(crate) fn csv(table: &ResultTable) {
    fn quoted(text: &str) -> String {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    }
    let mut out = std::io::stdout().lock();
    let header: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let rows = table.rows.iter().map(|row| row.iter().map(|value| quoted(&cell(value))).collect::<Vec<_>>());
    for line in std::iter::once(header).chain(rows) {
        if writeln!(out, "{}", line.join(",")).is_err() {
            return;
        }
    }
}

/// A JSON object a row.
pub(crate) fn json_rows(table: &ResultTable) {
    let mut out = std::io::stdout().lock();
    for row in &table.rows {
        let object: Map<String, Value> =
            table.columns.iter().map(|column| column.name.clone()).zip(row.iter().cloned()).collect();
        if writeln!(out, "{}", Value::Object(object)).is_err() {
            return;
        }
    }
}
