"""A capture is served byte for byte."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from agent_config import HEAD, METER
from hypothesis import given
from hypothesis import strategies as st
from processes import python_module, ready_line, started, stop

from drivers.catalogue import profile_names, shipped_profiles
from simulators.captures.reading import Exchange, capture_file, captured
from simulators.captures.replaying import Replaying

PROFILES = profile_names([shipped_profiles()])


def _heard(replaying: Replaying, data: bytes) -> list[bytes]:
    return [answer.data for answer in replaying.feed(data)]


def shipped(profile: str) -> list[Exchange]:
    return captured(capture_file(shipped_profiles() / f"{profile}.toml"), refused=True)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_capture_that_is_shipped_is_served_as_it_stands(profile: str) -> None:
    exchanges = shipped(profile)
    assert exchanges
    replaying = Replaying(exchanges)
    for one in [one for one in exchanges if one.request is not None]:
        assert list(_heard(replaying, one.request or b"")) == ([one.response] if one.response else [])
    assert replaying.streams == [one.response for one in exchanges if one.request is None]


def test_answers_to_one_request_come_in_turn_and_begin_again() -> None:
    replaying = Replaying([Exchange(b"ask", b"one", is_step=False), Exchange(b"ask", b"two", is_step=False)])
    assert [*_heard(replaying, b"askask"), *_heard(replaying, b"ask")] == [b"one", b"two", b"one"]


@given(st.binary(max_size=60))
def test_a_request_in_pieces_behind_noise_is_answered_and_noise_is_not(noise: bytes) -> None:
    request = b"\x01\x04\x00\x00\x00\x02\x71\xcb"
    replaying = Replaying([Exchange(request, b"answer", is_step=False)])
    answers = list(_heard(replaying, noise.replace(b"\xcb", b"")))
    for byte in request:
        answers += _heard(replaying, bytes([byte]))
    assert answers == [b"answer"]


@pytest.mark.parametrize("how", [(), ("--pty", "tty")])
def test_the_agent_reads_what_the_capture_holds(how: tuple[str, ...], tmp_path: Path) -> None:
    command = python_module("simulators", "replay", "eastron/sdm120", *how)
    with started(command, tmp_path / "log", cwd=tmp_path) as replay:
        ready = ready_line(replay)
        assert ready["requests"] == 1
        _configure(tmp_path, ready["address"])
        agent = [sys.executable, "-m", "agent", "--config", str(tmp_path / "agent.toml"), "read", "meter-1", "--json"]
        done = subprocess.run(agent, capture_output=True, text=True, timeout=60, check=False)
        assert stop(replay) == ""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "230.2" in done.stdout


def test_what_a_device_sends_unasked_comes_in_turn(tmp_path: Path) -> None:
    frames = '[[exchange]]\ntext = "one\\r\\n"\n[[exchange]]\ntext = "bad\\r\\n"\nerror = true\n'
    (tmp_path / "two.capture.toml").write_text(frames, encoding="utf-8")
    for more, expected in (((), {"one\r\n", "bad\r\n"}), (("--sound",), {"one\r\n"})):
        command = python_module("simulators", "replay", "two.capture.toml", "--every", "0.05", *more)
        with started(command, tmp_path / "log", cwd=tmp_path) as replay:
            host, _, port = ready_line(replay)["address"].removeprefix("tcp://").partition(":")
            script = f"import socket; f = socket.create_connection(({host!r}, {port})).makefile('rb')\n"
            script += "print([f.readline().decode() for _ in range(3)])"
            heard = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
            )
            stop(replay)
        lines = ast.literal_eval(heard.stdout)
        assert set(lines) == expected
        assert lines[0] == lines[2]


@pytest.mark.parametrize("content", ["[[exchange", "exchange = 1", '[[exchange]]\nrequest = "xx"\nresponse = "00"', ""])
def test_a_file_that_is_no_capture_is_said(content: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.capture.toml"
    file.write_text(content, encoding="utf-8")
    command = python_module("simulators", "replay", str(file))
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def _configure(folder: Path, address: str) -> None:
    host, is_tcp, port = address.removeprefix("tcp://").partition(":")
    line = f'transport = "rtu-over-tcp"\nhost = "{host}"\ntcp_port = {port}' if is_tcp else ""
    meter = METER.replace('transport = "tcp"\nhost = "127.0.0.1"\ntcp_port = 1', line or _serial(folder / address))
    assert meter != METER
    (folder / "agent.toml").write_text(f'{HEAD}{meter}points = ["voltage"]\n', encoding="utf-8")


def _serial(port: Path) -> str:
    return f'transport = "rtu"\nport = "{port}"'
