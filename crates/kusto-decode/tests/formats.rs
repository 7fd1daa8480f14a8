//! Every format, each with a good source, a malformed one, an empty one, a gzip stream that is
//! cut off, and a zip archive: the rows that come out, or the code that is reported. The
//! table is also written to `docs/formats.md`, which the test compares (KIN_WRITE=1 writes it).
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use arrow_array::RecordBatch;
use bytes::Bytes;
use kusto_decode::{DecodeRequest, Input, LastRecord, Validation, decode};
use kusto_types::{ColumnType as T, DataFormat as F, TableSchema};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Written by fastavro: `tests/data/make.py`.
const AVRO: &[u8] = include_bytes!("data/types.avro");
/// Written by pyarrow: `tests/data/make.py`.
const ORC: &[u8] = include_bytes!("data/types.orc");

/// What a source gives: its rows, or a code.
fn outcome(bytes: &[u8], format: F, schema: &TableSchema) -> Result<Vec<String>, String> {
    let request = DecodeRequest {
        format,
        schema,
        mapping: None,
        ignore_first_record: false,
        source_location: "",
        zip_pattern: None,
        validation: Validation::Fail,
        last_record: LastRecord::MustBeValid,
    };
    let mut batches: Vec<RecordBatch> = Vec::new();
    decode(Input::Bytes(Bytes::copy_from_slice(bytes)), &request, &mut |batch| {
        batches.push(batch);
        Ok(())
    })
    .map_err(|error| {
        assert!(error.is_permanent(), "{error}");
        error.code().to_owned()
    })?;
    Ok(support::rows(&batches))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["one", "two"] {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn parquet() -> Vec<u8> {
    let ids: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::Int64Array::from(vec![Some(1), None]));
    let names: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap();
    let mut file = Vec::new();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

/// A format with a good source, the rows of it, a malformed source, and its code.
struct Case {
    format: F,
    good: Vec<u8>,
    rows: &'static [&'static str],
    malformed: Vec<u8>,
    code: Result<&'static [&'static str], &'static str>,
}

fn case(
    format: F,
    good: &str,
    rows: &'static [&'static str],
    malformed: &str,
    code: Result<&'static [&'static str], &'static str>,
) -> Case {
    Case { format, good: good.into(), rows, malformed: malformed.into(), code }
}

fn cases() -> Vec<Case> {
    const TWO: &[&str] = &["1|a", "∅|b"];
    vec![
        case(F::Csv, "1,a\r\nx,\"b\"\r\n", TWO, "1,a\n2,\"b\n", Err("Stream_ClosingQuoteMissing")),
        case(F::Tsv, "1\ta\nx\tb\n", TWO, "1\ta\n2\n", Err("Stream_WrongNumberOfFields")),
        case(F::Tsve, "1\ta\nx\tb\n", TWO, "1\ta\n2\n", Err("Stream_WrongNumberOfFields")),
        case(F::Psv, "1|a\nx|b\n", TWO, "1|a\n2|\"b\n", Err("Stream_ClosingQuoteMissing")),
        case(F::Scsv, "1;a\nx;b\n", TWO, "1;a\n2\n", Err("Stream_WrongNumberOfFields")),
        case(F::Sohsv, "1\u{1}a\nx\u{1}b\n", TWO, "1\u{1}a\n2\n", Err("Stream_WrongNumberOfFields")),
        // Each line is one value, whatever is in it: nothing is malformed.
        case(F::Txt, "1\nx\n", &["1|", "∅|"], "\"1\n", Ok(&["∅|"])),
        case(F::Raw, "1", &["1|"], "\"1,\n", Ok(&["∅|"])),
        // A line that is no object is dropped; a source of such lines alone fails.
        case(
            F::Json,
            "{\"id\":1,\"name\":\"a\"}\n{\"name\":\"b\"}\n",
            TWO,
            "{\"id\":\nnot json\n",
            Err("BadRequest_NoRecordsOrWrongFormat"),
        ),
        case(
            F::MultiJson,
            "[{\"id\":1,\"name\":\"a\"},\n{\"id\":null,\n\"name\":\"b\"}]",
            TWO,
            "[{\"id\":1},{\"id\"]",
            Err("BadRequest_InvalidBlob"),
        ),
        case(
            F::SingleJson,
            "{\"id\":1,\n\"name\":\"a\"}",
            &["1|a"],
            "{\"id\":1",
            Err("BadRequest_InvalidBlob"),
        ),
        Case {
            format: F::Avro,
            good: AVRO.to_vec(),
            rows: &["1|n1", "2|", "3|n3"],
            malformed: AVRO[..AVRO.len() - 10].to_vec(),
            code: Err("BadRequest_InvalidBlob"),
        },
        Case {
            format: F::ApacheAvro,
            good: AVRO.to_vec(),
            rows: &["1|n1", "2|", "3|n3"],
            malformed: b"Obj\x01not avro".to_vec(),
            code: Err("BadRequest_InvalidBlob"),
        },
        Case {
            format: F::Parquet,
            good: parquet(),
            rows: TWO,
            malformed: b"PAR1 not parquet PAR1".to_vec(),
            code: Err("BadRequest_InvalidBlob"),
        },
        case(F::W3cLogFile, "#Fields: id name\n1 a\n- b\n", TWO, "1 a\n", Err("BadRequest_InvalidBlob")),
        Case {
            format: F::Orc,
            good: ORC.to_vec(),
            rows: &["1|n1", "2|", "3|n3"],
            malformed: ORC[..ORC.len() - 10].to_vec(),
            code: Err("BadRequest_InvalidBlob"),
        },
    ]
}

fn cell(outcome: &Result<Vec<String>, String>) -> String {
    match outcome {
        Ok(rows) => format!("{} row{}", rows.len(), if rows.len() == 1 { "" } else { "s" }),
        Err(code) => format!("`{code}`"),
    }
}

#[test]
fn each_format_gives_rows_or_the_right_code() {
    let schema = TableSchema::of([("id", T::Long), ("name", T::String)]).unwrap();
    let mut page = String::from(
        "# Formats\n\nWhat each format gives of a good source, of a malformed one, of none, of a gzip stream that is cut off,\nand of a zip archive with the good source in it twice. Written by `crates/kusto-decode/tests/formats.rs`.\n\n| format | good | malformed | empty | cut gzip | zip |\n|---|---|---|---|---|---|\n",
    );
    for case in cases() {
        let run = |bytes: &[u8]| outcome(bytes, case.format, &schema);
        let name = case.format.wire_name();
        let good = run(&case.good);
        let expected: Vec<String> = case.rows.iter().map(|row| (*row).to_owned()).collect();
        assert_eq!(good, Ok(expected.clone()), "{name}: good");
        let malformed = run(&case.malformed);
        let wanted = case.code.map(|rows| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>());
        assert_eq!(malformed, wanted.map_err(str::to_owned), "{name}: malformed");
        let empty = run(b"");
        assert_eq!(empty, Err("BadRequest_EmptyBlob".to_owned()), "{name}: empty");
        // Long enough that something is left to be cut.
        let long = if case.good.len() > 200 { case.good.clone() } else { case.good.repeat(20) };
        let packed = gzip(&long);
        let cut = run(&packed[..packed.len() - 9]);
        assert_eq!(cut, Err("BadRequest_InvalidBlob".to_owned()), "{name}: cut gzip");
        let archive = run(&zip(&case.good));
        let twice = [&expected[..], &expected[..]].concat();
        assert_eq!(archive, Ok(twice), "{name}: zip");
        // The same packed whole gives the same.
        assert_eq!(run(&gzip(&case.good)), good, "{name}: gzip");
        writeln!(
            page,
            "| {name} | {} | {} | {} | {} | {} |",
            cell(&good),
            cell(&malformed),
            cell(&empty),
            cell(&cut),
            cell(&archive)
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    if std::env::var_os("KIN_WRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), page, "docs/formats.md: KIN_WRITE=1 writes it");
}
