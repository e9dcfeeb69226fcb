"""`oc-sim run` stands up what the agent's configuration names, says where, and ends everything."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulators.endpoints import CannotServe, free_port
from simulators.kinds import serve_site
from simulators.problems import SiteError
from simulators.site.reading import load_site

SITE = """
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {tcp}

[[link]]
name = "tunnel"
kind = "modbus"
transport = "rtu-over-tcp"
host = "127.0.0.1"
tcp_port = {tunnel}

[[link]]
name = "bus"
kind = "modbus"
transport = "rtu"
port = "{folder}/ports/bus"

[[device]]
name = "m1"
link = "plc"
unit = 1
profile = "test/meter"

[[device]]
name = "m2"
link = "plc"
unit = 2
profile = "test/meter"

[[device]]
name = "m3"
link = "bus"
unit = 1
profile = "test/meter"

[[device]]
name = "spare"
link = "bus"
unit = 9
profile = "test/meter"
enabled = false
"""
DROP_IN = """
[[device]]
name = "m4"
link = "tunnel"
unit = 1
profile = "profiles/test/meter.toml"
"""
OC_SIM = (sys.executable, "-m", "simulators")
TIMEOUT_S = 10.0


@pytest.fixture
def config(tmp_path: Path, meter_file: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(SITE.format(tcp=free_port(), tunnel=free_port(), folder=tmp_path), encoding="utf-8")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10-more.toml").write_text(DROP_IN, encoding="utf-8")
    return file


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen((*OC_SIM, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _failed(*arguments: str) -> tuple[int, str]:
    done = subprocess.run((*OC_SIM, *arguments), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.returncode, done.stderr


def test_the_devices_of_the_file_and_of_its_drop_ins_are_found(config: Path) -> None:
    site = load_site(config)
    assert [(link.name, [d.name for d in link.devices]) for link in site.links] == [
        ("plc", ["m1", "m2"]),
        ("tunnel", ["m4"]),
        ("bus", ["m3"]),
    ]


def test_every_problem_of_the_files_is_said_at_once(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    text = text.replace('transport = "tcp"', 'transport = "smoke"').replace(
        '"test/meter"\n\n[[device]]\nname = "m3"', '"no/such"\n\n[[device]]\nname = "m3"'
    )
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SiteError) as caught:
        load_site(config)
    assert any("smoke" in str(p) and p.line == 5 for p in caught.value.problems)


def test_two_devices_with_one_unit_id_are_a_problem(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("unit = 2", "unit = 1"), encoding="utf-8")
    with pytest.raises(SiteError, match="unit"):
        load_site(config)


async def test_a_site_gives_the_real_address_of_each_link(config: Path, moment: Any, mbap_request: Any) -> None:
    async with serve_site(load_site(config), moment.world()) as addresses:
        assert sorted(addresses) == ["bus", "plc", "tunnel"]
        assert Path(addresses["bus"]).is_char_device()
        host, _, port = addresses["plc"].rpartition(":")
        with await asyncio.to_thread(socket.create_connection, (host, int(port)), TIMEOUT_S) as sock:
            for unit in (1, 2):
                answer = await asyncio.to_thread(mbap_request, sock, unit, bytes.fromhex("0400000002"))
                assert answer[:2] == b"\x04\x04"
    assert not Path(addresses["bus"]).is_symlink()
    assert {s.device for s in moment.served} == {"m1", "m2"}


async def test_what_stands_already_is_taken_down_where_one_link_fails(
    config: Path, moment: Any, tmp_path: Path
) -> None:
    (tmp_path / "ports").mkdir()
    (tmp_path / "ports" / "bus").write_text("a file")
    with pytest.raises(CannotServe, match="ports/bus"):
        async with serve_site(load_site(config), moment.world()):
            pass
    port = load_site(config).links[0].options.tcp_port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_says_when_it_is_ready_and_ends_everything_at_a_signal(
    config: Path, tmp_path: Path, number: signal.Signals, mbap_request: Callable[..., bytes], wait_for: Any
) -> None:
    truth = tmp_path / "served.jsonl"
    with _running("run", "--config", str(config), "--truth", str(truth)) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert (ready["ready"], ready["pid"], ready["devices"]) == (True, process.pid, 4)
        host, _, port = ready["links"]["plc"].rpartition(":")
        with socket.create_connection((host, int(port)), TIMEOUT_S) as sock:
            mbap_request(sock, 1, bytes.fromhex("0400000002"))
        wait_for(lambda: truth.stat().st_size, TIMEOUT_S)
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 0
    (served,) = (json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines())
    assert set(served) == {"device", "point", "value", "time_ms"}
    assert (served["device"], served["point"]) == ("m1", "voltage")
    assert not Path(ready["links"]["bus"]).is_symlink()


def test_exit_codes_tell_usage_configuration_and_failure_apart(config: Path, tmp_path: Path) -> None:
    assert _failed("run")[0] == 2
    assert _failed("dance")[0] == 2
    code, text = _failed("run", "--config", str(tmp_path / "missing.toml"))
    assert (code, "missing.toml" in text) == (78, True)
    (tmp_path / "ports").mkdir()
    (tmp_path / "ports" / "bus").write_text("a file")
    code, text = _failed("run", "--config", str(config))
    assert (code, "Traceback" in text, "ports/bus" in text) == (1, False, True)
