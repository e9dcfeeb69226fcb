"""The simulator, the line and the serial line of the bench do what the Python side of it believes."""

import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from gateways.recorder import Recorder, Truth, Work
from gateways.rig import Line, build
from gateways.serials import Block, offset

from drivers.modbus.framing import crc16

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler: apt-get install gcc")
WORK = Work(devices=2, registers=5)
PATIENCE_S = 20


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("bench"))


@contextmanager
def running(*command: object) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := connection.recv(count - len(data))):
        data += more
    return data


def words(connection: socket.socket, first: int, count: int) -> list[int]:
    connection.sendall(struct.pack(">HHHBBHH", 9, 0, 6, 1, 3, first, count))
    return list(struct.unpack(f">{count}H", exactly(connection, 9 + 2 * count)[9:]))


@pytest.fixture
def devices(programs: Path, tmp_path: Path) -> Iterator[tuple[list[int], Truth]]:
    with running(programs / "simulator", WORK.devices, WORK.registers, 64, tmp_path / "truth") as process:
        ports = [int(line_of(process)) for _ in range(WORK.devices)]
        truth = Truth(tmp_path / "truth", WORK)
        yield ports, truth
        truth.close()


def test_a_register_counts_how_often_it_was_read(devices: tuple[list[int], Truth]) -> None:
    ports, truth = devices
    with closing(connected(ports[1])) as connection:
        assert words(connection, 0, 5) == [offset(1, n) for n in range(5)]
        assert words(connection, 3, 2) == [offset(1, 3) + 1, offset(1, 4) + 1]
    assert truth.snapshot() == [[0] * 5, [1, 1, 1, 2, 2]]
    assert truth.total() == 7


def test_the_time_of_an_answer_is_known_until_the_ring_is_round(devices: tuple[list[int], Truth]) -> None:
    ports, truth = devices
    with closing(connected(ports[0])) as connection:
        for _ in range(65):
            words(connection, 0, 1)
    known = [truth.answered_ns(0, 0, serial) or 0 for serial in range(1, 65)]
    assert known[0] > 0
    assert known == sorted(set(known))
    assert truth.answered_ns(0, 0, 0) is None
    assert truth.answered_ns(0, 0, 65) is None


def test_the_recorder_finds_what_the_simulator_gave(devices: tuple[list[int], Truth]) -> None:
    ports, truth = devices
    recorder = Recorder(WORK, truth, lambda _topic, payload: iter([Block(0, 0, list(payload))]))
    with closing(connected(ports[0])) as connection:
        values = words(connection, 0, 1)
        answered_ns = truth.answered_ns(0, 0, 0)
        assert answered_ns is not None
        recorder.heard(answered_ns + 2_000_000, "", bytes(values))
        words(connection, 0, 1)
    assert recorder.latencies_ms() == [2.0]
    assert recorder.account.lost(truth.snapshot()) == [(0, 0, 1)]


def test_silent_devices_answer_nothing_and_what_was_read_stays(programs: Path, tmp_path: Path) -> None:
    with running(programs / "simulator", WORK.devices, WORK.registers, 64, tmp_path / "truth") as process:
        ports = [int(line_of(process)) for _ in range(WORK.devices)]
        with closing(Truth(tmp_path / "truth", WORK)) as truth, closing(connected(ports[0])) as connection:
            words(connection, 0, 5)
            process.send_signal(signal.SIGUSR1)
            while not taken(process.pid):
                pass
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                words(connection, 0, 5)
            assert truth.total() == 5


def taken(pid: int) -> bool:
    """Does no signal wait for it?"""
    pending = [line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "Pnd" in line]
    return not any(int(word, 16) for word in pending)


def test_what_a_device_does_not_have_is_refused(devices: tuple[list[int], Truth]) -> None:
    ports, truth = devices
    with closing(connected(ports[0])) as connection:
        for function, first, code in ((3, 4, 2), (6, 0, 1)):
            connection.sendall(struct.pack(">HHHBBHH", 9, 0, 6, 1, function, first, 2))
            assert exactly(connection, 9)[7:] == bytes([function | 0x80, code])
    assert truth.total() == 0


def test_the_line_counts_bytes_can_be_cut_and_mended(programs: Path, tmp_path: Path) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as broker,
        running(programs / "proxy", broker.getsockname()[1], tmp_path / "line") as process,
    ):
        broker.settimeout(PATIENCE_S)
        line = Line(process, int(line_of(process)), tmp_path / "line")
        with closing(connected(line.port)) as gateway:
            gateway.sendall(b"hello")
            end, _ = broker.accept()
            with closing(end):
                assert exactly(end, 5) == b"hello"
                end.sendall(b"hi")
                assert exactly(gateway, 2) == b"hi"
                assert (line.bytes_up, line.bytes_down) == (5, 2)
                line.cut()
                with pytest.raises(ConnectionResetError):
                    gateway.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connected(line.port)
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", line.port), reuse_port=False)
        line.mend()
        with closing(again(line.port)) as gateway:
            gateway.sendall(b"back")
            end, _ = broker.accept()
            with closing(end):
                assert exactly(end, 4) == b"back"
        line.close()


def again(port: int) -> socket.socket:
    for _ in range(10_000):
        try:
            return connected(port)
        except ConnectionRefusedError:
            continue
    raise AssertionError("the line was not mended")


def checked(frame: bytes) -> bytes:
    return frame + crc16(frame).to_bytes(2, "little")


@pytest.mark.parametrize("answer_ms", [0, 20])
def test_the_serial_line_takes_its_time_and_sees_a_request_that_comes_too_early(
    answer_ms: int, programs: Path, tmp_path: Path
) -> None:
    baud = 1_200
    with (
        running(programs / "rtu_line", baud, tmp_path / "used", *([answer_ms] if answer_ms else [])) as process,
        Path(line_of(process)).open("r+b", buffering=0) as port,
    ):
        began_s = time.monotonic()
        port.write(2 * checked(bytes.fromhex("010300000002")))
        answers = b""
        while len(answers) < 18:
            answers += port.read(18 - len(answers))
        took_s = time.monotonic() - began_s
        assert answers == 2 * checked(bytes.fromhex("01030401000101"))
        requests, deadline_s = 0, time.monotonic() + PATIENCE_S
        while requests < 2 and time.monotonic() < deadline_s:  # it counts an answer after it has written it
            used_ns, requests, too_early, shortest_ns, work_ns = struct.unpack("5Q", (tmp_path / "used").read_bytes())
    silence_s = 3.5 * 10 / baud
    least_s = 2 * ((8 + 9) * 10 / baud + silence_s + answer_ms / 1000)
    assert took_s >= least_s
    assert (requests, too_early) == (2, 1)
    assert shortest_ns < 1e9 * silence_s
    assert used_ns == pytest.approx(1e9 * (least_s + 2 * silence_s), rel=1e-3)
    assert work_ns > used_ns * 0.8
