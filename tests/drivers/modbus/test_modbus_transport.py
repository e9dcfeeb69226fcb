"""What each transport needs of its own: certificates, line settings, another name after a replug."""

import asyncio
import gc
import ssl
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from numbered import MakeNumbered, options, words

from drivers.errors import LinkDown
from drivers.modbus.line import open_line
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Request
from drivers.modbus.transport import Wire
from drivers.rs485 import Rs485
from simulators.testing import MakeModbusDevice, RegisterImage, SimulatedDevice


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


def tls_device(modbus_device: MakeModbusDevice, folder: Path, name: str) -> SimulatedDevice:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return modbus_device(transport="tls", tls=context, image=RegisterImage.numbered())


def tls_options(port: int, ca_file: Path) -> ModbusOptions:
    return ModbusOptions(transport="tls", host="localhost", given_port=port, ca_file=str(ca_file))


async def test_modbus_over_tls_reads_from_a_device_that_it_can_trust(
    modbus_device: MakeModbusDevice, certificates: Path
) -> None:
    device = tls_device(modbus_device, certificates, "good")
    async with open_line(tls_options(device.tcp_port, certificates / "good.pem")) as line:
        found, _ = await line.request(Request(1, "holding", 5, 2))
        assert found.words == words(1, 5, 2)
    await asyncio.sleep(0.2)  # goodbyes of TLS


@pytest.mark.parametrize(
    ("served", "trusted", "why"), [("good", "other", "self-signed|self signed"), ("other", "other", "localhost")]
)
async def test_a_certificate_that_is_not_right_is_refused_by_name(
    served: str, trusted: str, why: str, modbus_device: MakeModbusDevice, certificates: Path
) -> None:
    device = tls_device(modbus_device, certificates, served)
    with pytest.raises(LinkDown, match=why):
        async with open_line(tls_options(device.tcp_port, certificates / f"{trusted}.pem")):
            pass
    assert device.requests == []


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
    keys: Any, expected: int, numbered: MakeNumbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pty knows no parity and refuses it: what is asked of the kernel is looked at, then asked without."""
    asked: list[Any] = []
    real = termios.tcsetattr

    def tcsetattr(fd: int, when: int, attributes: list[Any]) -> None:
        asked.append(list(attributes))
        real(fd, when, [*attributes[:2], attributes[2] & ~(termios.PARENB | termios.PARODD), *attributes[3:]])

    monkeypatch.setattr(termios, "tcsetattr", tcsetattr)
    mask = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB
    device = numbered("rtu")
    asked.clear()
    async with open_line(ModbusOptions(transport="rtu", port=device.port, baud=19_200, **keys)):
        assert asked[-1][2] & mask == expected
        assert asked[-1][4:6] == [termios.B19200, termios.B19200]


async def test_rs485_on_a_port_that_cannot_is_an_error_and_the_port_is_free_again(numbered: MakeNumbered) -> None:
    device = numbered("rtu")
    with pytest.raises(LinkDown, match="RTS"):
        async with open_line(ModbusOptions(transport="rtu", port=device.port, rs485=Rs485())):
            pass
    async with open_line(options(device)) as line:
        await line.request(Request(1, "holding", 5, 2))


async def test_a_port_that_moved_to_another_number_is_read_on(numbered: MakeNumbered) -> None:
    device = numbered("rtu")
    targets = set()
    for _ in range(2):
        targets.add(Path(device.port).readlink())
        async with open_line(ModbusOptions(transport="rtu", port=device.port)) as line:
            await line.request(Request(1, "holding", 5, 2))
        device.fault("unplug")
        device.heal()
    assert len(targets) == len(device.requests) == 2


async def test_a_port_that_refused_its_settings_can_be_opened_at_once_with_others(
    modbus_device: MakeModbusDevice,
) -> None:
    device = modbus_device(holding={0: 1}, transport="rtu")
    even = ModbusOptions(transport="rtu", port=device.port, baud=19200, parity="E")
    refused = Wire(even, lambda _data: None, lambda: None)
    good = Wire(ModbusOptions(transport="rtu", port=device.port), lambda _data: None, lambda: None)
    await good.open()
    good.close()
    gc.disable()
    try:
        with pytest.raises(LinkDown, match="Invalid argument"):
            await refused.open()  # a pty has no parity
        await good.open()
        good.close()
    finally:
        gc.enable()


async def test_an_answer_on_tcp_is_received_into_memory_that_is_there(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(transport="tcp", image=RegisterImage.numbered())
    async with open_line(ModbusOptions(transport="tcp", host="127.0.0.1", given_port=device.tcp_port)) as line:
        assert line._wire._client
        most = getattr(line._wire._client.ctx.transport, "max_size", 0)  # uvloop has none
        assert most < 128 * 1024  # M_MMAP_THRESHOLD, mallopt(3)
