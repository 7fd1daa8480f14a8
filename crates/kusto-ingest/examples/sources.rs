//! One function for each kind of source, all into one table through one client:
//! `cargo run -p kusto-ingest --features arrow,serde --example sources -- http://localhost:8080`.
//! Without a URL it starts a local service of its own, as the tests do.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use arrow_array::{Int64Array, RecordBatch, RecordBatchIterator, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use kusto_ingest::{
    Blob, DataFormat, Error, IngestionHandle, IngestionProperties, KustoClient, QueuedIngestClient, Source,
};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A row of the table `Numbers (n:long, name:string)`.
#[derive(Serialize)]
struct Row {
    n: i64,
    name: String,
}

/// Read as often as an upload needs it: plain, gzip or zip, told by its first bytes.
fn file(folder: &Path) -> std::io::Result<Source> {
    let path = folder.join("numbers.csv");
    std::fs::write(&path, "1,one\n2,two\n")?;
    Ok(Source::file(path))
}

fn gzipped_file(folder: &Path) -> std::io::Result<Source> {
    let path = folder.join("numbers.csv.gz");
    let file = std::fs::File::create(&path)?;
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    encoder.write_all(b"3,three\n4,four\n")?;
    encoder.finish()?;
    Ok(Source::file(path))
}

fn bytes() -> Source {
    Source::bytes("5,five\n6,six\n").with_format(DataFormat::Csv)
}

/// Any `AsyncRead`: a socket, a decompressor, a child's output. Read once.
fn reader() -> Source {
    Source::reader(std::io::Cursor::new(b"7,seven\n8,eight\n".to_vec()))
}

/// Any stream of chunks: an HTTP body, a channel. Read once.
fn stream() -> Source {
    let chunks = [Ok::<_, std::io::Error>(Bytes::from("9,ni")), Ok(Bytes::from("ne\n10,ten\n"))];
    Source::stream(futures_util::stream::iter(chunks))
}

/// What a function writes, while it is sent; called again when an upload begins anew.
fn written() -> Source {
    Source::written(|out| (11..13).try_for_each(|n| writeln!(out, "{n},number {n}")))
}

/// Values of a type of one's own (feature `serde`); columns are matched by name.
fn rows() -> Source {
    Source::rows((13..15).map(|n| Row { n, name: format!("number {n}") }).collect::<Vec<_>>())
}

/// What an iterator makes while it is sent. Read once.
fn rows_once() -> Source {
    Source::rows_once((15..17).map(|n| Row { n, name: format!("number {n}") }))
}

fn batch(numbers: [i64; 2]) -> Result<RecordBatch, ArrowError> {
    let schema =
        Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("name", DataType::Utf8, false)]);
    let names = numbers.map(|n| format!("number {n}"));
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from(numbers.to_vec())), Arc::new(StringArray::from_iter_values(names))];
    RecordBatch::try_new(Arc::new(schema), columns)
}

/// Record batches (feature `arrow`), written as Parquet while they are sent.
fn record_batches() -> Result<Source, Box<dyn std::error::Error>> {
    Ok(Source::record_batches(vec![batch([17, 18])?])?)
}

/// A reader of batches: a Parquet, IPC or CSV file of Arrow's. Read once.
fn record_batch_reader() -> Result<Source, ArrowError> {
    let batch = batch([19, 20])?;
    let schema = batch.schema();
    Ok(Source::record_batch_reader(RecordBatchIterator::new([Ok(batch)], schema)))
}

/// A stream of batches. Read once.
fn record_batch_stream() -> Result<Source, ArrowError> {
    let batch = batch([21, 22])?;
    let schema = batch.schema();
    let batches = futures_util::stream::iter([Ok::<_, ArrowError>(batch)]);
    Ok(Source::record_batch_stream(schema, batches))
}

/// A URL that the service reads: a blob with its signature, a presigned S3 object, or as
/// here any other that answers.
fn blob(site: &str) -> Source {
    Source::blob(format!("{site}/23.csv"))
}

/// Several as one operation under one handle.
fn blobs(site: &str) -> Source {
    Source::blobs((24..27).map(|n| Blob::new(format!("{site}/{n}.csv"))))
}

/// A web site that has a file of one row for each number.
async fn site() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..read]);
            let number = text.split(['/', '.']).nth(1).unwrap_or_default();
            let body = format!("{number},number {number}\n");
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let body = if text.starts_with("HEAD") { "" } else { &body };
            // One who went away needs no answer.
            let _gone = stream.write_all(format!("{answer}{body}").as_bytes()).await;
        }
    });
    Ok(url)
}

async fn send(
    client: &QueuedIngestClient,
    source: Source,
    target: &IngestionProperties,
) -> Result<IngestionHandle, Error> {
    let (id, reading) = (source.id(), source.reading());
    let handle = client.ingest(source, target).await?;
    println!("{id}: accepted, can be read: {reading:?}");
    Ok(handle)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (url, service) = match std::env::args().nth(1) {
        Some(url) => (url, None),
        None => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let config = kusto_local::ServiceConfig::new(folder.path().join("service"));
            let service = kusto_local::start(config, listener).await?;
            (service.url(), Some(service))
        }
    };
    let cluster = KustoClient::from_connection_string(&url)?.with_application("sources-example");
    cluster.management("NetDefaultDB", ".create-merge table Numbers (n:long, name:string)").await?;
    let target = IngestionProperties::new("NetDefaultDB", "Numbers")?.tracked();
    let client = QueuedIngestClient::new(&cluster);
    let site = site().await?;
    let sources = [
        file(folder.path())?,
        gzipped_file(folder.path())?,
        bytes(),
        reader(),
        stream(),
        written(),
        rows(),
        rows_once(),
        record_batches()?,
        record_batch_reader()?,
        record_batch_stream()?,
        blob(&site),
        blobs(&site),
    ];
    let mut handles = Vec::new();
    for source in sources {
        handles.push(send(&client, source, &target).await?);
    }
    for handle in handles {
        let outcome = handle.ingested_within(Duration::from_secs(60)).await;
        println!("{}: {outcome:?}", handle.source_id());
        if !outcome.is_success() {
            return Err("a source was not ingested".into());
        }
    }
    let answer =
        cluster.query("NetDefaultDB", "Numbers | where n between (1 .. 26) | summarize dcount(n)").await?;
    let numbers = answer.tables.first().and_then(|table| table.rows.first()?.first()?.as_i64());
    if numbers != Some(26) {
        return Err(format!("rows are missing: {numbers:?} of 26 numbers").into());
    }
    if let Some(service) = service {
        service.stop().await;
    }
    Ok(())
}
