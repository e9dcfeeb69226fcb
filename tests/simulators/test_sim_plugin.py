"""The fixtures that a tester of any gateway gets, used as such a tester would."""

import asyncio
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from paho.mqtt.publish import single
from processes import wait_until

from simulators.endpoints import CannotServe, free_port
from simulators.problems import SiteError
from simulators.testing import (
    BadFault,
    BadValue,
    Bench,
    BenchBroker,
    BenchIoc,
    FaultBoard,
    MakeModbusDevice,
    MakeSerialDevice,
    RawLine,
    RegisterImage,
    SimulatedDevice,
    SimulatedSite,
)

pytest_plugins = ["pytester"]
READ_FIRST = bytes.fromhex("0300000001")


def ask(device: SimulatedDevice, pdu: bytes = READ_FIRST, timeout_s: float = 5.0) -> bytes:
    """The answer of a Modbus TCP device, empty where none comes."""
    with socket.create_connection((device.host, device.tcp_port), timeout_s) as sock:
        sock.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, device.unit or 0) + pdu)
        try:
            return sock.recv(300)[7:]
        except TimeoutError:
            return b""


def test_a_device_made_of_registers_answers_with_them(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(holding={0: [230, 5]})
    assert ask(device) == bytes.fromhex("030200e6")
    assert device.image is not None
    device.image.set("holding", 0, 231)
    assert ask(device) == bytes.fromhex("030200e7")
    assert ask(device, bytes.fromhex("0300020001")) == bytes.fromhex("8302")
    assert [request[7:] for request in device.requests] == [READ_FIRST, READ_FIRST, bytes.fromhex("0300020001")]


def test_a_device_made_by_its_profile_says_what_it_served(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device("eastron/sdm120", name="meter-1", unit=7)
    answer = ask(device, bytes.fromhex("0400000002"))
    (served,) = device.served
    assert served.device == "meter-1"
    assert served.value == pytest.approx(struct.unpack(">f", answer[2:])[0], rel=1e-4)
    assert 'profile = "eastron/sdm120"' in device.toml(interval_s=5)


def test_a_device_goes_wrong_and_is_well_again(modbus_device: MakeModbusDevice, faults: FaultBoard) -> None:
    device, other = modbus_device(holding={0: 1}), modbus_device(holding={0: 2})
    device.fault("exception code=6")
    assert (ask(device), ask(other)) == (b"\x83\x06", bytes.fromhex("03020002"))
    assert device.exchanges[-1].faults == ("exception",)
    assert device.heal() == 1
    assert ask(device) == bytes.fromhex("03020001")
    faults.add("no_reply on=* for=0.3")
    assert ask(other, timeout_s=0.1) == b""
    wait_until(lambda: ask(other, timeout_s=0.1), 5, "the fault is over")


def test_what_cannot_be_is_refused_with_what_to_write(modbus_device: MakeModbusDevice, faults: FaultBoard) -> None:
    with pytest.raises(BadFault, match="did you mean no_reply"):
        faults.add("no_replie")
    with pytest.raises(BadFault, match="no device or link"):
        faults.add("no_reply on=nobody")
    with pytest.raises(BadFault, match="write one of"):
        faults.add("disk_full")
    with pytest.raises(SiteError, match="eastron/sdm120"):
        modbus_device("eastron/sdm12")
    with pytest.raises(CannotServe, match="of kind serial"):
        modbus_device("nmea/weather-station")
    with pytest.raises(ValueError, match="0 to 65535"):
        modbus_device(holding={0: 70_000})
    with pytest.raises(ValueError, match="has no profile"):
        modbus_device(holding={0: 1}).toml()


def test_a_point_gives_what_is_set_until_it_is_released(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device("eastron/sdm120")
    voltage = bytes.fromhex("0400000002")
    assert device.set("voltage", 231.5) == 231.5
    assert struct.unpack(">f", ask(device, voltage)[2:]) == (231.5,)
    with pytest.raises(BadValue, match="did you mean voltage"):
        device.set("voltag", 1)
    assert device.release() == 1
    ask(device, voltage)
    assert device.served[-1].value != 231.5


def test_several_units_stand_on_one_line(modbus_device: MakeModbusDevice) -> None:
    first = modbus_device(holding={0: 1})
    second = modbus_device("eastron/sdm120", on=first, unit=2)
    assert second.tcp_port == first.tcp_port
    assert ask(second, bytes.fromhex("0400000002"))[:2] == b"\x04\x04"
    second.fault("exception")
    assert ask(second, bytes.fromhex("0400000002")) == b"\x84\x04"
    assert ask(first) == bytes.fromhex("03020001")
    with pytest.raises(ValueError, match="unit 2 is device-2 already"):
        modbus_device(holding={0: 1}, on=first, unit=2)


def test_a_script_says_every_byte(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(holding={0: 1})
    device.script(lambda number, request, answer: [(0.0, answer[:7] + bytes((number, len(request))))])
    assert [ask(device), ask(device)] == [bytes((0, 12)), bytes((1, 12))]
    device.end_script()
    assert ask(device) == bytes.fromhex("03020001")
    assert [one.faults for one in device.exchanges] == [("script",), ("script",), ()]


def test_parts_of_a_script_come_at_their_own_time_where_they_may_overtake(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(holding={0: 1})
    head = struct.pack(">HHHB", 1, 0, 3, 1)
    device.script(lambda *_: [(0.3, head + b"LA"), (0.1, head + b"EA")], in_order=False)
    with socket.create_connection((device.host, device.tcp_port), 5) as sock:
        sock.sendall(struct.pack(">HHHB", 1, 0, len(READ_FIRST) + 1, 1) + READ_FIRST)
        assert [sock.recv(9)[7:], sock.recv(9)[7:]] == [b"EA", b"LA"]


def test_a_script_that_raises_fails_the_test(tmp_path: Path) -> None:
    def say(*_: object) -> list[tuple[float, bytes]]:
        raise KeyError("in the script")

    def use(bench: Bench) -> None:
        device = bench.modbus_device(holding={0: 1})
        device.script(say)
        ask(device, timeout_s=0.3)

    with pytest.raises(KeyError, match="in the script"), Bench(tmp_path) as bench:
        use(bench)


def test_a_line_on_which_the_test_speaks(serial_line: Callable[..., RawLine]) -> None:
    line = serial_line()
    with serial.Serial(line.port, timeout=5) as port:
        line.say(b"$hello\r\n")
        assert port.readline() == b"$hello\r\n"
        port.write(b"ask")
        line.wait_to_hear(b"ask")


async def test_a_device_is_there_by_udp(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(holding={0: 230}, transport="udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(struct.pack(">HHHB", 1, 0, 6, 1) + READ_FIRST, (device.host, device.tcp_port))
        assert sock.recv(300)[7:] == bytes.fromhex("030200e6")


@pytest.mark.parametrize("transport", ["rtu", "ascii", "rtu-over-tcp"])
def test_a_modbus_device_is_there_on_every_transport(modbus_device: MakeModbusDevice, transport: str) -> None:
    device = modbus_device(image=RegisterImage.numbered(), transport=transport)  # type: ignore[arg-type]
    assert device.link["transport"] == transport
    if transport == "rtu-over-tcp":
        with socket.create_connection((device.host, device.tcp_port), 5) as sock:
            sock.sendall(bytes.fromhex("010300000001840a"))
            assert sock.recv(7)[:3] == b"\x01\x03\x02"
    else:
        assert Path(device.port).is_symlink()


async def test_the_fixtures_work_in_tests_that_are_coroutines(serial_device: MakeSerialDevice) -> None:
    device = serial_device("nmea/weather-station", tcp=True)
    reader, writer = await asyncio.open_connection(device.host, device.tcp_port)
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    assert line.startswith(b"$")
    assert device.served


def test_a_camera_is_there(camera_device: MakeSerialDevice) -> None:
    assert Path(camera_device("vimicro/vc0706").port).is_symlink()


def test_a_site_is_all_devices_of_a_configuration(bench: Bench, tmp_path: Path, site: object) -> None:
    config, port = tmp_path / "agent.toml", free_port()
    config.write_text(
        '[[link]]\nname = "bus"\nkind = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\n'
        f'tcp_port = {port}\n[[device]]\nname = "meter-1"\nlink = "bus"\nprofile = "eastron/sdm120"\nunit = 3\n',
        encoding="utf-8",
    )
    made = bench.site(config)
    assert isinstance(made, SimulatedSite)
    meter = made["meter-1"]
    assert made.addresses == {"bus": f"127.0.0.1:{port}"}
    assert ask(meter, bytes.fromhex("0400000002"))[:2] == b"\x04\x04"
    assert [one.point for one in meter.served] == ["voltage"]


def test_the_ioc_has_what_an_agent_has_read(
    bench: Bench,
    broker: BenchBroker,
    ioc: BenchIoc,
    modbus_device: MakeModbusDevice,
    tmp_path: Path,
    oc_agent: list[str],
) -> None:
    """The whole chain, with a broker that is killed meanwhile."""
    meter = modbus_device("eastron/sdm120", name="meter-1")
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[gateway]\nid = "gw-1"\ndata_dir = "{tmp_path}/data"\nruntime_dir = "{tmp_path}/run"\n[site]\noc = "oc-1"\n'
        f'[uplink]\nhost = "127.0.0.1"\nport = {broker.port}\ntls = false\n[clock]\nhold_unsynced_s = 0\n'
        + meter.toml(interval_s=0.5),
        encoding="utf-8",
    )
    with (tmp_path / "agent.log").open("w") as log:
        agent = subprocess.Popen([*oc_agent, "--config", str(config), "run"], stdout=log, stderr=log)
    try:
        before = ioc.wait_for_readings(10, "meter-1")
        broker.kill()
        count = len(meter.requests)
        meter.wait_for_requests(count + 3)
        broker.start()
        after = ioc.wait_for_readings(len(before) + 20, "meter-1")
    finally:
        agent.terminate()
        assert agent.wait(30) == 0
    served = {(one.point, one.value) for one in meter.served}
    assert {(one.point, one.value) for one in after if not one.quality} <= served
    assert ioc.stop().malformed == {}


def put_a_file_where_a_port_comes_back(bench: Bench) -> None:
    device = bench.modbus_device(holding={0: 1}, transport="rtu")
    device.fault("unplug for=0.1")
    port = Path(device.port)
    wait_until(lambda: not port.is_symlink(), 5, "unplugged")
    port.write_text("in the way", encoding="utf-8")
    time.sleep(0.2)


def test_what_a_simulator_cannot_do_fails_the_test_at_its_end(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match="real file"), Bench(tmp_path) as bench:
        put_a_file_where_a_port_comes_back(bench)


def test_what_any_gateway_publishes_is_heard_also_after_an_outage(broker: BenchBroker) -> None:
    heard, others = broker.subscribe("a/+", "b/#"), broker.subscribe("c")

    def publish(topic: str, payload: str, qos: int = 1) -> None:
        single(topic, payload, hostname=broker.host, port=broker.port, qos=qos)

    publish("a/x", '{"value":1}')
    assert [(one.topic, one.json(), one.retained) for one in heard.wait_for(1)] == [("a/x", {"value": 1}, False)]
    broker.kill()
    broker.start()
    wait_until(lambda: publish("b/1/2", "again") or len(heard.messages) > 1, 10, "it is subscribed again")
    assert heard.messages[1].payload == b"again"
    assert not others.messages
    with pytest.raises(AssertionError, match="2 messages on c"):
        others.wait_for(2, timeout_s=0.1)


LIGHT = """
import sys

def test_it():
    found = {name for name in sys.modules if name.partition(".")[0] in ("simulators", "drivers", "agent")}
    assert found == {"simulators", "simulators.pytest_plugin"}
"""


def test_who_asks_for_no_fixture_pays_for_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LIGHT)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


FOREIGN = """
def test_it(modbus_device, faults, pytestconfig):
    assert modbus_device(holding={0: 1}).tcp_port > 0
    assert pytestconfig.getoption("--sim-seed") == 5
"""


def test_any_project_has_the_fixtures_without_an_import(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FOREIGN)
    result = pytester.runpytest_subprocess("-q", "--sim-seed", "5", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
