"""Starts `kin serve` once for the tests; each test gets its own table."""

import os
import re
import subprocess
import time
import urllib.request

import pytest
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kin")
    log = open(folder / "log.txt", "w+")
    process = subprocess.Popen(
        [os.environ["KIN_BIN"], "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder / "data")],
        stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "KIN_LOG": "debug"},
    )
    url = process.stdout.readline().split()[-1]
    deadline = time.time() + 20
    while True:
        try:
            assert urllib.request.urlopen(url + "/readyz").status == 200
            break
        except OSError:
            assert time.time() < deadline, "the service is not ready"
            time.sleep(0.1)
    yield url
    process.terminate()
    assert process.wait(20) == 0
    log.seek(0)
    text = log.read()
    assert "panicked" not in text, text
    assert not re.search(r"sig=[A-Za-z0-9_-]{20}", text), "a signature is in the log"
    assert "kin1." not in text, "an identity token is in the log"


@pytest.fixture(scope="session")
def authority(cluster, tmp_path_factory):
    """The certificate that clients must trust to use https."""
    folder = tmp_path_factory.getbasetemp()
    return next(folder.glob("kin*/data/tls/ca.pem"))


@pytest.fixture
def kusto(cluster):
    return KustoClient(KustoConnectionStringBuilder(cluster))


@pytest.fixture
def table(kusto, request):
    name = re.sub(r"\W", "_", request.node.name)
    kusto.execute_mgmt("NetDefaultDB", f".create table {name} (id:long, name:string, v:real)")
    return name


def wait_for_rows(kusto, table, count, seconds=30):
    deadline = time.time() + seconds
    while True:
        rows = kusto.execute_query("NetDefaultDB", f"{table} | count").primary_results[0][0][0]
        if rows >= count or time.time() > deadline:
            assert rows == count
            return
        time.sleep(0.2)
