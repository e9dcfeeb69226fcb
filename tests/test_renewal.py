"""The whole chain over mutual TLS while all certificates are replaced: devices, agent, broker, reference IOC."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulators.certificates import Pair
from processes import free_port, python_module, ready_line, started, stop, wait_until
from tls_lab import GATEWAY, TlsLab

CONFIG = """\
[gateway]
id = "dng-hc-01"
data_dir = "{folder}/data"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
ca_file = "ca.pem"
cert_file = "gw.pem"
key_file = "gw.key"
[outbox]
batch_interval_s = 0.2
[clock]
hold_unsynced_s = 0
[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {tcp}
[[device]]
name = "ups-1"
link = "ups"
profile = "apc/smart-ups"
unit = 1
interval_s = 0.2
"""


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.soak
def test_a_gateway_outlives_its_certificates_and_its_authority(
    tmp_path: Path, runtime_dir: Path, mosquitto: str
) -> None:
    lab, plain, db, log = TlsLab(tmp_path, mosquitto), free_port(), tmp_path / "ioc.db", tmp_path / "agent.log"
    both = lab.text("both.pem", lab.city.certificate.read_bytes() + lab.stranger.certificate.read_bytes())
    more = f"cafile {both}\nrequire_certificate true\nuse_identity_as_username true\n"
    put(tmp_path / "ca.pem", lab.city.certificate)
    put_pair(tmp_path, lab.own)
    config = tmp_path / "agent.toml"
    with lab.broker(lab.server, more, plain_port=plain) as broker:
        text = CONFIG.format(folder=tmp_path, runtime=runtime_dir, port=broker.port, tcp=free_port())
        config.write_text(text, encoding="utf-8")
        ioc_command = python_module("simulators", "ioc", "--broker", f"mqtt://127.0.0.1:{plain}", "--db", db)
        devices_command = python_module("simulators", "run", "--config", config, "--seed", "7")
        with (
            started(ioc_command, log) as ioc,
            started(devices_command, log) as devices,
            started(python_module("agent", "--config", config, "run"), log) as agent,
        ):
            ready_line(ioc)
            ready_line(devices)
            wait_until(lambda: readings(db) > 20, 30, "readings at the IOC")
            put_pair(tmp_path, lab.city.issue(GATEWAY, file="second"))
            connected(config, 2)
            put(tmp_path / "ca.pem", both)
            connected(config, 3)
            put_pair(tmp_path, lab.stranger.issue(GATEWAY))
            connected(config, 4)
            before = readings(db)
            wait_until(lambda: readings(db) > before + 20, 30, "readings go on")
            account = json.loads(stop(agent))
            wait_until(lambda: readings(db) >= account["accepted"], 15, "the IOC has everything")
            stop(devices)
            stop(ioc)
    assert account["lost"] == {}
    assert account["accepted"] == account["delivered"] == readings(db)
    print(account, log.read_text().count("connected to"))


def put(path: Path, source: Path) -> None:
    """By renaming, as tools do it."""
    new = path.with_suffix(".new")
    new.write_bytes(source.read_bytes())
    new.chmod(0o600)
    new.replace(path)


def put_pair(folder: Path, pair: Pair) -> None:
    put(folder / "gw.key", pair.key)
    put(folder / "gw.pem", pair.certificate)


def readings(db: Path) -> int:
    if not db.exists():
        return 0
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        try:
            (count,) = connection.execute("SELECT COUNT(*) FROM reading").fetchone()
        except sqlite3.OperationalError:
            count = 0
    connection.close()
    return int(count)


def connected(config: Path, connection: int) -> None:
    def is_it() -> Any:
        with started(
            python_module("agent", "--config", config, "status", "--json"), config.parent / "status.log"
        ) as asked:
            out, _ = asked.communicate(timeout=20)
        uplink = json.loads(out)["uplink"]
        return uplink["connected"] and uplink["connection"] == connection

    wait_until(is_it, 90, f"connection {connection}")
