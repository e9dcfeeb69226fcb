"""The whole agent under random faults of every kind, at length: `make soak SOAK_SECONDS=3600`. The account is printed.

Devices count their answers, so every reading that is missing, doubled or wrong shows at the IOC. Of the numbers that
were served only these may be missing there: the poll in flight when the agent was killed or stopped; what was younger
than the commit interval in a power cut, or was read since the card began to fail before it; and what the gateway has
declared lost with a number of readings.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from random import Random
from subprocess import TimeoutExpired
from typing import Any

import psutil
import pytest
from card_model import identities_path, name_again
from counting import PROFILE, CountingDevices, counting_devices
from faulty_card import NEEDED, can_be_had
from processes import Popen, python_module, started, wait_until

from simulators.testing import Bench, MakeModbusDevice

UNITS = range(1, 5)
COMMIT_S = 1.0
KEPT_S = COMMIT_S + 1.0
"""A commit is begun in time; a busy machine may end it so much later."""
RSS_MAX_MB, FDS_MAX = 90, 60
QUIET = {"error": None, "sync_delay_s": 0.0}
SHORT = ("broker killed", "kill", "card full", "page bad", "power cut", "clock stepped", "stop")
CONFIG = """\
[gateway]
id = "dng-hc-01"
data_dir = "{data}"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {mqtt}
tls = false
resend_s = 5
drain_s = 2
[outbox]
commit_interval_s = {commit_s}
batch_interval_s = 0.3
archive_interval_s = 3.0
[clock]
hold_unsynced_s = 0
[[link]]
name = "counters"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {tcp}
"""
DEVICE = (
    '[[device]]\nname = "c{unit}"\nlink = "counters"\nprofile = "./counter.toml"\nunit = {unit}\ninterval_s = 0.25\n'
)


class Gateway:
    """The agent, its files, and what was done to them. `gone` are the times in which readings may have been lost."""

    def __init__(self, folder: Path, runtime: Path, mqtt: int, tcp: int) -> None:
        self.data, self.mirror, self.runtime = folder / "data", folder / "mirror", runtime / "run"
        self.config, self.log, self._control = folder / "agent.toml", folder / "log.txt", folder / "control.json"
        text = CONFIG.format(data=self.data, runtime=self.runtime, mqtt=mqtt, tcp=tcp, commit_s=COMMIT_S)
        self.config.write_text(text + "".join(DEVICE.format(unit=unit) for unit in UNITS), encoding="utf-8")
        (folder / "counter.toml").write_text(PROFILE, encoding="utf-8")
        self.says: dict[str, Any] = {**QUIET, "wall_offset_ms": 0, "boot_id": self._boot_id(0)}
        self.control()
        self.bad_since_s: float | None = None
        self.ends: list[float] = []
        self.gone: list[tuple[float, float]] = []
        self.largest: Counter[str] = Counter()
        self._boots = 0
        self._process: Popen | None = None
        self._running = ExitStack()

    def control(self, **changes: Any) -> None:
        """What goes wrong with card and clock from now on."""
        self.says |= changes
        temporary = self._control.with_suffix(".new")
        temporary.write_text(json.dumps(self.says), encoding="utf-8")
        temporary.replace(self._control)

    def keep_running(self) -> None:
        """Start the agent where it does not run, as systemd does; look how large it is where it does."""
        if self._process is not None and self._process.poll() is None:
            seen = psutil.Process(self._process.pid)
            self.largest["rss_mb"] = max(self.largest["rss_mb"], seen.memory_info().rss // 1_000_000)
            self.largest["fds"] = max(self.largest["fds"], seen.num_fds())
            return
        if self._process is not None:
            self._ended()
        shutil.rmtree(self.mirror, ignore_errors=True)
        support = Path(__file__).parent / "support"
        where = map(str, (support / "agent_on_faulty_card.py", self.data, self.mirror, self._control))
        command = [sys.executable, *where, "--config", str(self.config), "run"]
        self._running = ExitStack()
        environment = {**os.environ, "PYTHONPATH": str(support)}
        self._process = self._running.enter_context(started(command, self.log, env=environment))

    def end(self, how: signal.Signals) -> str:
        """End the agent; gives what it said at last."""
        assert self._process is not None
        if how == signal.SIGTERM:
            self._process.send_signal(how)
            try:
                said, _ = self._process.communicate(timeout=60)
            except TimeoutExpired:
                said = ""
        else:
            self._process.kill()
            said = ""
        self._ended()
        return said

    def cut_power(self) -> None:
        """What the card holds is what was synced, the RAM disk is empty, the next boot begins."""
        now_s = time.monotonic()
        since_s = now_s if self.bad_since_s is None else self.bad_since_s
        self.end(signal.SIGKILL)
        self.gone.append((since_s - KEPT_S, now_s))
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.data)
        shutil.copytree(self.mirror, self.data)
        identities = identities_path(self.mirror)
        name_again(self.data, json.loads(identities.read_text(encoding="utf-8")) if identities.exists() else {})
        self._boots += 1
        self.control(boot_id=self._boot_id(self._boots))

    def spoil_a_page(self, random: Random) -> None:
        """A page of the file goes bad while the agent runs."""
        file = self.data / "outbox.db"
        pages = file.stat().st_size // 4096 if file.exists() else 0
        if pages > 8:
            with file.open("r+b") as opened:
                opened.seek(random.randrange(1, pages) * 4096)
                opened.write(b"\xa5" * 4096)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Somebody else holds the file."""
        with closing(sqlite3.connect(self.data / "outbox.db", timeout=1, isolation_level=None)) as other:
            with suppress(sqlite3.Error):  # it is damaged, being made, or in use: then there is no lock this time
                other.execute("BEGIN IMMEDIATE")
            yield

    def _ended(self) -> None:
        self._running.close()
        self.ends.append(time.monotonic())
        self._process = None

    @staticmethod
    def _boot_id(number: int) -> str:
        return f"00000000-0000-0000-0000-{number:012d}"


class Soak:
    """A site whose parts fail at random, and what must be true of it at the end."""

    def __init__(self, folder: Path, runtime: Path, bench: Bench, devices: CountingDevices, seed: int) -> None:
        self.random = Random(seed)
        self.broker = bench.broker()
        self.ioc = bench.ioc(self.broker)
        self.devices = devices
        self.gateway = Gateway(folder, runtime, self.broker.port, devices.port)
        self.done: Counter[str] = Counter()

    def begin(self) -> None:
        self.gateway.keep_running()
        wait_until(lambda: any(one.served for one in self.devices.counters.values()), 20, "the agent reads")

    def live(self, seconds: float) -> None:
        """Let time pass; systemd starts what has ended."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            time.sleep(min(0.5, max(0.0, until_s - time.monotonic())))
            self.gateway.keep_running()

    def happens(self, name: str = "") -> None:
        """One fault, at random where it is not named."""
        faults: dict[str, Callable[[], None]] = {
            "kill": lambda: self._end(signal.SIGKILL),
            "stop": lambda: self._end(signal.SIGTERM),
            "power cut": self.gateway.cut_power,
            "card full": lambda: self._card(error="full"),
            "card gives I/O errors": lambda: self._card(error="io"),
            "card read-only": lambda: self._card(error="readonly"),
            "card slow": lambda: self._card(sync_delay_s=self.random.choice([0.5, 2.0, 5.0])),
            "file locked": self._lock,
            "page bad": lambda: self.gateway.spoil_a_page(self.random),
            "broker killed": self._kill_broker,
            "broker silent": self._silence_broker,
            "IOC stopped": self._stop_ioc,
            "clock stepped": self._step_clock,
        }
        name = name or self.random.choice(list(faults))
        self.done[name] += 1
        faults[name]()

    def end(self) -> dict[str, Any]:
        """Everything works again: wait until all has arrived, and give the agent's last account."""
        self._heal()
        self.live(3.0)
        said = ""
        for _ in range(6):  # what is read meanwhile comes with the next round
            wait_until(self._all_sent, 90, "everything is delivered")
            said = self.gateway.end(signal.SIGTERM)
            account = dict(json.loads(said.splitlines()[-1]))
            if account["stored"] == 0:
                break
            self.gateway.keep_running()
            self.live(2.0)
        wait_until(lambda: self._rows("SELECT 1 FROM message LIMIT 1"), 10, "the IOC has something")
        time.sleep(1.0)
        self.ioc.kill()
        self.broker.kill()
        return account

    def check(self, account: dict[str, Any]) -> None:
        """Hold what arrived against what was served."""
        declared = self._declared()
        served = missing = excused = 0
        for unit, counter in self.devices.counters.items():
            rows = self._rows(
                "SELECT a.value, b.value FROM reading a JOIN reading b USING (gateway, device, time_ms)"
                f" WHERE a.device = 'c{unit}' AND a.point = 'n' AND b.point = 'mirrored' AND a.quality = ''"
            )
            numbers = [int(number) for number, _ in rows]
            assert all(int(number) ^ int(mirrored) == 0xFFFFFFFF for number, mirrored in rows), "a wrong value"
            assert len(numbers) == len(set(numbers)), f"c{unit}: a reading arrived twice, under two times"
            assert set(numbers) <= {one.number for one in counter.served}, "a number that was never served"
            served += len(counter.served)
            for one in counter.served:
                if one.number not in set(numbers):
                    missing += 1
                    excused += self._excused(one.at_s)
        lost = sum(count for reason, count in declared.items() if reason != "unclean_stop")
        print(f"\nserved {served} polls, missing {missing}, of these in a cut or in flight {excused}")
        print(f"declared lost {dict(declared)}; the last outbox: {account}")
        print(f"duplicates recognised {self._rows('SELECT count(*) FROM duplicate')[0][0]}, faults {dict(self.done)}")
        print(f"largest: {dict(self.gateway.largest)}")
        assert self._rows("SELECT count(*) FROM reading WHERE changed > 0") == [(0,)]
        assert account["accepted"] == account["delivered"] + account["stored"] + sum(account["lost"].values())
        assert account["stored"] == 0
        assert 2 * (missing - excused) <= lost, "readings are missing that nobody has declared lost"
        assert self.gateway.largest["rss_mb"] < RSS_MAX_MB
        assert self.gateway.largest["fds"] < FDS_MAX

    def _excused(self, at_s: float) -> bool:
        in_flight = any(abs(at_s - end_s) < 1.0 for end_s in self.gateway.ends)
        return in_flight or any(first <= at_s <= last for first, last in self.gateway.gone)

    def _declared(self) -> Counter[str]:
        declared = Counter[str]()
        for (body,) in self._rows("SELECT body FROM event WHERE type = 'data.lost'"):
            event = json.loads(body)
            declared[event.get("reason", "")] += event.get("readings") or 0
        return declared

    def _end(self, how: signal.Signals) -> None:
        self.gateway.end(how)

    def _card(self, **fault: Any) -> None:
        gateway = self.gateway
        gateway.bad_since_s = time.monotonic()
        gateway.control(**fault)
        self.live(self.random.uniform(2.0, 8.0))
        if self.random.random() < 0.5:
            self.done["with the card bad"] += 1
            self.random.choice([gateway.cut_power, lambda: self._end(signal.SIGKILL)])()
            self.live(2.0)
        self._heal_card()

    def _heal_card(self) -> None:
        self.gateway.control(**QUIET)
        self.live(4.0)
        self.gateway.bad_since_s = None

    def _heal(self) -> None:
        self._heal_card()

    def _lock(self) -> None:
        self.gateway.bad_since_s = time.monotonic()
        with self.gateway.locked():
            self.live(self.random.uniform(2.0, 20.0))
        self._heal_card()

    def _kill_broker(self) -> None:
        self.broker.kill()
        self.live(self.random.uniform(1.0, 10.0))
        self.broker.start()

    def _silence_broker(self) -> None:
        self.broker.pause()
        self.live(self.random.uniform(1.0, 10.0))
        self.broker.resume()

    def _stop_ioc(self) -> None:
        self.ioc.kill()
        self.live(self.random.uniform(1.0, 10.0))
        self.ioc.start()

    def _step_clock(self) -> None:
        offset_ms = self.gateway.says["wall_offset_ms"] + self.random.choice([-3_600_000, -5_000, 5_000, 86_400_000])
        self.gateway.control(wall_offset_ms=offset_ms)

    def _all_sent(self) -> bool:
        self.live(1.0)
        command = python_module("agent", "--config", self.gateway.config, "outbox", "status", "--json")
        with started(command, self.gateway.log) as asking:
            said, _ = asking.communicate(timeout=20)
        status = json.loads(said) if asking.returncode == 0 else {}
        return bool(status) and status["source"] == "agent" and status["undelivered"] <= 3 and not status["salvages"]

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.ioc.query(sql)


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.skipif(not can_be_had(), reason=NEEDED)
@pytest.mark.parametrize("length", ["short", pytest.param("long", marks=pytest.mark.soak)])
def test_whatever_fails_every_reading_arrives_or_is_declared_lost(
    length: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    runtime_dir: Path,
    bench: Bench,
    modbus_device: MakeModbusDevice,
) -> None:
    options = request.config.option
    seconds, seed = (0.0, 1) if length == "short" else (options.soak_seconds, options.soak_seed or int(time.time()))
    print(f"\nseed {seed}, {seconds:g} s")
    soak = Soak(tmp_path, runtime_dir, bench, counting_devices(modbus_device, UNITS), seed)
    soak.begin()
    try:
        for name in SHORT if length == "short" else ():
            soak.live(1.5)
            soak.happens(name)
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            soak.live(soak.random.uniform(1.0, 5.0))
            soak.happens()
        account = soak.end()
    finally:
        if soak.gateway._process is not None:
            soak.gateway.end(signal.SIGKILL)
    soak.check(account)
