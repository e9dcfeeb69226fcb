"""What a process used is known to the end of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from gateways.processes import card_bytes_at_end

SIZE = 1 << 20
AT_ITS_END = """
import os, signal, sys
def write(*_):
    with open(sys.argv[1], "wb") as file:
        file.write(bytes({size}))
        file.flush()
        os.fsync(file.fileno())
    sys.exit()
signal.signal(signal.SIGTERM, write)
print("ready", flush=True)
signal.pause()
"""


def test_what_a_process_writes_while_it_stops_counts(tmp_path: Path) -> None:
    code = AT_ITS_END.format(size=SIZE)
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        count = card_bytes_at_end(process.pid, timeout_s=20)
    if not count:
        pytest.skip("the file system of the tests writes nothing")
    assert SIZE <= count < 2 * SIZE
