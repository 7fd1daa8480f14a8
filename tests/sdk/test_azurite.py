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
from pathlib import Path

import pytest
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.data_format import DataFormat
from azure.kusto.ingest import IngestionProperties, QueuedIngestClient, StreamDescriptor
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
