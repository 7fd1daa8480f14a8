"""The unmodified Java client (v1): a program of its own against the running service, over
https with a trust store made as `kin serve` says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import wait_for_rows

JDK = shutil.which("java") and shutil.which("keytool") and shutil.which("mvn")


@pytest.mark.skipif(not JDK, reason="a JDK with Maven is not installed")
def test_java_program(cluster, authority, kusto, table, tmp_path):
    work = Path(os.environ["SDK_WORK"]) / "java"
    shutil.copytree(Path(__file__).with_name("java"), work, dirs_exist_ok=True)
    subprocess.run(["mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath.txt"],
                   check=True, cwd=work, timeout=900)
    store = tmp_path / "kin.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "kin", "-file", str(authority), "-keystore", str(store),
                    "-storepass", "changeit"], check=True, capture_output=True)
    classpath = f"{work}/target/classes:{(work / 'classpath.txt').read_text()}"
    # The host by its name, which this client does not say in its TLS greeting.
    url = cluster.replace("http://127.0.0.1", "https://localhost")
    done = subprocess.run(
        ["java", f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit", "-cp", classpath,
         "JavaClient", url, table], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(line.startswith("ok ") for line in done.stdout.splitlines()) == 15, done.stdout
    wait_for_rows(kusto, table, 112)
