"""The unmodified Node client: a program of its own against the running service."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from conftest import wait_for_rows


@pytest.mark.parametrize("scheme, rows", [("http", 50), ("https", 60)])
def test_node_program(cluster, authority, kusto, table, tmp_path, scheme, rows):
    parquet = tmp_path / "rows.parquet"
    pd.DataFrame({"id": range(10), "name": ["p"] * 10, "v": [1.0] * 10}).to_parquet(parquet)
    program = Path(__file__).with_name("node_client.js")
    copy = Path(os.environ["SDK_WORK"]) / "node_client.js"
    copy.write_text(program.read_text())
    done = subprocess.run(
        ["node", str(copy), cluster.replace("http", scheme, 1), table, str(parquet)], capture_output=True, text=True, timeout=180,
        cwd=os.environ["SDK_WORK"], env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority)})
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for_rows(kusto, table, rows)
