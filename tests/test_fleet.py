"""Many gateways on one broker of the kit, and one reference IOC: what they read arrives once, whoever is killed meanwhile.

The long run takes two minutes and prints what it cost: rate, latency, CPU and memory of the IOC.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from broker_kit import KIT, Certificates, KitBroker
from processes import Popen, python_module, ready_line, started, wait_until

POINTS = 20
SUPPORT = Path(__file__).parent / "support"

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")


class Size(NamedTuple):
    """How many gateways, in how many processes, for how long."""

    gateways: int
    processes: int
    seconds: float
    resend_s: float


class Ioc:
    """The reference IOC as a process that can be killed; `spent` is what it used in all its lives."""

    def __init__(self, folder: Path, broker: KitBroker, pki: Path) -> None:
        self.db = folder / "ioc.db"
        self._log = folder / "ioc.log"
        own = pki / "services" / "ioc-ingest"
        files = ["--ca-file", own / "ca.pem", "--cert-file", own / "cert.pem", "--key-file", own / "key.pem"]
        address = f"mqtts://localhost:{broker.port}"
        self._command = python_module("simulators", "ioc", "--broker", address, *files, "--db", self.db, "--json")
        self._running = ExitStack()
        self._process: Popen | None = None
        self.spent: Counter[str] = Counter()

    def start(self) -> None:
        with self._log.open("ab") as stderr:
            out = (self._log.parent / "ioc.out").open("wb")
            self._process = subprocess.Popen(self._command, stdout=out, stderr=stderr, text=True)
            out.close()
        wait_until(lambda: (self._log.parent / "ioc.out").read_text().startswith('{"ready"'), 60, "the IOC is ready")

    def measure(self) -> None:
        if self._process:
            seen = psutil.Process(self._process.pid)
            self.spent["rss_mb"] = max(self.spent["rss_mb"], seen.memory_info().rss // 1_000_000)
            self._cpu_s = sum(seen.cpu_times()[:2])

    def end(self, *, kill: bool) -> dict[str, Any]:
        """End it; gives its last report."""
        assert self._process
        self.measure()
        self.spent["cpu_ms"] += round(self._cpu_s * 1000)
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(30)
        self._process = None
        lines = (self._log.parent / "ioc.out").read_text(encoding="utf-8").splitlines()
        return dict(json.loads(lines[-1]))


@pytest.fixture
def ram() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


SIZES = [
    pytest.param(Size(8, 2, 5.0, 2.0), id="eight"),
    pytest.param(Size(50, 5, 120.0, 60.0), id="fifty", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("size", SIZES)
def test_what_many_gateways_read_arrives_once_whoever_is_killed(
    size: Size, tmp_path: Path, ram: Path, mosquitto: str
) -> None:
    certificates, names = Certificates(tmp_path / "pki"), [f"gw-{number:02}" for number in range(1, size.gateways + 1)]
    certificates.make("ca")
    certificates.make("broker", "localhost", "127.0.0.1")
    certificates.make("service", "ioc-ingest")
    for name in names:
        certificates.make("gateway", name)
    broker = KitBroker(mosquitto, tmp_path / "etc", certificates)
    ioc = Ioc(tmp_path, broker, certificates.pki)
    try:
        broker.start()
        ioc.start()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        commands = [_fleet(size, broker, certificates, tmp_path, ram, names[n :: size.processes]) for n in range(size.processes)]
        with ExitStack() as stack:
            log = tmp_path / "fleet.log"
            fleet = [stack.enter_context(started(command, log, env=environment)) for command in commands]
            for process in fleet:
                ready_line(process)
            begun = time.monotonic()
            _live(ioc, size.seconds * 0.3)
            broker.kill()
            time.sleep(min(5.0, size.seconds * 0.1))
            broker.start()
            _live(ioc, size.seconds * 0.3)
            ioc.end(kill=True)
            time.sleep(min(5.0, size.seconds * 0.1))
            ioc.start()
            _live(ioc, max(0.0, begun + size.seconds - time.monotonic()))
            accounts, spent = [], Counter[str]()
            for process in fleet:
                out, _ = process.communicate(timeout=200)
                said = json.loads(out.splitlines()[-1])
                accounts += said.pop("gateways")
                spent.update(said)
            took_s = time.monotonic() - begun
        report = ioc.end(kill=False)["report"]
    finally:
        broker.kill()
        if ioc._process:
            ioc._process.kill()
    _figures(ioc, size, took_s, spent)
    _check(ioc, accounts, report, names)


def _fleet(size: Size, broker: KitBroker, certificates: Certificates, folder: Path, ram: Path, names: list[str]) -> list[str]:
    where = ["--pki", certificates.pki, "--folder", folder / "outboxes", "--runtime", ram]
    how = ["--points", POINTS, "--seconds", size.seconds, "--resend-s", size.resend_s]
    return [sys.executable, *map(str, (SUPPORT / "fleet.py", f"localhost:{broker.port}", *names, *where, *how))]


def _live(ioc: Ioc, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        ioc.measure()
        time.sleep(min(1.0, left_s))


def _check(ioc: Ioc, accounts: list[dict[str, Any]], report: dict[str, Any], names: list[str]) -> None:
    """Every reading once and as it was read; every number of every gateway; nothing lost, nothing wrong."""
    assert sorted(one["gateway"] for one in accounts) == names
    said = {one["gateway"]: one for one in report["gateways"]}
    for one in accounts:
        assert (one["lost"], one["stored"]) == (0, 0), one
        assert one["accepted"] == one["delivered"] == one["scans"] * POINTS, one
        (epoch,) = said[one["gateway"]]["epochs"]
        assert (epoch["epoch"], epoch["cumulative"], epoch["high"]) == (one["epoch"], one["high"], one["high"]), one
        assert (epoch["received"], epoch["gaps"], epoch["lost"]) == (one["high"], [], 0), epoch
        values = sorted(int(value) for (value,) in _rows(ioc.db, "SELECT value FROM reading WHERE gateway = ?", one["gateway"]))
        assert values == [scan * 100 + point for scan in range(1, one["scans"] + 1) for point in range(POINTS)]
    assert _rows(ioc.db, "SELECT count(*) FROM reading WHERE changed > 0 OR quality <> ''") == [(0,)]
    assert _rows(ioc.db, "SELECT count(*) FROM reading WHERE CAST(substr(point, 2) AS INTEGER) <> value % 100") == [(0,)]
    unknown = "SELECT count(*) FROM duplicate WHERE (gateway, epoch, seq) NOT IN (SELECT gateway, epoch, seq FROM message)"
    assert _rows(ioc.db, unknown) == [(0,)]
    assert (report["lost"], report["gaps"], report["malformed"]) == (0, 0, {})


def _figures(ioc: Ioc, size: Size, took_s: float, spent: Counter[str]) -> None:
    ((messages,),) = _rows(ioc.db, "SELECT count(*) FROM message")
    ((duplicates,),) = _rows(ioc.db, "SELECT count(*) FROM duplicate")
    ((readings,),) = _rows(ioc.db, "SELECT count(*) FROM reading")
    late = "SELECT received_ms - time_ms FROM reading JOIN message ON message.id = message WHERE lane = ? ORDER BY 1"
    print(f"\n{size.gateways} gateways in {size.processes} processes, {took_s:.0f} s: {messages} messages, {readings} readings")
    print(f"{messages / took_s:.0f} messages/s, {readings / took_s:.0f} readings/s, {duplicates} duplicates recognised")
    for lane in ("data", "backfill"):
        rows = [row[0] for row in _rows(ioc.db, late, lane)]
        if rows:
            p50, p95, p99 = (rows[int(len(rows) * part)] for part in (0.5, 0.95, 0.99))
            print(f"{lane}: {len(rows)} readings, from the wire to the commit p50 {p50}, p95 {p95}, p99 {p99} ms")
    cpu_pct = ioc.spent["cpu_ms"] / took_s / 10
    print(f"IOC: {cpu_pct:.1f} % of a CPU, {ioc.spent['rss_mb']} MB; gateways: {dict(spent)}")


def _rows(db: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()
