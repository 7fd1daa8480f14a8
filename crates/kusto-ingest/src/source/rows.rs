//! Rows of any serialisable type as a source: one JSON object a line (feature `serde`).

use super::{Source, Writing};
use kusto_types::DataFormat;
use serde::Serialize;
use std::io::{self, Write};

fn line<T: Serialize>(row: &T, buffer: &mut Vec<u8>, out: &mut Writing<'_>) -> io::Result<()> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, row).map_err(io::Error::from)?;
    if buffer.first() != Some(&b'{') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a row must serialise as a JSON object: a struct or a map",
        ));
    }
    buffer.push(b'\n');
    out.write_all(buffer)
}

impl Source {
    /// Rows that serialise as JSON objects (structs, maps); columns are matched by name.
    /// The rows are written while they are sent, never as a whole in memory, and once more
    /// when an upload must begin anew.
    ///
    /// ```
    /// #[derive(serde::Serialize)]
    /// struct Reading { sensor: String, value: f64 }
    /// let source = kusto_ingest::Source::rows(vec![Reading { sensor: "a".into(), value: 1.5 }]);
    /// ```
    pub fn rows<T, R>(rows: R) -> Self
    where
        T: Serialize,
        R: Send + Sync + 'static,
        for<'r> &'r R: IntoIterator<Item = &'r T>,
    {
        Self::written(move |out| {
            let mut buffer = Vec::new();
            for row in &rows {
                line(row, &mut buffer, out)?;
            }
            Ok(())
        })
        .with_format(DataFormat::Json)
    }

    /// Rows that an iterator makes while they are sent. It is gone through once, so that an
    /// upload which fails after rows are gone is an error.
    ///
    /// ```
    /// #[derive(serde::Serialize)]
    /// struct Reading { sensor: String, value: f64 }
    /// let readings = (0..1_000_000).map(|n| Reading { sensor: "a".into(), value: n as f64 });
    /// let source = kusto_ingest::Source::rows_once(readings);
    /// ```
    pub fn rows_once<T: Serialize>(
        rows: impl IntoIterator<Item = T, IntoIter: Send> + Send + 'static,
    ) -> Self {
        Self::written_once(move |out| {
            let mut buffer = Vec::new();
            for row in rows {
                line(&row, &mut buffer, out)?;
            }
            Ok(())
        })
        .with_format(DataFormat::Json)
    }
}
