//! The v2 result format: a JSON array of frames. Written plain (a `DataTable` frame for
//! each result) or fragmented (a frame a line, results in pieces), as the request's
//! options say; progressive results are read as well.

use crate::v1::decode_table;
use crate::{OneApiError, ResultTable};
use serde_json::{Value, json};

/// A v2 result: its primary tables.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSetV2 {
    /// The primary results, one a tabular statement.
    pub tables: Vec<ResultTable>,
}

/// How the frames of a result are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One `DataTable` frame a result, no line ends between frames.
    Plain,
    /// `TableHeader`, `TableFragment`s and `TableCompletion` for each primary result, a
    /// frame a line: `results_v2_fragment_primary_tables`,
    /// `results_v2_newlines_between_frames`, which Go's client always asks for.
    Fragmented,
}

/// Rows of a fragment.
const FRAGMENT: usize = 1000;

/// Why a body is not a v2 result, or reports a failure.
#[derive(Debug, thiserror::Error)]
pub enum V2Error {
    /// Not JSON.
    #[error("the response is not JSON")]
    Json(#[from] serde_json::Error),
    /// JSON of another shape.
    #[error("the response is not a v2 result: {0}")]
    Shape(&'static str),
    /// A result that reports a failure after it began.
    #[error("the query failed after it began: {0}")]
    Failed(String),
}

impl DataSetV2 {
    /// The body of a finished query's answer. The order of the properties matters to the
    /// clients that read while it arrives.
    pub fn encode(&self, framing: Framing, client_request_id: &str, activity_id: &str) -> String {
        let frames = self.frames(framing, client_request_id, activity_id);
        let separator = match framing {
            Framing::Plain => ",",
            Framing::Fragmented => "\n,",
        };
        let mut body = String::from("[");
        for (index, frame) in frames.iter().enumerate() {
            if index > 0 {
                body.push_str(separator);
            }
            body.push_str(&frame.to_string());
        }
        body.push_str(if framing == Framing::Fragmented { "\n]" } else { "]" });
        body
    }

    fn frames(&self, framing: Framing, client_request_id: &str, activity_id: &str) -> Vec<Value> {
        let header = match framing {
            Framing::Plain => {
                json!({"FrameType": "DataSetHeader", "IsProgressive": false, "Version": "v2.0"})
            }
            Framing::Fragmented => json!({
                "FrameType": "DataSetHeader", "IsProgressive": false, "Version": "v2.0", "IsFragmented": true,
                "ErrorReportingPlacement": "EndOfTable",
            }),
        };
        let shown = self.tables.iter().enumerate();
        let shown: Vec<Value> = shown
            .map(|(index, table)| json!([index + 1, "Visualization", table.visualization_json()]))
            .collect();
        let mut frames = vec![
            header,
            json!({
                "FrameType": "DataTable", "TableId": 0, "TableKind": "QueryProperties",
                "TableName": "@ExtendedProperties",
                "Columns": [
                    {"ColumnName": "TableId", "ColumnType": "int"},
                    {"ColumnName": "Key", "ColumnType": "string"},
                    {"ColumnName": "Value", "ColumnType": "dynamic"},
                ],
                "Rows": shown,
            }),
        ];
        for (index, table) in self.tables.iter().enumerate() {
            let id = index + 1;
            let columns: Vec<Value> = table
                .columns
                .iter()
                .map(|column| json!({"ColumnName": column.name, "ColumnType": column.column_type.kql_name()}))
                .collect();
            if framing == Framing::Plain {
                frames.push(json!({
                    "FrameType": "DataTable", "TableId": id, "TableKind": "PrimaryResult",
                    "TableName": "PrimaryResult", "Columns": columns, "Rows": table.rows,
                }));
                continue;
            }
            frames.push(json!({
                "FrameType": "TableHeader", "TableId": id, "TableKind": "PrimaryResult",
                "TableName": "PrimaryResult", "Columns": columns,
            }));
            for rows in table.rows.chunks(FRAGMENT) {
                frames.push(json!({
                    "FrameType": "TableFragment", "TableFragmentType": "DataAppend", "TableId": id, "Rows": rows,
                }));
            }
            frames.push(json!({"FrameType": "TableCompletion", "TableId": id, "RowCount": table.rows.len()}));
        }
        let now = kusto_types::DateTime::now().to_string();
        let ids = |level: i32, name: &str, event: i32, event_name: &str, payload: String| {
            json!([
                now,
                client_request_id,
                activity_id,
                activity_id,
                activity_id,
                level,
                name,
                0,
                "S_OK (0)",
                event,
                event_name,
                payload
            ])
        };
        frames.push(json!({
            "FrameType": "DataTable", "TableId": self.tables.len() + 1, "TableKind": "QueryCompletionInformation",
            "TableName": "QueryCompletionInformation",
            "Columns": [
                {"ColumnName": "Timestamp", "ColumnType": "datetime"},
                {"ColumnName": "ClientRequestId", "ColumnType": "string"},
                {"ColumnName": "ActivityId", "ColumnType": "guid"},
                {"ColumnName": "SubActivityId", "ColumnType": "guid"},
                {"ColumnName": "ParentActivityId", "ColumnType": "guid"},
                {"ColumnName": "Level", "ColumnType": "int"},
                {"ColumnName": "LevelName", "ColumnType": "string"},
                {"ColumnName": "StatusCode", "ColumnType": "int"},
                {"ColumnName": "StatusCodeName", "ColumnType": "string"},
                {"ColumnName": "EventType", "ColumnType": "int"},
                {"ColumnName": "EventTypeName", "ColumnType": "string"},
                {"ColumnName": "Payload", "ColumnType": "string"},
            ],
            "Rows": [
                ids(4, "Info", 4, "QueryInfo", json!({"Count": 1, "Text": "Query completed successfully"}).to_string()),
                ids(6, "Stats", 0, "QueryResourceConsumption", "{}".to_owned()),
            ],
        }));
        frames.push(json!({"FrameType": "DataSetCompletion", "HasErrors": false, "Cancelled": false}));
        frames
    }

    /// Reads a body: plain, fragmented or progressive.
    pub fn decode(body: &[u8]) -> Result<Self, V2Error> {
        let Value::Array(frames) = serde_json::from_slice(body)? else {
            return Err(V2Error::Shape("it is not an array of frames"));
        };
        let mut tables: Vec<ResultTable> = Vec::new();
        let mut open: Option<(Value, Value, Vec<Value>)> = None;
        let mut complete = false;
        for frame in frames {
            let text = |key: &str| frame.get(key).and_then(Value::as_str).unwrap_or_default();
            let primary = text("TableKind") == "PrimaryResult";
            match text("FrameType") {
                "DataTable" if primary => tables.push(read_table(&frame)?),
                "TableHeader" if primary => {
                    open =
                        Some((frame.get("TableId").cloned().unwrap_or_default(), frame.clone(), Vec::new()));
                }
                "TableFragment" => {
                    if let Some((id, _, rows)) =
                        open.as_mut().filter(|(id, _, _)| Some(id) == frame.get("TableId"))
                    {
                        let _ = id;
                        if text("TableFragmentType") == "DataReplace" {
                            rows.clear();
                        }
                        rows.extend(frame.get("Rows").and_then(Value::as_array).cloned().unwrap_or_default());
                    }
                }
                "TableCompletion" => {
                    if let Some((_, mut header, rows)) = open.take() {
                        header["Rows"] = Value::Array(rows);
                        tables.push(read_table(&header)?);
                    }
                }
                "DataSetCompletion" => {
                    complete = true;
                    if frame.get("HasErrors").and_then(Value::as_bool) == Some(true) {
                        return Err(V2Error::Failed(failure_text(frame.get("OneApiErrors"))));
                    }
                    if frame.get("Cancelled").and_then(Value::as_bool) == Some(true) {
                        return Err(V2Error::Failed("the query was cancelled".to_owned()));
                    }
                }
                _ => {}
            }
        }
        if !complete {
            return Err(V2Error::Shape("it ends before DataSetCompletion"));
        }
        Ok(Self { tables })
    }
}

fn read_table(frame: &Value) -> Result<ResultTable, V2Error> {
    let rows = frame.get("Rows").and_then(Value::as_array);
    if let Some(failure) = rows.and_then(|rows| rows.iter().find(|row| row.is_object())) {
        return Err(V2Error::Failed(failure_text(failure.get("OneApiErrors"))));
    }
    decode_table(frame).map_err(V2Error::Shape)
}

fn failure_text(errors: Option<&Value>) -> String {
    let first = errors.and_then(Value::as_array).and_then(|list| list.first()).cloned().unwrap_or_default();
    serde_json::from_value::<OneApiError>(first.clone())
        .map_or_else(|_| first.to_string(), |error| error.error.detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kusto_types::ColumnType;

    #[test]
    fn frames_read_back() {
        let table = ResultTable::new("PrimaryResult", [("a", ColumnType::Long)]).with_row(vec![1.into()]);
        let set = DataSetV2 { tables: vec![table] };
        for framing in [Framing::Plain, Framing::Fragmented] {
            let body = set.encode(framing, "c", "a");
            assert_eq!(DataSetV2::decode(body.as_bytes()).unwrap(), set, "{body}");
        }
    }

    #[test]
    fn fragmented_frames_have_a_line_each_and_their_order() {
        let mut table = ResultTable::new("PrimaryResult", [("a", ColumnType::Long)]);
        table.rows = (0..FRAGMENT + 1).map(|n| vec![n.into()]).collect();
        let empty = ResultTable::new("PrimaryResult", [("b", ColumnType::String)]);
        let body = DataSetV2 { tables: vec![table, empty] }.encode(Framing::Fragmented, "c", "a");
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!(
            lines[0],
            r#"[{"FrameType":"DataSetHeader","IsProgressive":false,"Version":"v2.0","IsFragmented":true,"ErrorReportingPlacement":"EndOfTable"}"#
        );
        assert!(lines[1..lines.len() - 1].iter().all(|line| line.starts_with(r#",{"FrameType":""#)));
        assert_eq!(lines.last(), Some(&"]"));
        assert_eq!(lines.len(), 1 + 1 + 4 + 2 + 1 + 1 + 1);
        assert!(lines[3].starts_with(
            r#",{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[[0],[1],"#
        ));
        assert_eq!(lines[5], r#",{"FrameType":"TableCompletion","TableId":1,"RowCount":1001}"#);
    }

    #[test]
    fn fragments_join_and_failures_are_errors() {
        let fragmented = r#"[{"FrameType":"DataSetHeader"},
            {"FrameType":"TableHeader","TableId":1,"TableKind":"PrimaryResult","TableName":"x","Columns":[{"ColumnName":"a","ColumnType":"int"}]},
            {"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[[1]]},
            {"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[[2]]},
            {"FrameType":"TableCompletion","TableId":1,"RowCount":2},
            {"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}]"#;
        assert_eq!(DataSetV2::decode(fragmented.as_bytes()).unwrap().tables[0].rows.len(), 2);
        let in_data = r#"[{"FrameType":"DataTable","TableId":1,"TableKind":"PrimaryResult","TableName":"x",
            "Columns":[{"ColumnName":"a","ColumnType":"int"}],
            "Rows":[[1],{"OneApiErrors":[{"error":{"code":"LimitsExceeded","@message":"too much"}}]}]},
            {"FrameType":"DataSetCompletion","HasErrors":true}]"#;
        assert!(
            matches!(DataSetV2::decode(in_data.as_bytes()), Err(V2Error::Failed(text)) if text == "too much")
        );
        assert!(DataSetV2::decode(b"[]").is_err());
    }
}
