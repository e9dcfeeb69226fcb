"""How many Modbus devices one core simulates: `oc-sim run` on one core, a client on the other.

500 Modbus TCP devices, each on a port of its own, each read once a second, 100 registers a request. Every request
goes out at its slot of the second, whether the one before was answered or not. Late is an answer after the next slot.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FLOATS = 'vendor = "Bench"\nmodel = "Floats"\nkind = "modbus"\nsource = "bench"\n' + "".join(
    f'[[point]]\nname = "p{n}"\ntable = "input"\naddress = {2 * n}\ntype = "f32"\nunit = "V"\nrange = [0, 500]\n'
    for n in range(50)
)
WORDS = 'vendor = "Bench"\nmodel = "Words"\nkind = "modbus"\nsource = "bench"\n' + "".join(
    f'[[point]]\nname = "p{n}"\ntable = "input"\naddress = {n}\ntype = "i16"\nscale = 0.1\nunit = "Cel"\n'
    for n in range(100)
)
HEADS = ("profile", "devices", "truth", "start s", "asked", "answered", "late", "wrong", "p50 ms", "p95 ms", "CPU")


SIMULATOR_CORE, CLIENT_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))


class Case(NamedTuple):
    """A profile (a name, or TOML text), what one request asks, and whether the truth is written."""

    name: str
    profile: str
    function: int
    address: int
    count: int
    truth: bool = False


CASES = (
    Case("50 x f32", FLOATS, 4, 0, 100),
    Case("100 x i16", WORDS, 4, 0, 100),
    Case("eastron/sdm120", "eastron/sdm120", 4, 0, 32),
    Case("50 x f32", FLOATS, 4, 0, 100, truth=True),
)


class Client(asyncio.Protocol):
    """One connection to one device: asks, and keeps how long each answer took."""

    def __init__(self, case: Case) -> None:
        self._ask = struct.pack(">HBBHH", 6, 1, case.function, case.address, case.count)
        self._answer = struct.pack(">HBBB", 3 + 2 * case.count, 1, case.function, 2 * case.count)
        self._asked_s: dict[int, float] = {}
        self._heard = bytearray()
        self.asked = 0
        self.wrong = 0
        self.took_s: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self) -> None:
        self.asked += 1
        self._asked_s[self.asked] = time.perf_counter()
        self.transport.write(struct.pack(">HH", self.asked, 0) + self._ask)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 6 and len(self._heard) >= (size := 6 + self._heard[5]):
            number = int.from_bytes(self._heard[:2], "big")
            self.wrong += self._heard[4:9] != self._answer
            self.took_s.append(time.perf_counter() - self._asked_s.pop(number, 0.0))
            del self._heard[:size]


@contextmanager
def simulator(folder: Path, case: Case, devices: int) -> Iterator[tuple[int, list[int], float]]:
    """Start it on a core of its own; gives its pid, its ports, and after how many seconds it was ready."""
    (folder / "bench.toml").write_text(case.profile)
    profile = case.profile if "/" in case.profile.split("\n")[0] else str(folder / "bench.toml")
    (folder / "agent.toml").write_text(
        "".join(
            f'[[link]]\nname = "l{n}"\nkind = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\ntcp_port = {port}\n'
            f'[[device]]\nname = "d{n}"\nlink = "l{n}"\nunit = 1\nprofile = "{profile}"\n'
            for n, port in enumerate(free_ports(devices))
        )
    )
    command = [sys.executable, "-m", "simulators", "run", "--config", str(folder / "agent.toml")]
    command += ["--truth", str(folder / "truth.jsonl")] if case.truth else []
    started_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {SIMULATOR_CORE})
    try:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        took_s = time.monotonic() - started_s
        yield process.pid, [int(address.rsplit(":", 1)[1]) for address in ready["links"].values()], took_s
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def free_ports(count: int) -> list[int]:
    """So many ports that were free a moment ago, out of those that the kernel does not give to clients."""
    ports: list[int] = []
    port = 10_000
    while len(ports) < count:
        port += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                ports.append(port)
            except OSError:
                continue
    return ports


async def asked(ports: list[int], case: Case, seconds: int) -> list[Client]:
    """Ask every port once a second, evenly spread."""
    loop = asyncio.get_running_loop()
    clients = []
    for port in ports:
        _, client = await loop.create_connection(lambda: Client(case), "127.0.0.1", port)
        clients.append(client)
    start_s = loop.time() + 0.2
    for slot in range(seconds * len(ports)):
        if (wait_s := start_s + slot / len(ports) - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        clients[slot % len(ports)].ask()
    await asyncio.sleep(2.0)
    for client in clients:
        client.transport.abort()
    return clients


def cpu_s(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(case: Case, devices: int, seconds: int) -> tuple[object, ...]:
    with tempfile.TemporaryDirectory() as folder, simulator(Path(folder), case, devices) as (pid, ports, start_s):
        before_s, began_s = cpu_s(pid), time.monotonic()
        clients = asyncio.run(asked(ports, case, seconds))
        share = (cpu_s(pid) - before_s) / (time.monotonic() - began_s - 2.2)
    took_s = sorted(t for client in clients for t in client.took_s)
    return (
        case.name, devices, "yes" if case.truth else "no", f"{start_s:.2f}",
        sum(client.asked for client in clients), len(took_s), sum(t > 1.0 for t in took_s),
        sum(client.wrong for client in clients), f"{1e3 * statistics.median(took_s):.2f}",
        f"{1e3 * took_s[int(0.95 * len(took_s))]:.2f}", f"{share:.0%}",
    )  # fmt: skip


def started(devices: int) -> tuple[object, ...]:
    """Only the start of so many devices."""
    with tempfile.TemporaryDirectory() as folder, simulator(Path(folder), CASES[0], devices) as (_, ports, start_s):
        return (CASES[0].name, len(ports), "no", f"{start_s:.2f}", *[""] * 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    print("| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|")
    print("| " + " | ".join(map(str, started(100))) + " |", flush=True)
    for case in CASES:
        print("| " + " | ".join(map(str, measured(case, args.devices, args.seconds))) + " |", flush=True)


if __name__ == "__main__":
    main()
