"""What each transport needs of its own: certificates, line settings, another name after a replug."""

import asyncio
import contextlib
import ssl
import subprocess
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import LinkDown
from drivers.modbus.line import open_line
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Request
from drivers.rs485 import Rs485


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of them, self-signed: `good` for localhost, `other` for another name."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, host in (("good", "localhost"), ("other", "elsewhere.example")):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
             "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    return folder


@contextlib.asynccontextmanager
async def tls_device(slave: Any, folder: Path, name: str) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                for _, data in slave.mbap(await reader.readexactly(12)):
                    writer.write(data)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def tls_options(port: int, ca_file: Path) -> ModbusOptions:
    return ModbusOptions(transport="tls", host="localhost", given_port=port, ca_file=str(ca_file))


async def test_modbus_over_tls_reads_from_a_device_that_it_can_trust(slave: Any, certificates: Path) -> None:
    async with (
        tls_device(slave, certificates, "good") as port,
        open_line(tls_options(port, certificates / "good.pem")) as line,
    ):
        found, _ = await line.request(Request(1, "holding", 5, 2))
        assert found.words == (slave.word(1, 3, 5), slave.word(1, 3, 6))


@pytest.mark.parametrize(
    ("served", "trusted", "why"), [("good", "other", "self-signed|self signed"), ("other", "other", "localhost")]
)
async def test_a_certificate_that_is_not_right_is_refused_by_name(
    served: str, trusted: str, why: str, slave: Any, certificates: Path
) -> None:
    async with tls_device(slave, certificates, served) as port:
        with pytest.raises(LinkDown, match=why):
            async with open_line(tls_options(port, certificates / f"{trusted}.pem")):
                pass
    assert slave.requests == []


async def test_a_ca_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(LinkDown, match="ca_file"):
        async with open_line(tls_options(1, tmp_path / "ca.pem")):
            pass


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"parity": "N", "stop_bits": 1}, termios.CS8),
        ({"parity": "E", "stop_bits": 1}, termios.CS8 | termios.PARENB),
        ({"parity": "O", "stop_bits": 2}, termios.CS8 | termios.PARENB | termios.PARODD | termios.CSTOPB),
    ],
)
async def test_the_line_settings_reach_the_port(
    keys: Any, expected: int, slave: Any, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pty knows no parity and refuses it: what is asked of the kernel is looked at, then asked without."""
    asked: list[Any] = []
    real = termios.tcsetattr

    def tcsetattr(fd: int, when: int, attributes: list[Any]) -> None:
        asked.append(list(attributes))
        real(fd, when, [*attributes[:2], attributes[2] & ~(termios.PARENB | termios.PARODD), *attributes[3:]])

    monkeypatch.setattr(termios, "tcsetattr", tcsetattr)
    mask = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB
    async with serving(slave, "rtu") as served:
        asked.clear()
        async with open_line(ModbusOptions(transport="rtu", port=served.options.port, baud=19_200, **keys)):
            assert asked[-1][2] & mask == expected
            assert asked[-1][4:6] == [termios.B19200, termios.B19200]


async def test_rs485_on_a_port_that_cannot_is_an_error_and_the_port_is_free_again(slave: Any, serving: Any) -> None:
    async with serving(slave, "rtu") as served:
        options = ModbusOptions(transport="rtu", port=served.options.port, rs485=Rs485())
        with pytest.raises(LinkDown, match="RTS"):
            async with open_line(options):
                pass
        async with open_line(served.options) as line:
            await line.request(Request(1, "holding", 5, 2))


async def test_a_port_that_moved_to_another_number_is_read_on(slave: Any, serving: Any, tmp_path: Path) -> None:
    name = tmp_path / "usb-adapter-port0"
    for _ in range(2):
        async with serving(slave, "rtu") as served:
            name.unlink(missing_ok=True)
            name.symlink_to(served.options.port)
            async with open_line(ModbusOptions(transport="rtu", port=str(name))) as line:
                await line.request(Request(1, "holding", 5, 2))
    assert len(slave.requests) == 2
