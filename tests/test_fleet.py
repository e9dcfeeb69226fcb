"""Many gateways on one broker of the kit, and one reference IOC: what they read arrives once, whoever is killed meanwhile.

The long run takes two minutes and prints what it cost: rate, latency, CPU and memory of the IOC. These are real agents;
simulated ones, as a load for any broker and IOC, are `oc-sim fleet`.
"""

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from broker_kit import KIT, Certificates, KitBroker
from processes import Popen, ready_line, started

from simulators.ioc.report import GatewayReport, Report
from simulators.testing import Bench, BenchIoc

POINTS = 20
AWAY_S = 5.0
END_S = 200.0
SUPPORT = Path(__file__).parent / "support"

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")


class Size(NamedTuple):
    """How many gateways, in how many processes, for how long; `resend_s` is their setting."""

    gateways: int
    processes: int
    seconds: float
    resend_s: float


class Cost:
    """What the IOC uses, in all its lives."""

    def __init__(self, ioc: BenchIoc) -> None:
        self._ioc = ioc
        self._cpu_s: dict[int, float] = {}
        self.rss_mb = 0

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu_s.values())

    def look(self) -> None:
        """See what it uses, if it runs."""
        if (pid := self._ioc.pid) is not None:
            process = psutil.Process(pid)
            times = process.cpu_times()
            self._cpu_s[pid] = times.user + times.system
            self.rss_mb = max(self.rss_mb, process.memory_info().rss // 1_000_000)


class Fleet:
    """Gateways in processes, a broker, an IOC."""

    def __init__(self, size: Size, folder: Path, ram: Path, bench: Bench) -> None:
        self.size = size
        self.names = [f"gw-{number:02}" for number in range(1, size.gateways + 1)]
        self._folder, self._ram = folder, ram
        self._certificates = Certificates(folder / "pki")
        for arguments in (("ca",), ("broker", "localhost"), ("service", "ioc-ingest")):
            self._certificates.make(*arguments)
        for name in self.names:
            self._certificates.make("gateway", name)
        self.broker = KitBroker(bench, folder / "etc", self._certificates)
        self.broker.start()
        self.ioc = self.broker.ioc(bench, self._certificates.pki)
        self.cost = Cost(self.ioc)
        self.spent = Counter[str]()

    def run(self) -> list[dict[str, Any]]:
        """From the first reading to the last acknowledgement; gives the accounts of the gateways."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        log, accounts = self._folder / "fleet.log", []
        with ExitStack() as stack:
            processes = [stack.enter_context(started(one, log, env=environment)) for one in self._commands()]
            for process in processes:
                ready_line(process)
            self._trouble()
            for process in processes:
                said = self._last_words(process)
                accounts += said.pop("gateways")
                self.spent.update(said)
        return accounts

    def end(self) -> Report:
        """End the IOC; gives its last report."""
        self.cost.look()
        return self.ioc.stop()

    def _trouble(self) -> None:
        """The broker is killed, then the IOC."""
        away_s = min(AWAY_S, self.size.seconds * 0.1)
        self._live(self.size.seconds * 0.3)
        self.broker.kill()
        self._live(away_s)
        self.broker.start()
        self._live(self.size.seconds * 0.3)
        self.cost.look()
        self.ioc.kill()
        self._live(away_s)
        self.ioc.start()

    def _live(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self.cost.look()
            time.sleep(min(1.0, left_s))

    def _last_words(self, process: Popen) -> dict[str, Any]:
        out, _ = process.communicate(timeout=END_S)
        assert process.returncode == 0, (self._folder / "fleet.log").read_text(encoding="utf-8")[-2000:]
        return dict(json.loads(out.splitlines()[-1]))

    def _commands(self) -> Iterator[list[str]]:
        where = ["--pki", self._certificates.pki, "--folder", self._folder / "outboxes", "--runtime", self._ram]
        how = ["--points", POINTS, "--seconds", self.size.seconds, "--resend-s", self.size.resend_s]
        for part in range(self.size.processes):
            names = self.names[part :: self.size.processes]
            script = [SUPPORT / "fleet.py", f"localhost:{self.broker.port}", *names, *where, *how]
            yield [sys.executable, *map(str, script)]


@pytest.fixture
def ram() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


SIZES = [
    pytest.param(Size(8, 2, 4.0, 2.0), id="eight"),
    pytest.param(Size(50, 5, 120.0, 60.0), id="fifty", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("size", SIZES)
def test_what_many_gateways_read_arrives_once_whoever_is_killed(
    size: Size, tmp_path: Path, ram: Path, bench: Bench
) -> None:
    fleet = Fleet(size, tmp_path, ram, bench)
    begun_s = time.monotonic()
    accounts = fleet.run()
    took_s = time.monotonic() - begun_s
    report = fleet.end()
    tell(fleet, took_s)
    assert sorted(one["gateway"] for one in accounts) == fleet.names
    said = {one.gateway: one for one in report.gateways}
    for one in accounts:
        check(fleet.ioc, one, said[one["gateway"]])
    assert fleet.ioc.query("SELECT count(*) FROM reading WHERE changed > 0 OR quality <> ''") == [(0,)]
    assert (report.lost, report.gaps, report.malformed) == (0, 0, {})


def check(ioc: BenchIoc, account: dict[str, Any], said: GatewayReport) -> None:
    """Every number of a gateway and every reading arrived, once each, and each value under the point that it names."""
    assert (account["lost"], account["stored"]) == (0, 0), account
    assert account["accepted"] == account["delivered"] == account["scans"] * POINTS, account
    (epoch,) = said.epochs
    high = account["high"]
    assert (epoch.epoch, epoch.cumulative, epoch.high) == (account["epoch"], high, high)
    assert (epoch.received, epoch.gaps, epoch.lost) == (high, [], 0)
    rows = ioc.query("SELECT point, value FROM reading WHERE gateway = ?", account["gateway"])
    expected = [(scan * 100 + n, f"p{n:02}") for scan in range(1, account["scans"] + 1) for n in range(POINTS)]
    assert sorted((int(value), point) for point, value in rows) == expected


def tell(fleet: Fleet, took_s: float) -> None:
    """What it cost."""
    ioc, size = fleet.ioc, fleet.size
    messages, readings, duplicates = (
        ioc.query(f"SELECT count(*) FROM {table}")[0][0] for table in ("message", "reading", "duplicate")
    )
    print(f"\n{size.gateways} gateways, {took_s:.0f} s: {messages} messages, {readings} readings")
    rates = f"{messages / took_s:.0f} messages/s, {readings / took_s:.0f} readings/s"
    print(f"{rates}, {duplicates} duplicates recognised")
    late = "SELECT received_ms - time_ms FROM reading JOIN message ON message.id = message WHERE lane = ? ORDER BY 1"
    for lane in ("data", "backfill"):
        if rows := [row[0] for row in ioc.query(late, lane)]:
            p50, p95, p99 = (rows[int(len(rows) * part)] for part in (0.5, 0.95, 0.99))
            print(f"{lane}: {len(rows)} readings, wire to commit p50 {p50}, p95 {p95}, p99 {p99} ms")
    print(
        f"IOC: {100 * fleet.cost.cpu_s / took_s:.1f} % of a CPU, {fleet.cost.rss_mb} MB; gateways: {dict(fleet.spent)}"
    )
