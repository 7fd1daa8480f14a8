"""The unmodified Go client: a program of its own against the running service, over https,
which that client insists on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import wait_for_rows


@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")
def test_go_program(cluster, authority, kusto, table):
    binary = Path(os.environ["SDK_WORK"]) / "go_client"
    subprocess.run(["go", "build", "-o", str(binary), "."], check=True, cwd=Path(__file__).with_name("go"), timeout=600)
    # The host by its name, as the certificate has it too.
    url = cluster.replace("http://127.0.0.1", "https://localhost")
    done = subprocess.run([str(binary), url, table], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "SSL_CERT_FILE": str(authority)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 16, done.stdout
    wait_for_rows(kusto, table, 10112)
