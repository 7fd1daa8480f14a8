"""External-storage mode: the service on Azurite. Our client and the official Python
client upload there, post there, and read their outcomes there."""

import io
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.data_format import DataFormat
from azure.kusto.data.exceptions import KustoApiError
from azure.kusto.ingest import IngestionProperties, QueuedIngestClient, StreamDescriptor
from azure.storage.blob import BlobServiceClient, generate_container_sas
from conftest import wait_for_rows

# Azurite's documented account; everyone has this key.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
FLIGHTS = Path(__file__).parents[2] / "examples/data/flights.csv.gz"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    folder = tmp_path_factory.mktemp("azurite")
    ports = {service: free_port() for service in ("blob", "queue", "table")}
    arguments = [argument for service, port in ports.items() for argument in (f"--{service}Port", str(port))]
    azurite = subprocess.Popen(
        [str(Path(os.environ["SDK_WORK"]) / "node_modules/.bin/azurite"), "--inMemoryPersistence", "--skipApiVersionCheck",
         "--disableTelemetry", "--silent", *arguments], cwd=folder)
    deadline = time.time() + 60
    for port in ports.values():
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.time() < deadline and azurite.poll() is None, "Azurite does not start"
                time.sleep(0.1)
    endpoints = ";".join(f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{ACCOUNT}" for service, port in ports.items())
    log = open(folder / "log.txt", "w+")
    service = subprocess.Popen(
        [os.environ["KIN_BIN"], "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder / "data")],
        stdout=subprocess.PIPE, stderr=log, text=True,
        env={**os.environ, "KIN_LOG": "debug", "KIN_STORAGE": f"AccountName={ACCOUNT};AccountKey={KEY};{endpoints}"})
    line = service.stdout.readline()
    if not line:
        log.seek(0)
        raise AssertionError(log.read())
    url = line.split()[-1]
    assert urllib.request.urlopen(url + "/readyz").status == 200
    yield url, ports
    service.terminate()
    assert service.wait(20) == 0
    azurite.terminate()
    azurite.wait(20)
    log.seek(0)
    text = log.read()
    assert "panicked" not in text, text
    assert KEY not in text and not re.search(r"sig=[A-Za-z0-9%_-]{20}", text), "a secret is in the log"


def kin(*arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIN_") or name == "KIN_BIN"}
    return subprocess.run([os.environ["KIN_BIN"], *arguments], capture_output=True, text=True, env=environment, timeout=120)


def test_our_client_through_azurite(external):
    url, ports = external
    done = kin("ingest", str(FLIGHTS), "--table", "Flights", "--cluster", url, "--create-merge", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[0])
    assert result["status"] == "ingested"
    wait_for_rows(KustoClient(KustoConnectionStringBuilder(url)), "Flights", 27004)
    status = kin("status", result["source_id"], "--cluster", url)
    assert status.returncode == 0 and "ingested" in status.stdout
    resources = KustoClient(KustoConnectionStringBuilder(url)).execute_mgmt("NetDefaultDB", ".get ingestion resources")
    assert all(f":{ports['blob']}/" in row["StorageRoot"] for row in resources.primary_results[0] if row["ResourceTypeName"] == "TempStorage")


def test_a_failure_is_told_through_azurite(external, tmp_path):
    url, _ = external
    bad = tmp_path / "bad.csv"
    bad.write_text('1,"open\n')
    KustoClient(KustoConnectionStringBuilder(url)).execute_mgmt("NetDefaultDB", ".create table Bad (a:long, b:string)")
    done = kin("ingest", str(bad), "--table", "Bad", "--cluster", url)
    assert done.returncode == 1 and "Stream_ClosingQuoteMissing" in done.stderr, done.stderr


def test_python_client_through_azurite(external):
    url, _ = external
    kusto = KustoClient(KustoConnectionStringBuilder(url))
    kusto.execute_mgmt("NetDefaultDB", ".create table P (id:long, name:string)")
    client = QueuedIngestClient(KustoConnectionStringBuilder(url))
    client.ingest_from_stream(StreamDescriptor(io.BytesIO(b"1,a\n2,b\n")), IngestionProperties("NetDefaultDB", "P", data_format=DataFormat.CSV))
    wait_for_rows(kusto, "P", 2)


def test_history_is_loaded_from_azurite(external):
    url, ports = external
    kusto = KustoClient(KustoConnectionStringBuilder(url))
    kusto.execute_mgmt("NetDefaultDB", ".create table History (id:long, name:string)")
    account = f"http://127.0.0.1:{ports['blob']}/{ACCOUNT}"
    storage = BlobServiceClient(account, credential=KEY)
    container = storage.create_container("history")
    for number in range(3):
        container.upload_blob(f"year=2024/month={number + 1:02}/a b.csv", f"{number},x\n")
    container.upload_blob("year=2024/month=01/notes.txt", "no rows")
    signature = generate_container_sas(
        ACCOUNT, "history", account_key=KEY, permission="rl", expiry=datetime.now(timezone.utc) + timedelta(hours=1))
    pattern = 'PathFormat=(datetime_pattern("\'year=\'yyyy\'/month=\'MM", creationTime))'
    for locator in (f"{account}/history/year=2024;{KEY}", f"{account}/history?{signature}"):
        listed = kusto.execute_mgmt("NetDefaultDB", f".list blobs (h'{locator}') Suffix='.csv' {pattern}").primary_results[0]
        assert [row["CapturedVariables"]["CreationTime"][:10] for row in listed] == ["01/01/2024", "02/01/2024", "03/01/2024"]
        assert [row["SizeInBytes"] for row in listed] == [4, 4, 4]
        assert all("sig=" not in row["BlobUri"] and KEY not in row["BlobUri"] for row in listed)
        before = kusto.execute_query("NetDefaultDB", "History | count").primary_results[0][0][0]
        begun = kusto.execute_mgmt(
            "NetDefaultDB",
            f".ingest-from-storage-queued into table History SkipBatching=true with (format='csv') <| .list blobs (h'{locator}') Suffix='.csv' {pattern}",
        ).primary_results[0][0]
        wait_for_rows(kusto, "History", before + 3)
        deadline = time.time() + 30
        while True:
            state = kusto.execute_mgmt("NetDefaultDB", begun["OperationInfo"]).primary_results[0][0]
            if state["State"] != "InProgress":
                break
            assert time.time() < deadline, state
            time.sleep(0.1)
        assert (state["State"], state["Ingested"], state["Failed"]) == ("Completed", 3, 0)
    created = kusto.execute_mgmt("NetDefaultDB", ".show table History extents | summarize min(MinCreatedOn)").primary_results[0][0][0]
    assert (created.year, created.month) == (2024, 1)
    # A key behind the semicolon works for direct ingestion too.
    kusto.execute_mgmt("NetDefaultDB", f".ingest into table History (h'{account}/history/year=2024/month=01/a%20b.csv;{KEY}') with (format='csv')")
    assert kusto.execute_query("NetDefaultDB", "History | count").primary_results[0][0][0] == 7
    for wrong, says in ((f"{account}/history", "must let blobs be read and listed"), (f"{account}/nothing;{KEY}", "does not exist")):
        with pytest.raises(KustoApiError) as failure:
            kusto.execute_mgmt("NetDefaultDB", f".list blobs (h'{wrong}')")
        assert says in str(failure.value), failure.value
