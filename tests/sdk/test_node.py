"""The unmodified Node client: a program of its own against the running service."""

import os
import subprocess
from pathlib import Path

import pandas as pd
from conftest import wait_for_rows


def test_node_program(cluster, kusto, table, tmp_path):
    parquet = tmp_path / "rows.parquet"
    pd.DataFrame({"id": range(10), "name": ["p"] * 10, "v": [1.0] * 10}).to_parquet(parquet)
    program = Path(__file__).with_name("node_client.js")
    copy = Path(os.environ["SDK_WORK"]) / "node_client.js"
    copy.write_text(program.read_text())
    done = subprocess.run(
        ["node", str(copy), cluster, table, str(parquet)], capture_output=True, text=True, timeout=180, cwd=os.environ["SDK_WORK"])
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for_rows(kusto, table, 50)
