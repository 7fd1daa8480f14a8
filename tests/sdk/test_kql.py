"""The KQL corpus before Kusto's own parser and binder: what we accept it accepts, with the
same columns and types."""

import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def test_kql_corpus_is_kql_by_kustos_own_parser():
    work = Path(os.environ["SDK_WORK"])
    copy = work / "kql_oracle.js"
    copy.write_text((HERE / "kql_oracle.js").read_text())
    done = subprocess.run(
        ["node", str(copy), str(HERE.parent / "kql")], capture_output=True, text=True, timeout=180, cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.match(r"(\d+) cases", done.stdout)[1]) > 100
