"""The bench around one gateway: devices, broker, the line between, the recorder; all of it on the other core."""

import contextlib
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateways.processes import STOP_S, Usage, card_bytes_at_end, cores, end, own_cpu_s, serve, start, usage
from gateways.recorder import RING, Recorder, Truth, Work
from gateways.subjects.api import Missing, Site, Subject
from gateways.subscriber import Subscriber

NATIVE = Path(__file__).with_name("native")
PROGRAMS = ("simulator", "proxy", "rtu_line")
RAM_DISK = Path("/dev/shm")  # noqa: S108  # folders in it are made by tempfile
NS_PER_S = 1_000_000_000
_PROXY_FACTS = 4


class Unfit(Exception):
    """The bench itself does not work here; the message says why."""


def build(prefix: Path) -> Path:
    """Compile the simulator and the proxy; gives their folder. Raises Unfit."""
    folder = prefix / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        source, program = NATIVE / f"{name}.c", folder / name
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        try:
            subprocess.run(["cc", "-O2", "-Wall", "-o", program, source], check=True)
        except (OSError, subprocess.CalledProcessError) as err:
            raise Unfit(f"cannot compile {source.name} with cc: {err}") from err
    return folder


class Line:
    """What the proxy between the gateway and the broker has seen; it can be cut."""

    def __init__(self, process: subprocess.Popen[str], port: int, state: Path) -> None:
        self._process, self.port = process, port
        with state.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)

    def _fact(self, number: int) -> int:
        return int(struct.unpack_from(f"{_PROXY_FACTS}Q", self._map)[number])

    @property
    def bytes_up(self) -> int:
        """TCP payload from the gateway to the broker."""
        return self._fact(0)

    @property
    def bytes_down(self) -> int:
        return self._fact(1)

    @property
    def connected_ns(self) -> int:
        """When the last connection was made."""
        return self._fact(3)

    def cut(self) -> None:
        self._process.send_signal(signal.SIGUSR1)

    def mend(self) -> None:
        self._process.send_signal(signal.SIGUSR2)

    def stall(self) -> None:
        """Nothing passes, nothing is reset: a half-open line. Whoever connects now gets no further than the kernel."""
        self._process.send_signal(signal.SIGSTOP)

    def flow(self) -> None:
        """After `stall`."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._map.close()


class Rig:
    """One gateway at work. `started_ns`: when its process was last started; `load`: processes of the bench by name."""

    def __init__(self, subject: Subject, site: Site, line: Line, truth: Truth, load: Mapping[str, int]) -> None:
        self.subject, self.work, self.line, self.truth, self._load = subject, site.work, line, truth, load
        self.recorder = Recorder(site.work, truth, subject.decode)
        self.site, self._launch = site, subject.configure(site)
        self._process: subprocess.Popen[str] | None = None
        self.started_ns = 0

    def configure(self, work: Work) -> None:
        """What the gateway is to do from its next start on; the devices stay as they are."""
        self._launch = self.subject.configure(self.site._replace(work=work))

    def record_anew(self) -> None:
        """Account only for what is read from now on; what comes of earlier reads is none of it."""
        self.recorder = Recorder(self.work, self.truth, self.subject.decode)
        self.recorder.account.begin(self.truth.snapshot())

    def start(self) -> None:
        self.started_ns = time.monotonic_ns()
        launch = self._launch
        self._process = start(launch.command, cores()[0], self.site.ram, launch.environment)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process:
            end(self._process, number)
        self._process = None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def said(self) -> str:
        """What the gateway has written so far."""
        return (self.site.ram / "output.log").read_text(errors="replace")

    def stop_and_count(self) -> int:
        """Stop it; gives the bytes that its process has given to the card in all, also while it stopped."""
        assert self._process is not None
        self._process.terminate()
        count = card_bytes_at_end(self._process.pid, timeout_s=STOP_S)
        self.stop()
        return count

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def usage(self) -> Usage:
        """Of the gateway's processes. Raises Unfit where it has ended by itself."""
        if self._process is None or not self.alive():
            raise Unfit(f"{self.subject.name} has ended by itself: {self.last_words()}")
        return usage(self._process.pid)

    def load_cpu_s(self) -> dict[str, float]:
        """What each part of the load has used so far; the recorder is this process."""
        return {name: own_cpu_s(pid) for name, pid in self._load.items()} | {"recorder": time.process_time()}

    @property
    def card(self) -> Path:
        """The folder of the gateway that is on the card."""
        return self.site.card

    def silence_devices(self) -> None:
        """Devices answer nothing from now on."""
        os.kill(self._load["simulator"], signal.SIGUSR1)

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            return " / ".join(self.said().splitlines()[-3:])
        return ""

    def wait_first(self, timeout_s: float) -> bool:
        """Until the first value has arrived; False where none came."""
        deadline_s = time.monotonic() + timeout_s
        while not self.recorder.first_ns and time.monotonic() < deadline_s and self.alive():
            time.sleep(0.01)
        return bool(self.recorder.first_ns)


@contextmanager
def rig(subject: Subject, work: Work, prefix: Path) -> Iterator[Rig]:
    """Everything ready but the gateway, which the scene starts; ends all of it."""
    helpers = prefix / "bin"
    load_core = cores()[1]
    with ExitStack() as stack:
        (prefix / "work").mkdir(exist_ok=True)
        card = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=prefix / "work", ignore_cleanup_errors=True)))
        ram = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=RAM_DISK, ignore_cleanup_errors=True)))
        count = [str(work.devices), str(work.registers), str(RING)]
        simulator = serve([str(helpers / "simulator"), *count, str(ram / "truth")], load_core)
        stack.callback(end, simulator)
        assert simulator.stdout
        ports = [int(simulator.stdout.readline()) for _ in range(work.devices)]
        broker_port, broker_pid = stack.enter_context(broker(ram, load_core))
        proxy = serve([str(helpers / "proxy"), str(broker_port), str(ram / "line")], load_core)
        stack.callback(end, proxy)
        assert proxy.stdout
        line = Line(proxy, int(proxy.stdout.readline()), ram / "line")
        stack.callback(line.close)
        truth = Truth(ram / "truth", work)
        stack.callback(truth.close)
        site = Site(work, ports, line.port, card, ram)
        load = {"simulator": simulator.pid, "proxy": proxy.pid, "broker": broker_pid}
        ready = Rig(subject, site, line, truth, load)
        subscriber = Subscriber(
            broker_port, lambda at_ns, topic, payload: _heard(ready, subscriber, at_ns, topic, payload)
        )
        subscriber.start()
        for topic, payload in subject.retained():
            subscriber.publish(topic, payload, retain=True)
        stack.callback(subscriber.stop)
        stack.callback(ready.stop)
        yield ready


def _heard(ready: Rig, subscriber: Subscriber, at_ns: int, topic: str, payload: bytes) -> None:
    if topic:
        for answer in ready.subject.answers(topic, payload):
            subscriber.publish(*answer)
        ready.recorder.heard(at_ns, topic, payload)


def mosquitto() -> str:
    """The path of the broker. Raises Missing."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if not program:
        raise Missing("no mosquitto here: apt-get install mosquitto")
    return program


@contextmanager
def broker(ram: Path, core: int) -> Iterator[tuple[int, int]]:
    """(port, process) of mosquitto as it is shipped, but for a queue without limit, so that it loses nothing."""
    program = mosquitto()
    port = _free_port()
    (ram / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n"
    )
    (ram / "broker").mkdir()
    process = start([program, "-c", str(ram / "mosquitto.conf")], core, ram / "broker")
    try:
        yield port, process.pid
    finally:
        end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
