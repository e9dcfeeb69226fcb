"""Lines of the bench as a tester uses them: many devices on one, bytes that nobody asked for, cables and connections."""

import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from simulators.endpoints import CannotServe
from simulators.modbus.framing import rtu_frame
from simulators.testing import FaultBoard, MakeModbusDevice, RawLine, RegisterImage, SimulatedDevice

READ_FIRST = bytes.fromhex("0300000001")
TIMEOUT_S = 5.0
SHORT_S = 0.2


def connected(device: SimulatedDevice | RawLine) -> socket.socket:
    return socket.create_connection((device.host, device.tcp_port), TIMEOUT_S)


def ask(sock: socket.socket, unit: int = 1, pdu: bytes = READ_FIRST, timeout_s: float = TIMEOUT_S) -> bytes:
    """The PDU of a Modbus TCP answer, empty where none comes."""
    sock.settimeout(timeout_s)
    sock.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, unit) + pdu)
    try:
        return sock.recv(300)[7:]
    except TimeoutError:
        return b""


@pytest.fixture
def pair(modbus_device: MakeModbusDevice) -> tuple[SimulatedDevice, SimulatedDevice]:
    """Units 1 and 2 on one line."""
    first = modbus_device(holding={0: 1})
    return first, modbus_device(holding={0: 2}, on=first, unit=2)


def test_a_fault_of_a_device_is_not_one_of_its_neighbour_and_a_fault_of_the_line_is(
    pair: tuple[SimulatedDevice, SimulatedDevice],
) -> None:
    first, second = pair
    with connected(first) as sock:
        first.fault("exception")
        assert (ask(sock, 1), ask(sock, 2)) == (b"\x83\x04", bytes.fromhex("03020002"))
        first.heal()
        first.line.fault("exception code=6")
        assert (ask(sock, 1), ask(sock, 2)) == (b"\x83\x06", b"\x83\x06")
        assert second.line.heal() == 1
        assert ask(sock, 1) == bytes.fromhex("03020001")


def test_the_script_of_a_line_is_for_all_that_have_none_and_counts_all_their_requests(
    pair: tuple[SimulatedDevice, SimulatedDevice],
) -> None:
    first, second = pair
    first.line.script(lambda number, _request, answer: [(0.0, answer[:7] + bytes((number,)))])
    with connected(first) as sock:
        assert [ask(sock, unit) for unit in (1, 2, 1)] == [b"\0", b"\1", b"\2"]
        second.script(lambda *_: [(0.0, bytes(7) + b"own")])
        assert [ask(sock, unit) for unit in (1, 2, 1)] == [b"\3", b"own", b"\4"]
    asked = [one.device for one in first.line.exchanges]
    assert asked == [first.name, second.name, first.name] * 2
    assert first.line.requests == second.line.requests


def test_what_a_line_says_by_itself_comes_to_everybody_and_meets_no_script(
    pair: tuple[SimulatedDevice, SimulatedDevice],
) -> None:
    first, _ = pair
    first.line.script(lambda *_: [(0.0, b"script")])
    with connected(first) as one, connected(first) as other:
        first.line.wait_for_connections(2)
        first.line.say(b"hello")
        assert (one.recv(9), other.recv(9)) == (b"hello", b"hello")
    assert first.line.requests == []


@pytest.mark.parametrize("in_order", [True, False])
def test_what_would_come_too_late_is_never_sent(modbus_device: MakeModbusDevice, in_order: bool) -> None:
    device = modbus_device(holding={0: 1})
    begun_s = time.monotonic()
    device.script(
        lambda number, _request, answer: [(0.0, answer), (0.15 if number == 0 else 0.0, answer)],
        in_order=in_order,
        not_after=lambda number: begun_s + 0.1 if number == 0 else begun_s + 3_600,
    )
    answer = bytes.fromhex("03020001")
    with connected(device) as sock:
        first = ask(sock, timeout_s=SHORT_S)
        time.sleep(SHORT_S)
        sock.sendall(struct.pack(">HHHB", 2, 0, 6, 1) + READ_FIRST)
        second = b""
        while len(second) < 22:
            second += sock.recv(300)
    assert first in (answer, b"")
    assert second == 2 * (struct.pack(">HHHB", 2, 0, 5, 1) + answer)


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp", "udp"])
def test_a_device_says_nothing_to_what_it_ignores(modbus_device: MakeModbusDevice, transport: str) -> None:
    device = modbus_device(image=RegisterImage.numbered(), transport=transport)  # type: ignore[arg-type]
    assert device.image is not None
    device.image.ignore(addresses={0})
    other = bytes.fromhex("0300010001")
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.connect((device.host, device.tcp_port))
        sock.settimeout(TIMEOUT_S)
        for number, pdu in enumerate((READ_FIRST, other)):
            rtu = transport == "rtu-over-tcp"
            sock.sendall(rtu_frame(1, pdu) if rtu else struct.pack(">HHHB", number, 0, len(pdu) + 1, 1) + pdu)
        answer = sock.recv(300)
    assert answer[:2] == b"\1\3" if transport == "rtu-over-tcp" else answer[:2] == b"\0\1"
    assert len(device.requests) == 2
    device.image.heal()
    assert device.image.get("holding", 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Self-signed, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    file, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip
    return file, key


def test_a_device_is_there_by_tls_with_the_certificate_of_the_test(
    modbus_device: MakeModbusDevice, certificate: tuple[Path, Path]
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    device = modbus_device(holding={0: 230}, transport="tls", tls=server)
    assert device.link["transport"] == "tls"
    client = ssl.create_default_context(cafile=str(certificate[0]))
    with connected(device) as plain, client.wrap_socket(plain, server_hostname="localhost") as sock:
        assert ask(sock) == bytes.fromhex("030200e6")
        device.fault("cut")
        assert sock.recv(1) == b""


def test_tls_without_a_certificate_is_said(modbus_device: MakeModbusDevice) -> None:
    with pytest.raises(CannotServe, match="needs a certificate"):
        modbus_device(holding={0: 230}, transport="tls")


def test_a_fault_has_begun_and_is_over_when_the_test_goes_on(
    modbus_device: MakeModbusDevice, faults: FaultBoard
) -> None:
    serial_port = Path(modbus_device(holding={0: 1}, transport="rtu", name="serial").port)
    tcp = modbus_device(holding={0: 1}, name="tcp")
    for _ in range(5):
        faults.add("unplug on=serial")
        faults.add("refuse on=tcp")
        assert not serial_port.is_symlink()
        with pytest.raises(ConnectionRefusedError):
            connected(tcp)
        faults.heal()
        assert serial_port.is_symlink()
        connected(tcp).close()


def test_a_connection_is_cut_in_order_and_a_new_one_works(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(holding={0: 1})
    for _ in range(3):
        with connected(device) as sock:
            assert ask(sock) == bytes.fromhex("03020001")
            device.fault("cut")
            assert sock.recv(1) == b""


def test_a_raw_line_answers_what_the_test_says_and_nothing_else(serial_line: Callable[..., RawLine]) -> None:
    line = serial_line()
    line.answer({b"A?": b"A=1"})
    with serial.Serial(line.port, timeout=TIMEOUT_S) as port:
        for request, answer in ((b"A?", b"A=1"), (b"B?", b"")):
            port.write(request)
            line.wait_to_hear(request)
            assert port.read(len(answer)) == answer
        line.end_script()
        port.write(b"A?")
        line.wait_for_requests(3)
        port.timeout = SHORT_S
        assert port.read(1) == b""
    assert line.requests == [b"A?", b"B?", b"A?"]


def test_a_raw_line_has_a_tcp_port_of_its_own(serial_line: Callable[..., RawLine]) -> None:
    line = serial_line(tcp=True)
    with connected(line) as sock:
        line.wait_for_connections()
        line.say(b"hello")
        assert sock.recv(9) == b"hello"
    assert line.link["tcp_port"] == line.tcp_port > 0
