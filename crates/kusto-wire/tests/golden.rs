//! Every request that the official clients sent in the golden samples is read, and
//! what is read means what was sent.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_wire::{IngestionMessage, Request};
use serde_json::Value;
use std::path::Path;

fn samples() -> Vec<(String, Vec<Value>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut samples = Vec::new();
    for client in ["python", "node"] {
        for entry in std::fs::read_dir(root.join(client)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{client}/{}", path.file_name().unwrap().to_string_lossy());
            samples.push((name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()));
        }
    }
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    samples
}

#[test]
fn every_queue_message_is_read_and_keeps_its_meaning() {
    let mut read = 0;
    for (name, requests) in samples() {
        for sent in requests.iter().filter_map(|request| request.get("message")) {
            let message =
                IngestionMessage::decode(&sent.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let written = message.to_json();
            for (key, value) in sent.as_object().unwrap() {
                match key.as_str() {
                    _ if value.is_null() => {}
                    "AdditionalProperties" => {
                        for (key, value) in value.as_object().unwrap() {
                            let ours = &written["AdditionalProperties"][key];
                            let same = ours == value
                                || ours
                                    .as_str()
                                    .and_then(|text| serde_json::from_str::<Value>(text).ok())
                                    .as_ref()
                                    == Some(value)
                                || (value == &Value::Bool(false) && ours.is_null())
                                || key.eq_ignore_ascii_case("validationPolicy");
                            assert!(same, "{name}: {key}: {value} became {ours}");
                        }
                    }
                    "IngestionStatusInTable" => {
                        let pointer = message.status_in_table.as_ref().unwrap();
                        assert_eq!(
                            Some(pointer.partition_key.as_str()),
                            value["partitionKey"].as_str(),
                            "{name}"
                        );
                    }
                    _ => assert_eq!(&written[key], value, "{name}: {key}"),
                }
            }
            read += 1;
        }
    }
    assert!(read >= 20, "only {read} messages in the samples");
}

#[test]
fn every_command_and_query_body_is_read() {
    let mut read = 0;
    for (name, requests) in samples() {
        for request in &requests {
            let kind = request["kind"].as_str().unwrap_or_default();
            if !matches!(kind, "mgmt" | "query") {
                continue;
            }
            let body = request["body"].as_str().unwrap_or_default();
            let parsed: Request =
                serde_json::from_str(body).unwrap_or_else(|error| panic!("{name}: {error}: {body}"));
            assert!(!parsed.csl.is_empty(), "{name}");
            parsed.properties().unwrap_or_else(|error| panic!("{name}: {error}"));
            read += 1;
        }
    }
    assert!(read >= 6, "only {read} commands in the samples");
}
