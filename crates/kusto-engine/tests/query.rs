//! Queries over a small table: text cases of `query => rows`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use kusto_engine::*;
use kusto_kql::{CreateMode, Scope, check_query, parse_query};
use kusto_types::*;
use rusqlite::Connection;
use serde_json::{Map, Value};
use std::sync::Arc;

struct Tables<'c>(Catalog<'c>);

impl Scope for Tables<'_> {
    fn table(&self, _: Option<&str>, table: &str) -> Option<TableSchema> {
        self.0.find_table(&DatabaseName::net_default(), table).unwrap().map(|table| table.schema)
    }
    fn function(&self, _: &str) -> Option<kusto_kql::ast::FunctionDef> {
        None
    }
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn database(&self) -> &str {
        "NetDefaultDB"
    }
    fn now(&self) -> DateTime {
        DateTime::parse("2026-01-01").unwrap()
    }
}

fn query(connection: &Connection, root: &std::path::Path, text: &str) -> Result<String, EngineError> {
    let scope = Tables(Catalog(connection));
    let plans = check_query(&parse_query(text)?, &scope, &Map::new())?;
    let result = run_plan(&plans[0], QueryLimits::KUSTO, &|_: Option<&str>, name: &str| {
        let table = scope.0.table(&DatabaseName::net_default(), name)?;
        Ok(ExtentScan {
            root: root.to_owned(),
            extents: scope.0.extents(table.id)?,
            streamed: scope.0.streamed(table.id)?,
            schema: table.stored_schema(),
        })
    })?;
    Ok(result.json_rows().into_iter().map(|row| Value::Array(row).to_string()).collect::<Vec<_>>().join(""))
}

/// k: a b a b a; n: 1 null 3 4 5; ok: true false null true true; over two extents, the
/// second without the column `ok`.
fn fixture() -> (Connection, tempfile::TempDir) {
    let connection = Connection::open_in_memory().unwrap();
    let catalog = Catalog(&connection);
    catalog.install().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = DatabaseName::net_default();
    let full =
        TableSchema::of([("k", ColumnType::String), ("n", ColumnType::Long), ("ok", ColumnType::Bool)])
            .unwrap();
    let short = TableSchema::of([("k", ColumnType::String), ("n", ColumnType::Long)]).unwrap();
    let name = TableName::new("T").unwrap();
    catalog.create_table(&database, &name, &full, CreateMode::Create, "", "").unwrap();
    let table = catalog.table(&database, "T").unwrap();
    for (schema, columns) in [
        (
            &full,
            vec![
                Arc::new(StringArray::from(vec!["a", "b", "a"])) as ArrayRef,
                Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
                Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            ],
        ),
        (
            &short,
            vec![
                Arc::new(StringArray::from(vec!["b", "a"])) as ArrayRef,
                Arc::new(Int64Array::from(vec![4, 5])),
            ],
        ),
    ] {
        let schema = Arc::new(arrow_schema(schema));
        let mut writer =
            ExtentWriter::create(folder.path(), "x", uuid::Uuid::new_v4().to_string(), schema.clone())
                .unwrap();
        writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
        let extent = NewExtent {
            file: writer.finish().unwrap(),
            original_size: 1,
            created: None,
            tags: vec!["t".into()],
        };
        let commit = Commit {
            table: table.id,
            extents: vec![extent],
            unless_tagged: Vec::new(),
            existing: Existing::Keep,
        };
        assert_eq!(CatalogCommit.commit(&connection, &commit).unwrap(), CommitOutcome::Committed);
    }
    (connection, folder)
}

#[test]
fn queries_give_kusto_results() {
    let (connection, folder) = fixture();
    for (text, expected) in [
        ("T | count", "[5]"),
        ("T", r#"["a",1,true]["b",null,false]["a",3,null]["b",4,null]["a",5,null]"#),
        ("T | where n != 3 | project n", "[1][null][4][5]"),
        ("T | where n > 3", r#"["b",4,null]["a",5,null]"#),
        ("T | where isnull(n) or ok", r#"["a",1,true]["b",null,false]"#),
        (
            "T | summarize count(), sum(n), avg(n), min(n), max(n), dcount(n), countif(n > 1) by k | order by k asc",
            r#"["a",3,9,3.0,1,5,3,2]["b",2,4,4.0,4,4,1,1]"#,
        ),
        ("T | summarize arg_max(n, *) by k | order by k asc", r#"["a",5,null]["b",4,null]"#),
        ("T | where n > 100 | summarize count(), max(n), sum(n)", "[0,null,0]"),
        ("T | where n > 100 | summarize count() by k", ""),
        ("T | top 2 by n", r#"["a",5,null]["b",4,null]"#),
        ("T | order by n asc nulls last | project n | take 2", "[1][3]"),
        ("T | sort by n asc | project n", "[null][1][3][4][5]"),
        ("T | distinct k | order by k asc", r#"["a"]["b"]"#),
        ("T | summarize c = count() by bin(n, 2) | order by n asc", "[null,1][0,1][2,1][4,2]"),
        ("T | extend m = n * 2.5, k = strcat(k, '!') | take 1", r#"["a!",1,true,2.5]"#),
        ("let lim = 4; T | where n >= lim | count", "[2]"),
        ("T | where k in~ ('A') and n !in (1, 3) | project n", "[5]"),
        ("T | take 0", ""),
    ] {
        assert_eq!(query(&connection, folder.path(), text).unwrap(), expected, "{text}");
    }
}

#[test]
fn scalars_follow_kusto() {
    let (connection, folder) = fixture();
    for (text, expected) in [
        ("print 1/2, 1.0/2, 5 % 3, -7 % 3, 1/0, 1.0/0", r#"[0,0.5,2,2,null,"Infinity"]"#),
        (
            "print int(null) == 1, int(null) != 1, int(null) == int(null), int(null) + 1",
            "[false,true,null,null]",
        ),
        (
            "print datetime(2020-01-02) - datetime(2020-01-01), datetime(2020-01-01) + 1h",
            r#"["1.00:00:00","2020-01-01T01:00:00Z"]"#,
        ),
        (
            "print bin(datetime(2020-01-01 13:45), 1h), bin(-3, 2), startofmonth(datetime(2020-05-17))",
            r#"["2020-01-01T13:00:00Z",-4,"2020-05-01T00:00:00Z"]"#,
        ),
        (
            "print 'KustoExplorerQueryRun' has 'Explorer', 'a b-c' has 'B', 'abc' contains 'B', 'abc' startswith 'AB', 'x' =~ 'X'",
            "[false,true,true,true,true]",
        ),
        (
            "print tolong('x'), toint('12'), todouble('1e3'), tostring(1.0), tobool('TRUE'), todatetime('2020-01-01'), toguid('nope')",
            r#"[null,12,1000.0,"1.0",true,"2020-01-01T00:00:00Z",null]"#,
        ),
        (
            "print d = dynamic({\"a\": {\"b\": [1, \"x\"]}}) | project d.a.b[1], d['a'], d.zz, tostring(d.a.b[1])",
            r#"["x",{"b":[1,"x"]},null,"x"]"#,
        ),
        (
            "print decimal(2.00000000000001), decimal(1.5) * 2 == decimal(3), decimal(10) > decimal(9)",
            r#"["2.00000000000001",true,true]"#,
        ),
        (
            "print iff(true, 1, 2.5), case(false, 'a', true, 'b', 'c'), coalesce(int(null), 3)",
            r#"[1.0,"b",3]"#,
        ),
        (
            "print guid(74be27de-1e4e-49d9-b579-fe0b331d3642), 1.02:03:04, real(nan), true, long(-9223372036854775808)",
            "",
        ),
        (
            "print strlen('naïve'), substring('hello', 1, 3), toupper('a'), replace_string('aXa', 'X', '-')",
            r#"[5,"ell","A","a-a"]"#,
        ),
        ("print ago(1d), now()", r#"["2025-12-31T00:00:00Z","2026-01-01T00:00:00Z"]"#),
        ("print '' == '', isempty(''), isnotempty('x'), isnull(long(null))", "[true,true,true,true]"),
        (
            "datatable(a:int, s:string, t:timespan) [1, 'x', 1h, int(null), '', time(null)]",
            r#"[1,"x","01:00:00"][null,"",null]"#,
        ),
        (
            "print 5 between (1 .. 5), 'a' matches regex '^[a-c]$', not(false), 'b' in ('a', 'b')",
            "[true,true,true,true]",
        ),
        ("print series_sum('x')", ""),
    ] {
        match query(&connection, folder.path(), text) {
            Ok(rows) => assert_eq!(rows, expected, "{text}"),
            Err(error) => assert_eq!(expected, "", "{text}: {error}"),
        }
    }
}

#[test]
fn a_result_over_the_limit_is_an_error() {
    let (connection, folder) = fixture();
    let scope = Tables(Catalog(&connection));
    let plans = check_query(&parse_query("T").unwrap(), &scope, &Map::new()).unwrap();
    let limits = QueryLimits { rows: 4, bytes: usize::MAX };
    let error = run_plan(&plans[0], limits, &|_: Option<&str>, name: &str| {
        let table = scope.0.table(&DatabaseName::net_default(), name)?;
        Ok(ExtentScan {
            root: folder.path().to_owned(),
            extents: scope.0.extents(table.id)?,
            streamed: scope.0.streamed(table.id)?,
            schema: table.stored_schema(),
        })
    })
    .unwrap_err();
    assert!(error.to_string().contains("E_QUERY_RESULT_SET_TOO_LARGE"));
}

#[test]
fn an_ingest_by_tag_commits_once_and_a_dropped_table_takes_nothing() {
    let (connection, _folder) = fixture();
    let catalog = Catalog(&connection);
    let table = catalog.table(&DatabaseName::net_default(), "T").unwrap();
    let commit = Commit {
        table: table.id,
        extents: Vec::new(),
        unless_tagged: vec!["t".into()],
        existing: Existing::Keep,
    };
    assert_eq!(CatalogCommit.commit(&connection, &commit).unwrap(), CommitOutcome::Tagged("t".into()));
    catalog.drop_table(&DatabaseName::net_default(), "T", false).unwrap();
    assert_eq!(CatalogCommit.commit(&connection, &commit).unwrap(), CommitOutcome::TableGone);
}

#[test]
fn a_merge_keeps_the_time_of_each_row() {
    let (connection, folder) = fixture();
    let root = folder.path();
    let times = "T | project k, n, at = ingestion_time() | order by n asc";
    let before = query(&connection, root, times).unwrap();
    assert_eq!(query(&connection, root, "T | distinct at = ingestion_time() | count").unwrap(), "[2]");
    let table = Catalog(&connection).table(&DatabaseName::net_default(), "T").unwrap();
    let extents = Catalog(&connection).extents(table.id).unwrap();
    let merged = merge::write_merged(root, &table.stored_schema(), &extents, "m".to_owned()).unwrap();
    assert!(merge::replace(&connection, table.id, &extents, &merged).unwrap());
    assert_eq!(Catalog(&connection).extents(table.id).unwrap().len(), 1);
    assert_eq!(query(&connection, root, times).unwrap(), before);
    // A merge of merged extents keeps them too.
    let extents = Catalog(&connection).extents(table.id).unwrap();
    let again = merge::write_merged(root, &table.stored_schema(), &extents, "n".to_owned()).unwrap();
    assert!(merge::replace(&connection, table.id, &extents, &again).unwrap());
    assert_eq!(query(&connection, root, times).unwrap(), before);
}

#[test]
fn datetimes_are_timestamps_in_files_and_exact_in_rows() {
    let folder = tempfile::tempdir().unwrap();
    let schema = TableSchema::of([("at", ColumnType::DateTime), ("span", ColumnType::Timespan)]).unwrap();
    let texts = [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.9999999Z",
        "2024-02-29T12:34:56.1234567Z",
        "9999-12-31T23:59:59.9999999Z",
    ];
    let ticks: Vec<i64> = texts.iter().map(|text| DateTime::parse(text).unwrap().ticks()).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ticks.iter().copied().map(Some).chain([None]).collect::<Int64Array>()),
        Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, 1, i64::MAX])),
    ];
    let memory = Arc::new(StoredSchema::plain(schema.clone()).arrow());
    let mut writer = ExtentWriter::create(folder.path(), "x", "one".to_owned(), memory.clone()).unwrap();
    writer.write(&RecordBatch::try_new(memory, columns).unwrap()).unwrap();
    let file = writer.finish().unwrap();
    let path = folder.path().join(&file.path);
    let stored = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        std::fs::File::open(path).unwrap(),
    )
    .unwrap();
    let timestamp =
        arrow_schema::DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(stored.schema().field_with_name("at").unwrap().data_type(), &timestamp);
    let (connection, _folder) = fixture();
    let catalog = Catalog(&connection);
    let database = DatabaseName::net_default();
    catalog
        .create_table(&database, &TableName::new("D").unwrap(), &schema, CreateMode::Create, "", "")
        .unwrap();
    let table = catalog.table(&database, "D").unwrap();
    let extent = NewExtent { file, original_size: 1, created: None, tags: Vec::new() };
    let commit = Commit {
        table: table.id,
        extents: vec![extent],
        unless_tagged: Vec::new(),
        existing: Existing::Keep,
    };
    CatalogCommit.commit(&connection, &commit).unwrap();
    let rows = query(&connection, folder.path(), "D | project at").unwrap();
    let expected: Vec<String> = texts.iter().map(|text| format!("[\"{text}\"]")).collect();
    assert_eq!(rows, expected.concat() + "[null]");
    // Only one of the columns is read, in any order.
    assert_eq!(
        query(&connection, folder.path(), "D | where at > datetime(2025-01-01) | count").unwrap(),
        "[1]"
    );
    assert_eq!(
        query(&connection, folder.path(), "D | summarize min(span), max(span)").unwrap(),
        "[\"-10675199.02:48:05.4775808\",\"10675199.02:48:05.4775807\"]"
    );
}

#[test]
fn ingestion_times_of_a_table_never_repeat() {
    let (connection, _folder) = fixture();
    let catalog = Catalog(&connection);
    let table = catalog.table(&DatabaseName::net_default(), "T").unwrap();
    // A clock that was set back: what is there is later than now.
    connection.execute("UPDATE extents SET ingested = '2999-01-01T00:00:00.0000005Z'", []).unwrap();
    for (tick, streamed) in [(6, true), (7, false), (8, true)] {
        if streamed {
            assert_eq!(catalog.append_streamed(table.id, 1, 1, b"").unwrap(), CommitOutcome::Committed);
        } else {
            let file = ExtentFile { id: "x".to_owned(), path: "x".to_owned(), rows: 1, size: 1 };
            let extent = NewExtent { file, original_size: 1, created: None, tags: Vec::new() };
            let commit = Commit {
                table: table.id,
                extents: vec![extent],
                unless_tagged: Vec::new(),
                existing: Existing::Keep,
            };
            CatalogCommit.commit(&connection, &commit).unwrap();
        }
        let latest: String = connection
            .query_row(
                "SELECT MAX(t) FROM (SELECT MAX(ingested) t FROM extents UNION ALL SELECT MAX(ingested) FROM streamed)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(latest, format!("2999-01-01T00:00:00.000000{tick}Z"));
    }
}
