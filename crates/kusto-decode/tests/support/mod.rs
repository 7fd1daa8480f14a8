//! Rows as text, for tests to compare.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};

/// A line a row, its cells with bars between; null is `∅`.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .zip(batch.columns())
                .map(|(f, c)| if c.is_null(row) { "∅".into() } else { f.value(row).to_string() })
                .collect();
            rows.push(cells.join("|"));
        }
    }
    rows
}
