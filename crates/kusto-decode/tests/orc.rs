//! ORC files: every type that pyarrow writes, by name and by mapping, and damaged files.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use arrow_array::RecordBatch;
use bytes::Bytes;
use kusto_decode::{DecodeError, DecodeRequest, Input, LastRecord, Validation, decode, infer};
use kusto_types::{ColumnType as T, DataFormat, IngestionMapping, MappingKind, TableSchema};
use std::io::Write;

/// Written by pyarrow: `tests/data/make.py`.
const ORC: &[u8] = include_bytes!("data/types.orc");

fn rows(bytes: &[u8], schema: &TableSchema, mapping: Option<&str>) -> Result<Vec<String>, DecodeError> {
    let mapping = mapping.map(|json| IngestionMapping::parse(MappingKind::Orc, json).unwrap());
    let request = DecodeRequest {
        format: DataFormat::Orc,
        schema,
        mapping: mapping.as_ref(),
        ignore_first_record: false,
        source_location: "https://x/c/b.orc",
        zip_pattern: None,
        validation: Validation::Fail,
        last_record: LastRecord::MustBeValid,
    };
    let mut batches: Vec<RecordBatch> = Vec::new();
    decode(Input::Bytes(Bytes::copy_from_slice(bytes)), &request, &mut |batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok(support::rows(&batches))
}

#[test]
fn orc_of_another_library_reads_by_name_and_by_mapping() {
    let inferred = infer(|| Ok(Input::Bytes(Bytes::from_static(ORC))), DataFormat::Orc).unwrap();
    assert_eq!(
        inferred.schema.csl(),
        "id:long,name:string,v:real,flag:bool,at:datetime,exact:datetime,day:datetime,price:decimal,tags:dynamic,attrs:dynamic,inner:dynamic,raw:string,small:int"
    );
    let (first, last) = (0, 3_155_378_975_999_999_990i64);
    let (day, exact, epoch) =
        (638_396_640_000_000_000i64, 638_396_677_234_567_891i64, 621_355_968_000_000_000i64);
    let next = |days: i64| day + days * 864_000_000_000;
    assert_eq!(
        rows(ORC, &inferred.schema, None).unwrap(),
        [
            format!(r#"1|n1|0.5|false|{last}|{exact}|{day}|1.25|["a"]|{{"k":1}}|{{"x":1}}|text|1"#),
            format!(r#"2||1.0|true|{first}|∅|{}|∅|[]|{{}}|{{"x":null}}|ff00|-2"#, next(1)),
            format!(r"3|n3|1.5|false|∅|{epoch}|{}|-3.25|∅|∅|∅||∅", next(2)),
        ]
    );
    let mapped = TableSchema::of([("x", T::Int), ("tag", T::String), ("whole", T::Dynamic)]).unwrap();
    let mapping = r#"[{"column":"x","Properties":{"Path":"$.inner.x"}},
        {"column":"tag","Properties":{"Path":"$.tags[0]"}},
        {"column":"whole","Properties":{"Field":"at"}}]"#;
    assert_eq!(
        rows(ORC, &mapped, Some(mapping)).unwrap(),
        [r#"1|a|"9999-12-31T23:59:59.9999990Z""#, r#"∅||"0001-01-01T00:00:00Z""#, "∅||∅"]
    );
}

#[test]
fn a_packed_orc_file_is_unpacked() {
    let schema = TableSchema::of([("id", T::Long)]).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(ORC).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(rows(&packed, &schema, None).unwrap(), ["1", "2", "3"]);
    assert_eq!(
        rows(&packed[..packed.len() / 2], &schema, None).unwrap_err().code(),
        "BadRequest_InvalidBlob"
    );
}

#[test]
fn a_damaged_orc_file_is_an_error_and_no_panic() {
    let schema = infer(|| Ok(Input::Bytes(Bytes::from_static(ORC))), DataFormat::Orc).unwrap().schema;
    let mut refused = 0;
    for length in 0..ORC.len() {
        let error = rows(&ORC[..length], &schema, None).unwrap_err();
        assert!(error.is_permanent(), "{length} bytes: {error}");
    }
    for at in 0..ORC.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = ORC.to_vec();
            damaged[at] ^= flip;
            // Some bytes are values or padding: what matters is that the reader comes back.
            match rows(&damaged, &schema, None) {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is_permanent(), "byte {at}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > ORC.len(), "{refused} of {} damaged files were refused", 3 * ORC.len());
}
