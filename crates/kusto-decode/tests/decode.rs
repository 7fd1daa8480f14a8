//! Sources of every format, good and bad: the rows that come out, or the fault.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use bytes::Bytes;
use kusto_decode::{DecodeError, DecodeReport, DecodeRequest, Input, LastRecord, Validation, decode, infer};
use kusto_types::{ColumnType as T, DataFormat, IngestionMapping, MappingKind, TableSchema};
use std::io::Write;
use support::rows;

fn run_with(
    bytes: &[u8],
    format: DataFormat,
    schema: &TableSchema,
    mapping: Option<&str>,
    change: impl Fn(&mut DecodeRequest<'_>),
) -> Result<(Vec<String>, DecodeReport), DecodeError> {
    let mapping = mapping.map(|json| IngestionMapping::parse(format.mapping_kind(), json).unwrap());
    let mut request = DecodeRequest {
        format,
        schema,
        mapping: mapping.as_ref(),
        ignore_first_record: false,
        source_location: "https://x/c/b.csv",
        zip_pattern: None,
        validation: Validation::Fail,
        last_record: LastRecord::MustBeValid,
    };
    change(&mut request);
    let mut batches = Vec::new();
    let report = decode(Input::Bytes(Bytes::copy_from_slice(bytes)), &request, &mut |batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok((rows(&batches), report))
}

fn run(text: &str, format: DataFormat, schema: &TableSchema) -> Result<Vec<String>, DecodeError> {
    run_with(text.as_bytes(), format, schema, None, |_| {}).map(|(rows, _)| rows)
}

fn schema() -> TableSchema {
    TableSchema::of([("id", T::Long), ("name", T::String), ("v", T::Real)]).unwrap()
}

#[test]
fn csv_follows_rfc_4180_and_nulls_what_does_not_fit() {
    let text = "\u{feff}1,\"a \"\"b\"\"\nc\",2.5\r\nx,,\n3,last,1e3";
    assert_eq!(run(text, DataFormat::Csv, &schema()).unwrap(), ["1|a \"b\"\nc|2.5", "∅||∅", "3|last|1000.0"]);
    assert_eq!(run("1\ta,b\t2\n", DataFormat::Tsv, &schema()).unwrap(), ["1|a,b|2.0"]);
    assert_eq!(run("1|a|2\n", DataFormat::Psv, &schema()).unwrap(), ["1|a|2.0"]);
    assert_eq!(run("1\n", DataFormat::Csv, &schema()).unwrap(), ["1||∅"]);
    assert_eq!(run("1,a,2,more\n", DataFormat::Csv, &schema()).unwrap(), ["1|a|2.0"]);
}

#[test]
fn every_type_reads_from_text() {
    let schema = TableSchema::of([
        ("b", T::Bool),
        ("i", T::Int),
        ("dec", T::Decimal),
        ("dt", T::DateTime),
        ("ts", T::Timespan),
        ("g", T::Guid),
        ("dyn", T::Dynamic),
    ])
    .unwrap();
    let text = "true,7,1.50,2013-01-01,1.00:00:00,74BE27DE1E4E49D9B579FE0B331D3642,\"{\"\"a\"\":1}\"\n0,3000000000,x,x,x,x,plain\n,,,,,,null\n";
    assert_eq!(
        run(text, DataFormat::Csv, &schema).unwrap(),
        [
            "true|7|1.5|634925952000000000|864000000000|74be27de-1e4e-49d9-b579-fe0b331d3642|{\"a\":1}",
            "false|∅|∅|∅|∅|∅|\"plain\"",
            "∅|∅|∅|∅|∅|∅|∅",
        ]
    );
}

#[test]
fn faults_of_delimited_sources() {
    let fault = |text: &str| run(text, DataFormat::Csv, &schema()).unwrap_err().code();
    assert_eq!(fault(""), "BadRequest_EmptyBlob");
    assert_eq!(fault("\n\n"), "BadRequest_NoRecordsOrWrongFormat");
    assert_eq!(fault("1,a,2\n2,\"open,3\n4,b,5\n"), "Stream_ClosingQuoteMissing");
    assert_eq!(fault("\""), "Stream_ClosingQuoteMissing");
    assert_eq!(fault("1,a,2\n2,b\n"), "Stream_WrongNumberOfFields");
    assert_eq!(
        run_with(b"\xff\xfe1\0", DataFormat::Csv, &schema(), None, |_| {}).unwrap_err().code(),
        "BadRequest_InvalidBlob"
    );
    let drop = run_with(b"1,a,2\n2,b\n3,c,4\n", DataFormat::Csv, &schema(), None, |r| {
        r.validation = Validation::DropRecord
    })
    .unwrap();
    assert_eq!((drop.0.len(), drop.1.dropped), (2, 1));
    let lossy = run_with(b"1,\xe9t\xe9,2\n", DataFormat::Csv, &schema(), None, |_| {}).unwrap();
    assert_eq!(lossy.0, ["1|\u{fffd}t\u{fffd}|2.0"]);
}

#[test]
fn headers_are_skipped_when_asked() {
    let (rows, report) =
        run_with(b"id,name,v\n1,a,2\n", DataFormat::Csv, &schema(), None, |r| r.ignore_first_record = true)
            .unwrap();
    assert_eq!((rows, report.rows, report.header_only), (vec!["1|a|2.0".to_owned()], 1, false));
    let (rows, report) =
        run_with(b"id,name,v\n", DataFormat::Csv, &schema(), None, |r| r.ignore_first_record = true).unwrap();
    assert_eq!((rows.len(), report.header_only), (0, true));
}

#[test]
fn mappings_place_fields() {
    let mapping = r#"[{"column":"v","Ordinal":0},{"column":"name","Properties":{"ConstValue":"k"}}]"#;
    assert_eq!(run_with(b"5,x\n", DataFormat::Csv, &schema(), Some(mapping), |_| {}).unwrap().0, ["∅|k|5.0"]);
    let mapping = r#"[{"column":"id","path":"$.a.b[1]"},{"column":"name","path":"$['x y']"},{"column":"v","path":"$.none"}]"#;
    let json = r#"{"a":{"b":[1,2]},"x y":"q\n"}"#;
    assert_eq!(
        run_with(json.as_bytes(), DataFormat::Json, &schema(), Some(mapping), |_| {}).unwrap().0,
        ["2|q\n|∅"]
    );
    let mapping = r#"[{"column":"name","Properties":{"Transform":"SourceLocation"}},{"column":"id","Properties":{"Transform":"SourceLineNumber"}}]"#;
    assert_eq!(
        run_with(b"{}\n{}", DataFormat::Json, &schema(), Some(mapping), |_| {}).unwrap().0,
        ["1|https://x/c/b.csv|∅", "2|https://x/c/b.csv|∅"]
    );
    let unknown = r#"[{"column":"nope","path":"$.a"}]"#;
    assert_eq!(
        run_with(b"{}", DataFormat::Json, &schema(), Some(unknown), |_| {}).unwrap_err().code(),
        "BadRequest_InconsistentMapping"
    );
}

#[test]
fn json_lines_drop_bad_records_and_multijson_fails() {
    let text =
        "{\"id\":1,\"name\":\"a\",\"v\":1.5}\nnot json\n\n{\"id\":\"2\",\"name\":{\"k\": 1},\"v\":null}\n";
    let (rows, report) = run_with(text.as_bytes(), DataFormat::Json, &schema(), None, |_| {}).unwrap();
    assert_eq!(rows, ["1|a|1.5", "2|{\"k\": 1}|∅"]);
    assert_eq!(report.dropped, 1);
    assert_eq!(
        run("[1,2]", DataFormat::Json, &schema()).unwrap_err().code(),
        "BadRequest_NoRecordsOrWrongFormat"
    );
    assert_eq!(
        run(" [ {\"id\":1},\n{\"id\":\n2} ] ", DataFormat::MultiJson, &schema()).unwrap(),
        ["1||∅", "2||∅"]
    );
    assert_eq!(run("{\"id\":1}{\"id\":2}", DataFormat::MultiJson, &schema()).unwrap().len(), 2);
    for bad in ["[{\"id\":1}", "{\"id\":", "hello", "{\"id\":x}", "[{}] {}"] {
        assert_eq!(
            run(bad, DataFormat::MultiJson, &schema()).unwrap_err().code(),
            "BadRequest_InvalidBlob",
            "{bad}"
        );
    }
    let big = TableSchema::of([("d", T::Decimal), ("l", T::Long), ("y", T::Dynamic)]).unwrap();
    assert_eq!(
        run(
            r#"{"d":12345678901234567890.123,"l":9007199254740993,"y":{"n":9007199254740993}}"#,
            DataFormat::Json,
            &big
        )
        .unwrap(),
        [r#"12345678901234567890.123|9007199254740993|{"n":9007199254740993}"#]
    );
}

#[test]
fn unix_times_transform() {
    let schema = TableSchema::of([("at", T::DateTime)]).unwrap();
    let mapping =
        r#"[{"column":"at","Properties":{"Path":"$.t","Transform":"DateTimeFromUnixMilliseconds"}}]"#;
    assert_eq!(
        run_with(br#"{"t":1517966773840}"#, DataFormat::Json, &schema, Some(mapping), |_| {}).unwrap().0,
        ["636535635738400000"]
    );
}

#[test]
fn objects_are_taken_apart() {
    let schema =
        TableSchema::of([("id", T::Long), ("bag", T::Dynamic), ("rest", T::Dynamic), ("text", T::String)])
            .unwrap();
    let mapping = r#"[{"column":"id","path":"$.a.id"},
        {"column":"bag","Properties":{"Path":"$.tags","Transform":"PropertyBagArrayToDictionary"}},
        {"column":"rest","Properties":{"Path":"$","Transform":"DropMappedFields"}},
        {"column":"text","Properties":{"Path":"$.a","Transform":"DropMappedFields"}}]"#;
    let json = r#"{"a":{"id":7,"x":1},"tags":[{"k":"v"},{"l":[2]}],"more":true}
{"tags":[1,{"k":1}],"a":{}}
{"tags":"plain"}"#;
    assert_eq!(
        run_with(json.as_bytes(), DataFormat::Json, &schema, Some(mapping), |_| {}).unwrap().0,
        [r#"7|{"k":"v","l":[2]}|{"more":true}|{"x":1}"#, r#"∅|[1,{"k":1}]|{}|{}"#, r#"∅|"plain"|{}|"#,]
    );
    let two = TableSchema::of([("key", T::String), ("inner", T::Dynamic)]).unwrap();
    let mapping = r#"[{"column":"key","Properties":{"Path":"$.key","Transform":"BytesAsBase64"}},
        {"column":"inner","Properties":{"Path":"$","Transform":"DropMappedFields"}}]"#;
    let rows = run_with(AVRO, DataFormat::Avro, &two, Some(mapping), |_| {}).unwrap().0;
    assert!(rows[0].starts_with(r#"AAAAAAAAAAAAAAAAAAAAAQ==|{"id":1,"name":"n1","v":0.5,"#), "{}", rows[0]);
    assert!(!rows[0].contains("\"key\"") && rows[0].contains(r#""either":7"#), "{}", rows[0]);
}

#[test]
fn gzip_is_seen_by_its_bytes_and_a_cut_stream_is_a_fault() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for row in 0..50_000 {
        writeln!(encoder, "{row},name {row},{}", row * 7919 % 1000).unwrap();
    }
    let bytes = encoder.finish().unwrap();
    assert_eq!(run_with(&bytes, DataFormat::Csv, &schema(), None, |_| {}).unwrap().1.rows, 50_000);
    let fault = run_with(&bytes[..bytes.len() / 2], DataFormat::Csv, &schema(), None, |_| {}).unwrap_err();
    assert!(matches!(fault, DecodeError::Compression { .. }), "{fault:?}");
    assert!(fault.is_permanent());
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn every_file_of_an_archive_is_read_or_those_that_the_pattern_takes() {
    let run = |bytes: &[u8], pattern: Option<&str>| {
        let pattern = pattern.map(|text| regex::Regex::new(text).unwrap());
        let mut found = Vec::new();
        let schema = schema();
        let request = DecodeRequest {
            format: DataFormat::Csv,
            schema: &schema,
            mapping: None,
            ignore_first_record: true,
            source_location: "",
            zip_pattern: pattern.as_ref(),
            validation: Validation::Fail,
            last_record: LastRecord::MustBeValid,
        };
        decode(Input::Bytes(Bytes::copy_from_slice(bytes)), &request, &mut |batch| {
            found.push(batch);
            Ok(())
        })
        .map(|report| (rows(&found), report.rows))
    };
    let bytes = zip(&[
        ("a/one.csv", b"id,name,v\n1,a,1\n"),
        ("two.csv", b"id,name,v\n2,b,2\n"),
        ("a/", b""),
        ("__MACOSX/._two.csv", b"\0"),
    ]);
    assert_eq!(run(&bytes, None).unwrap(), (vec!["1|a|1.0".to_owned(), "2|b|2.0".to_owned()], 2));
    assert_eq!(run(&bytes, Some("^two")).unwrap().1, 1);
    let code = |bytes: &[u8], pattern| run(bytes, pattern).unwrap_err().code();
    assert_eq!(code(&bytes, Some("none")), "BadRequest_EmptyArchive");
    assert_eq!(code(&zip(&[]), None), "BadRequest_EmptyArchive");
    assert_eq!(code(&bytes[..bytes.len() / 2], None), "BadRequest_InvalidArchive");
    assert_eq!(code(b"PK\x03\x04....", None), "BadRequest_InvalidArchive");
    let nested = zip(&[("in.zip", &bytes)]);
    assert_eq!(code(&nested, None), "BadRequest_InvalidArchive");
    let bad = run(&zip(&[("good.csv", b"h\n1\n"), ("bad.csv", b"h\n\"1\n")]), None).unwrap_err();
    assert_eq!(bad.code(), "Stream_ClosingQuoteMissing");
    assert!(bad.to_string().contains("bad.csv") && bad.is_permanent(), "{bad}");
}

#[test]
fn parquet_reads_back_by_name() {
    let mut batches = Vec::new();
    let other = TableSchema::of([("v", T::Real), ("id", T::Int), ("name", T::String)]).unwrap();
    let request = DecodeRequest {
        format: DataFormat::Csv,
        schema: &other,
        mapping: None,
        ignore_first_record: false,
        source_location: "",
        zip_pattern: None,
        validation: Validation::Fail,
        last_record: LastRecord::MustBeValid,
    };
    decode(Input::Bytes("1.5,7,a\n,,\n".into()), &request, &mut |batch| {
        batches.push(batch);
        Ok(())
    })
    .unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batches[0].schema(), None).unwrap();
    writer.write(&batches[0]).unwrap();
    writer.close().unwrap();
    assert_eq!(run_with(&file, DataFormat::Parquet, &schema(), None, |_| {}).unwrap().0, ["7|a|1.5", "∅||∅"]);
    assert_eq!(
        run("not parquet at all", DataFormat::Parquet, &schema()).unwrap_err().code(),
        "BadRequest_InvalidBlob"
    );
}

#[test]
fn no_bytes_make_it_panic() {
    let mut seed = 42u64;
    for round in 0..3000 {
        let length = round % 64;
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                b"{}[]\",:\\\n\r1a.\xff\x1f\x8bPAR1 "[(seed >> 33) as usize % 21]
            })
            .collect();
        for format in [
            DataFormat::Csv,
            DataFormat::Tsv,
            DataFormat::Json,
            DataFormat::MultiJson,
            DataFormat::Parquet,
            DataFormat::Txt,
            DataFormat::Raw,
        ] {
            let _ = run_with(&bytes, format, &schema(), None, |_| {});
            let shared = bytes.clone();
            let _ = infer(move || Ok(Input::Bytes(shared.clone().into())), format);
        }
    }
}

fn inferred(text: &str, format: DataFormat) -> (String, bool, DataFormat) {
    let text = text.to_owned();
    let inferred = infer(move || Ok(Input::Bytes(text.clone().into())), format).unwrap();
    (inferred.schema.csl(), inferred.header, inferred.format)
}

#[test]
fn schemas_are_inferred() {
    assert_eq!(
        inferred("a,b,c,d\n1,NA,2013-01-01T10:00:00Z,N1\nNA,2.5,NA,NA\n", DataFormat::Csv).0,
        "a:long,b:real,c:datetime,d:string"
    );
    assert_eq!(
        inferred("carrier,name\n9E,Endeavor\nAA,American\n", DataFormat::Csv),
        ("carrier:string,name:string".into(), true, DataFormat::Csv)
    );
    assert_eq!(
        inferred("1,x\n2,y\n", DataFormat::Csv),
        ("Column1:long,Column2:string".into(), false, DataFormat::Csv)
    );
    assert_eq!(inferred("zip,ok\n007,true\n", DataFormat::Csv).0, "zip:string,ok:bool");
    assert_eq!(
        inferred("x,1\nx,2\n", DataFormat::Csv),
        ("Column1:string,Column2:long".into(), false, DataFormat::Csv)
    );
    assert_eq!(
        inferred(
            "{\"a\":1,\"b\":null}\n{\"a\":2.5,\"b\":{\"c\":1},\"t\":\"2013-01-01T00:00:00Z\"}\n",
            DataFormat::Json
        ),
        ("a:real,b:dynamic,t:datetime".into(), false, DataFormat::Json)
    );
    assert_eq!(inferred("[{\"a\":1},\n {\"a\":2}]", DataFormat::Json).2, DataFormat::MultiJson);
    let text = b"a,b\n1,\xff\xfe\n".to_vec();
    assert!(
        infer(move || Ok(Input::Bytes(text.clone().into())), DataFormat::Csv)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
    let _ = MappingKind::Csv;
}

/// Written by fastavro: `tests/data/make.py`.
const AVRO: &[u8] = include_bytes!("data/types.avro");

#[test]
fn avro_of_another_library_reads_by_name_and_by_mapping() {
    let schema = TableSchema::of([
        ("id", T::Long),
        ("name", T::String),
        ("v", T::Real),
        ("flag", T::Bool),
        ("at", T::DateTime),
        ("day", T::DateTime),
        ("price", T::Decimal),
        ("kind", T::String),
        ("tags", T::Dynamic),
        ("attrs", T::Dynamic),
        ("inner", T::Dynamic),
        ("key", T::Guid),
        ("either", T::String),
        ("absent", T::Long),
    ])
    .unwrap();
    let (rows, report) = run_with(AVRO, DataFormat::Avro, &schema, None, |_| {}).unwrap();
    assert_eq!(report.rows, 3);
    let ticks = |day: i64| 638_396_640_000_000_000 + (day - 1) * 864_000_000_000;
    let row = |n: i64, name: &str, v: &str, flag: bool, kind: &str, tags: &str, either: &str| {
        let at = ticks(n) + 37_234_567_890;
        let key = format!("00000000-0000-0000-0000-00000000000{n}");
        format!(
            "{n}|{name}|{v}|{flag}|{at}|{}|{n}.25|{kind}|{tags}|{{\"k\":{n}}}|{{\"x\":{n}}}|{key}|{either}|∅",
            ticks(n)
        )
    };
    let expected = [
        row(1, "n1", "0.5", false, "B", r#"["a"]"#, "7"),
        row(2, "", "1.0", true, "A", r#"["a","b"]"#, "seven"),
        row(3, "n3", "1.5", false, "B", r#"["a","b"]"#, ""),
    ];
    assert_eq!(rows, expected);
    assert_eq!(run_with(AVRO, DataFormat::ApacheAvro, &schema, None, |_| {}).unwrap().0, expected);
    let two = TableSchema::of([("x", T::Int), ("first", T::String)]).unwrap();
    let mapping = r#"[{"column":"x","Properties":{"Path":"$.inner.x"}},{"column":"first","Properties":{"Path":"$.tags[0]"}}]"#;
    let mapped = run_with(AVRO, DataFormat::Avro, &two, Some(mapping), |_| {}).unwrap().0;
    assert_eq!(mapped, ["1|a", "2|a", "3|a"]);
}

#[test]
fn avro_says_its_own_schema() {
    let inferred = infer(|| Ok(Input::Bytes(Bytes::from_static(AVRO))), DataFormat::Avro).unwrap();
    assert_eq!(
        inferred.schema.csl(),
        "id:long,name:string,v:real,flag:bool,at:datetime,day:datetime,price:decimal,kind:string,tags:dynamic,attrs:dynamic,inner:dynamic,key:guid,either:dynamic"
    );
    let (rows, _) = run_with(AVRO, DataFormat::Avro, &inferred.schema, None, |_| {}).unwrap();
    assert!(rows[0].ends_with("|00000000-0000-0000-0000-000000000001|7"), "{}", rows[0]);
    assert!(rows[1].ends_with("|\"seven\""), "{}", rows[1]);
    for bad in [&b""[..], b"Obj", b"id,name\n"] {
        assert!(infer(|| Ok(Input::Bytes(Bytes::from_static(bad))), DataFormat::Avro).is_err());
    }
}

#[test]
fn avro_faults_are_told() {
    let code = |bytes: &[u8]| run_with(bytes, DataFormat::Avro, &schema(), None, |_| {}).unwrap_err().code();
    assert_eq!(code(b""), "BadRequest_EmptyBlob");
    assert_eq!(code(b"id,name\n1,a\n"), "BadRequest_InvalidBlob");
    for length in [3, 20, 600, AVRO.len() - 10] {
        assert!(code(&AVRO[..length]).starts_with("BadRequest_"), "{length} bytes");
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(AVRO).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(run_with(&packed, DataFormat::Avro, &schema(), None, |_| {}).unwrap().1.rows, 3);
    assert!(code(&packed[..packed.len() / 2]).starts_with("BadRequest_"));
}

#[test]
fn tsve_has_backslash_escapes() {
    let text = "1\ta\\tb\\\\c\t0.5\r\n\n2\tx\\ny\\\nz\t1\n3\t\"q\t\\";
    assert_eq!(
        run(text, DataFormat::Tsve, &schema()).unwrap(),
        ["1|a\tb\\c|0.5", "2|x\ny\nz|1.0", "3|\"q|∅"]
    );
    let wide = (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().join("\t");
    assert_eq!(run(&wide, DataFormat::Tsve, &schema()).unwrap(), ["0|1|2.0"]);
    assert_eq!(
        run("1\ta\n2\n", DataFormat::Tsve, &schema()).unwrap_err().code(),
        "Stream_WrongNumberOfFields"
    );
}

#[test]
fn w3c_logs_go_by_the_names_of_their_fields() {
    let log = "#Software: IIS\r\n#Fields: date time cs-method cs(User-Agent) sc-status\r\n\
        2024-01-02 03:04:05 GET \"Mozilla \"\"5\"\" x\" 200\r\n#Fields: sc-status cs-method\n404 -\n";
    let schema =
        TableSchema::of([("date", T::DateTime), ("cs-method", T::String), ("sc-status", T::Int)]).unwrap();
    let run = |log: &str, mapping| run_with(log.as_bytes(), DataFormat::W3cLogFile, &schema, mapping, |_| {});
    let day = 638_397_504_000_000_000_i64;
    assert_eq!(run(log, None).unwrap().0, [format!("{day}|GET|200"), "∅||404".to_owned()]);
    let mapping = r#"[{"column":"cs-method","Properties":{"Field":"cs(User-Agent)"}},
        {"column":"sc-status","Properties":{"Transform":"SourceLineNumber"}}]"#;
    assert_eq!(run(log, Some(mapping)).unwrap().0, ["∅|Mozilla \"5\" x|3", "∅||5"]);
    let code = |log: &str| run(log, None).unwrap_err().code();
    assert_eq!(code("2024-01-02 GET 200\n"), "BadRequest_InvalidBlob");
    assert_eq!(code("#Fields: a b\n1\n"), "Stream_WrongNumberOfFields");
    assert_eq!(code("#Fields: a\n\"1\n"), "BadRequest_InvalidBlob");
    assert!(run("#Fields: a b\n", None).unwrap().1.header_only);
    assert_eq!(code("#Software: IIS\n"), "BadRequest_NoRecordsOrWrongFormat");
}

#[test]
fn a_last_record_may_be_invalid_where_that_is_said() {
    let run = |text: &str, format: DataFormat, last_record: LastRecord| {
        run_with(text.as_bytes(), format, &schema(), None, |request| request.last_record = last_record)
    };
    let two = ["1|a|0.5", "2|b|1.0"];
    let objects = r#"{"id":1,"name":"a","v":0.5}{"id":2,"name":"b","v":1}"#;
    for (text, format) in [
        ("1,a,0.5\n2,b,1\n3,\"c", DataFormat::Csv),
        ("1,a,0.5\n2,b,1\n3\n", DataFormat::Csv),
        ("1\ta\t0.5\n2\tb\t1\n3", DataFormat::Tsve),
        (&format!("{objects}{{\"id\":3"), DataFormat::MultiJson),
        (&format!("{objects}{{\"id\" 3}}"), DataFormat::MultiJson),
        (&format!("[{},", objects.replace("}{", "},{")), DataFormat::MultiJson),
    ] {
        assert!(run(text, format, LastRecord::MustBeValid).is_err(), "{text}");
        let (rows, report) = run(text, format, LastRecord::MayBeInvalid).unwrap();
        assert_eq!((rows, report.rows, report.dropped), (two.map(str::to_owned).to_vec(), 2, 1), "{text}");
        assert!(report.first_fault.is_some(), "{text}");
    }
    // Only the last: what is in the middle, or in front of another fault, fails the source.
    for (text, format) in [
        ("1,a,0.5\n2\n3,c,1\n", DataFormat::Csv),
        ("1,a,0.5\n2\n3\n", DataFormat::Csv),
        ("1,a,0.5\n2\n3,\"c", DataFormat::Csv),
        (&format!("{{\"id\" 3}}{objects}"), DataFormat::MultiJson),
        (&format!("{objects} x {{\"id\":3}}"), DataFormat::MultiJson),
    ] {
        assert!(run(text, format, LastRecord::MayBeInvalid).is_err(), "{text}");
    }
    // A cut stream is no record.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all("1,a,0.5\n".repeat(500).as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let cut = run_with(&packed[..packed.len() - 9], DataFormat::Csv, &schema(), None, |request| {
        request.last_record = LastRecord::MayBeInvalid;
    });
    assert_eq!(cut.unwrap_err().code(), "BadRequest_InvalidBlob");
}
