"""The unmodified Python client: ingests by file, stream, dataframe and blob, and reads
the rows back."""

import io
import json
import os
import subprocess
import sys
import time
import uuid

import pandas as pd
import pytest
from azure.kusto.data import ClientRequestProperties, KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.data_format import DataFormat
from azure.kusto.data.exceptions import KustoApiError
from azure.kusto.ingest import (
    BlobDescriptor, ColumnMapping, FileDescriptor, IngestionMappingKind, IngestionProperties, KustoStreamingIngestClient,
    QueuedIngestClient,
    ReportLevel, StreamDescriptor,
)
from azure.kusto.ingest.status import KustoIngestStatusQueues
from azure.storage.blob import ContainerClient
from conftest import wait_for_rows

ROWS = "".join(f"{i},name {i},{i / 2}\n" for i in range(10))
JSON = "".join(json.dumps({"id": i, "name": f"n{i}", "v": i / 2}) + "\n" for i in range(10))


@pytest.fixture
def ingest(cluster):
    return QueuedIngestClient(KustoConnectionStringBuilder(cluster))


def properties(table, **more):
    return IngestionProperties("NetDefaultDB", table, **more)


def test_py_csv_file(ingest, kusto, table, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    ingest.ingest_from_file(FileDescriptor(str(path), path.stat().st_size), properties(table, data_format=DataFormat.CSV))
    wait_for_rows(kusto, table, 10)
    row = kusto.execute_query("NetDefaultDB", f"{table} | where id == 3").primary_results[0][0]
    assert (row["id"], row["name"], row["v"]) == (3, "name 3", 1.5)


def test_py_json_file_with_mapping_reference(ingest, kusto, table, tmp_path):
    mapping = '[{"column":"id","Properties":{"Path":"$.id"}},{"column":"name","Properties":{"Path":"$.name"}}]'
    kusto.execute_mgmt("NetDefaultDB", f".create-or-alter table {table} ingestion json mapping 'm' '{mapping}'")
    path = tmp_path / "rows.json"
    path.write_text(JSON)
    ingest.ingest_from_file(
        FileDescriptor(str(path)),
        properties(table, data_format=DataFormat.JSON, ingestion_mapping_reference="m", ingestion_mapping_kind=IngestionMappingKind.JSON),
    )
    wait_for_rows(kusto, table, 10)
    row = kusto.execute_query("NetDefaultDB", f"{table} | where id == 4").primary_results[0][0]
    assert (row["name"], row["v"]) == ("n4", None)


def test_py_json_stream_with_inline_mapping(ingest, kusto, table):
    columns = [ColumnMapping("id", "long", path="$.id"), ColumnMapping("name", "string", path="$.name")]
    ingest.ingest_from_stream(
        StreamDescriptor(io.BytesIO(JSON.encode())),
        properties(table, data_format=DataFormat.MULTIJSON, column_mappings=columns, ingestion_mapping_kind=IngestionMappingKind.JSON),
    )
    wait_for_rows(kusto, table, 10)


def test_py_dataframe_and_parquet(ingest, kusto, table, tmp_path):
    frame = pd.DataFrame({"id": range(10), "name": [f"f{i}" for i in range(10)], "v": [i * 1.0 for i in range(10)]})
    ingest.ingest_from_dataframe(frame, properties(table))
    wait_for_rows(kusto, table, 10)
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    ingest.ingest_from_file(FileDescriptor(str(path)), properties(table, data_format=DataFormat.PARQUET))
    wait_for_rows(kusto, table, 20)


def test_py_same_blob_twice_gives_the_rows_twice(ingest, kusto, table, cluster):
    resources = kusto.execute_mgmt("NetDefaultDB", ".get ingestion resources").primary_results[0]
    container = next(row["StorageRoot"] for row in resources if row["ResourceTypeName"] == "TempStorage")
    base, sas = container.split("?")
    import requests
    blob = f"{base}/{uuid.uuid4()}.csv?{sas}"
    assert requests.put(blob, data=ROWS, headers={"x-ms-blob-type": "BlockBlob"}).status_code == 201
    for _ in range(2):
        ingest.ingest_from_blob(BlobDescriptor(blob, len(ROWS)), properties(table, data_format=DataFormat.CSV))
    wait_for_rows(kusto, table, 20)
    assert requests.put(blob.replace("sp=racwd", "sp=racwdx"), data=ROWS).status_code == 403


def test_py_header_is_ignored(ingest, kusto, table):
    text = "id,name,v\n" + ROWS
    ingest.ingest_from_stream(
        StreamDescriptor(io.BytesIO(text.encode())), properties(table, data_format=DataFormat.CSV, ignore_first_record=True))
    wait_for_rows(kusto, table, 10)


def test_py_outcomes_are_in_the_status_queues(ingest, kusto, table):
    queues = KustoIngestStatusQueues(ingest)
    good = ingest.ingest_from_stream(
        StreamDescriptor(io.BytesIO(ROWS.encode())),
        properties(table, data_format=DataFormat.CSV, report_level=ReportLevel.FailuresAndSuccesses))
    bad = ingest.ingest_from_stream(
        StreamDescriptor(io.BytesIO(b'1,"open,2\n')),
        properties(table, data_format=DataFormat.CSV, report_level=ReportLevel.FailuresAndSuccesses))
    succeeded, failed = [], []
    deadline = time.time() + 30
    while time.time() < deadline and (str(good.source_id) not in succeeded or str(bad.source_id) not in [f.IngestionSourceId for f in failed]):
        succeeded += [message.IngestionSourceId for message in queues.success.pop(10)]
        failed += queues.failure.pop(10)
        time.sleep(0.2)
    assert str(good.source_id) in succeeded
    failure = next(f for f in failed if f.IngestionSourceId == str(bad.source_id))
    assert failure.ErrorCode == "Stream_ClosingQuoteMissing"
    assert "sig=" not in failure.IngestionSourcePath
    shown = kusto.execute_mgmt("NetDefaultDB", f".show ingestion failures | where Table == '{table}'").primary_results[0]
    assert [row["ErrorCode"] for row in shown] == ["Stream_ClosingQuoteMissing"]


def test_py_ingest_if_not_exists_ingests_once(ingest, kusto, table):
    once = dict(data_format=DataFormat.CSV, additional_tags=[], ingest_by_tags=["day1"], ingest_if_not_exists=["day1"])
    ingest.ingest_from_stream(StreamDescriptor(io.BytesIO(ROWS.encode())), properties(table, **once))
    wait_for_rows(kusto, table, 10)
    ingest.ingest_from_stream(StreamDescriptor(io.BytesIO(ROWS.encode())), properties(table, **once))
    ingest.ingest_from_stream(StreamDescriptor(io.BytesIO(b"99,last,1\n")), properties(table, data_format=DataFormat.CSV))
    wait_for_rows(kusto, table, 11)


def test_py_types_and_parameters(kusto):
    query = """print b=true, i=int(1), l=long(9007199254740993), r=1.5, d=decimal(2.00000000000001),
        t=datetime(2014-01-01T01:01:01.0000001Z), s='x', ts=1h, g=guid(74be27de-1e4e-49d9-b579-fe0b331d3642),
        y=dynamic({"a":[1]}), n=int(null), nan=real(nan)"""
    row = kusto.execute_query("NetDefaultDB", query).primary_results[0][0]
    assert row["b"] is True and row["i"] == 1 and row["l"] == 9007199254740993
    assert str(row["d"]) == "2.00000000000001" and row["t"].year == 2014 and row["ts"].total_seconds() == 3600
    assert str(row["g"]) == "74be27de-1e4e-49d9-b579-fe0b331d3642" and row["y"] == {"a": [1]} and row["n"] is None
    options = ClientRequestProperties()
    options.set_parameter("x", "41")
    result = kusto.execute_query("NetDefaultDB", "declare query_parameters(x:long); print x + 1", options)
    assert result.primary_results[0][0][0] == 42


def test_py_inline_and_append(kusto, table):
    kusto.execute_mgmt("NetDefaultDB", f".ingest inline into table {table} <|\n1,a,0.5\n2,b,1")
    kusto.execute_mgmt("NetDefaultDB", f".set-or-append {table} <| {table} | where id == 1")
    wait_for_rows(kusto, table, 3)
    assert kusto.execute_mgmt("NetDefaultDB", f".show tables | where TableName == '{table}' | count").primary_results[0][0][0] == 1


def test_py_errors_are_kusto_errors(kusto):
    for text, code in [("Nope | count", "General_BadRequest"), ("print (", "General_BadRequest")]:
        with pytest.raises(KustoApiError) as caught:
            kusto.execute_query("NetDefaultDB", text)
        assert caught.value.error.code == code and caught.value.error.permanent
    with pytest.raises(KustoApiError):
        kusto.execute_mgmt("NetDefaultDB", ".show table Nope schema as json")


def test_py_https_is_spoken_with_the_authority_trusted(cluster, authority, kusto, table):
    program = f"""
import io
from azure.kusto.data import KustoConnectionStringBuilder
from azure.kusto.data.data_format import DataFormat
from azure.kusto.ingest import (IngestionProperties, KustoStreamingIngestClient, ManagedStreamingIngestClient,
                                QueuedIngestClient, StreamDescriptor)
url = {cluster.replace("http://127.0.0.1", "https://localhost")!r}
for client in (QueuedIngestClient, KustoStreamingIngestClient, ManagedStreamingIngestClient):
    client = client(KustoConnectionStringBuilder(url))
    properties = IngestionProperties("NetDefaultDB", {table!r}, data_format=DataFormat.CSV)
    client.ingest_from_stream(StreamDescriptor(io.BytesIO(b"1,a,0.5\\n")), properties)
"""
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(authority)}
    trusting = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environment)
    assert trusting.returncode == 0, trusting.stderr
    wait_for_rows(kusto, table, 3)
    stranger = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert stranger.returncode != 0 and "CERTIFICATE_VERIFY_FAILED" in stranger.stderr


ROLES = ["admins", "users", "viewers", "ingestors", "monitors"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service that asks for tokens: one for its administrator, one for each role."""
    folder = tmp_path_factory.mktemp("guarded")
    tokens = [{"token": role, "principal": f"aadapp={role};t"} for role in ["root", *ROLES]]
    (folder / "access.json").write_text(json.dumps({"tokens": tokens, "admins": ["aadapp=root;t"]}))
    process = subprocess.Popen(
        [os.environ["KIN_BIN"], "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder / "data"),
         "--access", str(folder / "access.json")], stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().split()[-1]
    root = KustoClient(bearer(url, "root"))
    root.execute_mgmt("NetDefaultDB", ".create table T (id:long, name:string, v:real)")
    for role in ROLES:
        root.execute_mgmt("NetDefaultDB", f".add database NetDefaultDB {role} ('aadapp={role};t')")
    yield url
    process.terminate()
    assert process.wait(20) == 0


def bearer(url, token):
    return KustoConnectionStringBuilder.with_aad_application_token_authentication(url, token)


@pytest.mark.parametrize("role", ROLES)
def test_py_roles_may_do_what_they_may_on_a_cluster(guarded, role):
    root, client = KustoClient(bearer(guarded, "root")), KustoClient(bearer(guarded, role))

    def refused(work):
        try:
            work()
        except KustoApiError as error:
            assert error.get_api_error().code == "Forbidden" and error.get_api_error().permanent, error
            return True
        return False

    count = lambda: root.execute_query("NetDefaultDB", "T | count").primary_results[0][0][0]
    before = count()
    assert refused(lambda: client.execute_query("NetDefaultDB", "T | count")) == (role in ("ingestors", "monitors"))
    assert refused(lambda: client.execute_mgmt("NetDefaultDB", f".create table Of_{role} (a:long)")) == (role not in ("admins", "users"))
    assert refused(lambda: client.execute_mgmt("NetDefaultDB", ".show tables")) == (role == "ingestors")
    properties = IngestionProperties("NetDefaultDB", "T", data_format=DataFormat.CSV)
    stream = lambda: KustoStreamingIngestClient(bearer(guarded, role)).ingest_from_stream(StreamDescriptor(io.BytesIO(b"1,a,0.5\n")), properties)
    may_ingest = role in ("admins", "ingestors")
    assert refused(stream) != may_ingest
    # Accepted by the queue whoever it is; the identity token decides.
    QueuedIngestClient(bearer(guarded, role)).ingest_from_stream(StreamDescriptor(io.BytesIO(b"2,b,0.5\n")), properties)
    if may_ingest:
        wait_for_rows(root, "T", before + 2)
        return
    deadline = time.time() + 30
    while True:
        failures = root.execute_mgmt("NetDefaultDB", ".show ingestion failures").primary_results[0]
        denied = [row for row in failures if row["ErrorCode"] == "BadRequest_TableAccessDenied" and f"aadapp={role};t" in row["Details"]]
        if denied or time.time() > deadline:
            break
        time.sleep(0.2)
    assert denied and count() == before


def test_py_a_token_that_is_not_known_is_no_way_in(guarded):
    for token in ("wrong", ""):
        with pytest.raises(Exception) as failure:
            KustoClient(bearer(guarded, token or "x")).execute_mgmt("NetDefaultDB", ".show version")
        assert "401" in str(failure.value) or "Unauthorized" in str(failure.value), failure.value
    with pytest.raises(Exception):
        KustoClient(KustoConnectionStringBuilder(guarded)).execute_mgmt("NetDefaultDB", ".show version")


def test_py_extents_show_tags_and_tables_are_cleared_and_dropped(cluster, kusto, table):
    properties = IngestionProperties("NetDefaultDB", table, data_format=DataFormat.CSV, additional_tags=["kin"], drop_by_tags=["a"])
    QueuedIngestClient(KustoConnectionStringBuilder(cluster)).ingest_from_stream(StreamDescriptor(io.BytesIO(ROWS.encode())), properties)
    wait_for_rows(kusto, table, 10)
    extents = kusto.execute_mgmt("NetDefaultDB", f".show table {table} extents").primary_results[0]
    assert [sorted(row["Tags"].split()) for row in extents] == [["drop-by:a", "kin"]]
    assert extents[0]["RowCount"] == 10 and extents[0]["MinCreatedOn"].year >= 2024
    kusto.execute_mgmt("NetDefaultDB", f".clear table {table} data")
    assert kusto.execute_query("NetDefaultDB", f"{table} | count").primary_results[0][0][0] == 0
    kusto.execute_mgmt("NetDefaultDB", f".create table {table}_2 (a:long)")
    with pytest.raises(KustoApiError):
        kusto.execute_mgmt("NetDefaultDB", f".drop tables ({table}, {table}_gone)")
    left = kusto.execute_mgmt("NetDefaultDB", f".drop tables ({table}, {table}_2)").primary_results[0]
    assert not [row for row in left if row["TableName"].startswith(table)]


def test_py_containers_are_listed(kusto):
    root = kusto.execute_mgmt("NetDefaultDB", ".show export containers").primary_results[0][0]["StorageRoot"]
    container = ContainerClient.from_container_url(root)
    for name in ("listed/a.csv", "listed/b/c.csv", "listed/b/d.csv", "listed/z & <y>.csv", "not listed.csv"):
        container.upload_blob(name, b"1,a\n", overwrite=True)
    found = list(container.list_blobs(name_starts_with="listed/", results_per_page=1))
    assert [blob.name for blob in found] == ["listed/a.csv", "listed/b/c.csv", "listed/b/d.csv", "listed/z & <y>.csv"]
    assert all(blob.size == 4 and blob.last_modified.year >= 2024 and blob.etag for blob in found)
    walked = [item.name for item in container.walk_blobs(name_starts_with="listed/", delimiter="/")]
    assert sorted(walked) == ["listed/a.csv", "listed/b/", "listed/z & <y>.csv"]
    assert container.get_blob_client("listed/z & <y>.csv").download_blob().readall() == b"1,a\n"


def test_py_a_load_of_history_is_followed_and_cancelled(kusto, table):
    root = kusto.execute_mgmt("NetDefaultDB", ".create tempstorage").primary_results[0][0]["StorageRoot"]
    container = ContainerClient.from_container_url(root)
    for number in range(3):
        container.upload_blob(f"{table}/{number}.csv", f"{number},n,0.5\n".encode(), overwrite=True)
    base, signature = root.split("?")
    listing = f".list blobs (h'{base}/{table}/?{signature}')"
    kusto.execute_mgmt("NetDefaultDB", f".alter table {table} policy ingestionbatching '{{\"MaximumBatchingTimeSpan\":\"00:20:00\"}}'")
    waiting = kusto.execute_mgmt("NetDefaultDB", f".ingest-from-storage-queued into table {table} with (format='csv') <| {listing}").primary_results[0][0]
    cancelled = kusto.execute_mgmt("NetDefaultDB", f".cancel queued ingestion operation \"{waiting['IngestionOperationId']}\"").primary_results[0][0]
    assert (cancelled["State"], cancelled["Canceled"]) == ("Canceled", 3)
    done = kusto.execute_mgmt(
        "NetDefaultDB", f".ingest-from-storage-queued into table {table} EnableTracking=true SkipBatching=true with (format='csv') <| {listing}"
    ).primary_results[0][0]
    assert done["ClientRequestId"].startswith("KPC.execute;")
    wait_for_rows(kusto, table, 3)
    details = kusto.execute_mgmt("NetDefaultDB", done["OperationInfo"] + " details").primary_results[0]
    assert {row["IngestionStatus"] for row in details} == {"Succeeded"}
