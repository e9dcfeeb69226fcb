"""`oc-agent watch`: on a real terminal, in a pipe, as JSON."""

import json
import os
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import python_module, wait_until
from running_agent import RunningAgent, running_agent
from terminal import CTRL_C, on_terminal

from agent.cli.borrowing import borrowed
from agent.cli.layout import cell_width
from agent.cli.messages import set_language
from agent.cli.output import Failed
from agent.cli.watch.choosing import chosen
from agent.cli.watch.page import page_of
from simulators.testing import Bench, MakeModbusDevice

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def _point(name: str, value: Any = 1.5, quality: str = "") -> dict[str, Any]:
    return {"point": name, "value": value, "unit": "V", "quality": quality, "age_s": 0.4}


def _device(name: str, *points: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"device": name, "up": True, "error": None, "points": list(points), **more}


def _link(name: str, *devices: dict[str, Any], **more: Any) -> dict[str, Any]:
    rates = {"busy_pct": 36.4, "answered_pct": 99.8}
    return {
        "link": name,
        "endpoint": f"/dev/{name}",
        "up": True,
        "error": None,
        "lent": None,
        **rates,
        "devices": list(devices),
        **more,
    }


REPORT: dict[str, Any] = {
    "gateway": "dng-hc-01",
    "version": "1.0.0",
    "clock": "sync",
    "time_ms": 1_795_432_800_000,
    "uplink": {"connected": False, "broker": "mqtts://ioc:8883", "error": "no route to host", "ack": "ioc", "alarm": "", "fault": None},
    "outbox": {"undelivered": 7, "oldest_s": 42.0, "bytes": 50_540_000, "max_bytes": 2_000_000_000},
    "account": {"stored": 88, "lost": {"damaged": 5}},
    "links": [
        _link("bus-1", _device("m1", _point("voltage"), _point("current", None, "com")), _device("m2", _point("voltage"))),
        _link("bus-2", _device("m3", error="no reply", up=False), up=False, error="no such port"),
        _link("bus-3", _device("m4", _point("voltage"))),
    ],
}  # fmt: skip


def _texts(report: dict[str, Any] = REPORT, width: int = 80, height: int | None = None) -> list[str]:
    return [line.text for line in page_of(report).lines(width, height)]


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    set_language("en")
    yield
    set_language("en")


def test_the_page_has_values_lines_outbox_and_uplink() -> None:
    text = "\n".join(_texts())
    for words in (
        "not connected: no route to host", "7 batches wait, 88 readings, the oldest for 42 s; 50.5 MB of 2 GB",
        "lost since the outbox was made: 5 readings", "link bus-1 (/dev/bus-1): up; line busy 36.4 %, answered 99.8 %",
        "DOWN: no such port", "no reply",
    ):  # fmt: skip
        assert words in text
    assert ["m1", "voltage", "1.5", "V", "good", "0.4", "s"] in [line.split() for line in _texts()]
    assert {line.text.split()[0] for line in page_of(REPORT).lines() if line.bad} >= {"uplink", "m1", "m3"}


@pytest.mark.parametrize("language", ["en", "vi"])
@pytest.mark.parametrize("width", [80, 41, 24])
def test_no_line_is_wider_than_the_window(language: str, width: int) -> None:
    set_language(language)
    assert max(map(cell_width, _texts(width=width))) <= width


def test_what_has_no_room_is_counted() -> None:
    for height in range(1, len(_texts())):
        shown = _texts(height=height)
        assert len(shown) == height
        rows = sum(line.split()[:1] in (["m1"], ["m2"], ["m3"], ["m4"]) for line in shown)
        if rows < 5:
            assert shown[-1].startswith(f"… {5 - rows} more")
    assert "more" not in "\n".join(_texts(height=len(_texts())))


def test_certain_devices_and_only_what_is_bad() -> None:
    def left(*names: str, bad: bool = False) -> dict[str, list[str]]:
        links = chosen(REPORT, names, only_bad=bad)["links"]
        return {link["link"]: [p["point"] for d in link["devices"] for p in d["points"]] for link in links}

    assert left() == {"bus-1": ["voltage", "current", "voltage"], "bus-2": [], "bus-3": ["voltage"]}
    assert left("m2", "m4") == {"bus-1": ["voltage"], "bus-3": ["voltage"]}
    assert left(bad=True) == {"bus-1": ["current"], "bus-2": []}
    assert left("m1", "m4", bad=True) == {"bus-1": ["current"]}
    assert _texts(chosen(REPORT, ["m4"], only_bad=True))[-1] == "nothing of what was asked for is bad"
    with pytest.raises(Failed, match='no device "m9"; it has: m1, m2, m3, m4'):
        chosen(REPORT, ["m9"], only_bad=False)


@pytest.fixture(scope="module")
def agent(session_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that reads thirteen points each second."""
    meter = session_bench.modbus_device("eastron/sdm120", name="watched-1")
    with running_agent(tmp_path_factory.mktemp("watch"), meter, interval_s=1) as agent:
        agent.wait_for_link(meter.link["name"])
        yield agent


def _command(agent: RunningAgent, *arguments: str) -> list[str]:
    return python_module("agent", "--lang", "en", "--config", agent.config, "watch", *arguments)


def _watched(agent: RunningAgent, *arguments: str) -> tuple[int, list[str], str]:
    done = subprocess.run(_command(agent, *arguments), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_in_a_pipe_the_table_comes_once_and_without_colour(agent: RunningAgent) -> None:
    code, lines, err = _watched(agent)
    assert (code, err) == (0, "")
    assert sum("voltage" in line for line in lines) == 1
    assert "\x1b" not in "".join(lines)


def test_json_is_a_document_a_line_and_its_ages_grow(agent: RunningAgent) -> None:
    code, lines, err = _watched(agent, "--json", "--count", "3", "--interval", "0.2", "--device", "watched-1")
    assert (code, len(lines), err) == (0, 3, "")
    links = [json.loads(line)["links"] for line in lines]
    points = [{p["point"]: p for p in found[0]["devices"][0]["points"]} for found in links]
    assert {"value", "unit", "quality", "age_s"} <= points[0]["voltage"].keys()
    assert links[0][0]["answered_pct"] == 100.0
    assert 0 <= links[0][0]["busy_pct"] <= 100


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--count", "0"], "1 or more"), (["--interval", "0"], "0.2 to 3600")]
)
def test_numbers_that_cannot_be_are_usage(agent: RunningAgent, arguments: list[str], words: str) -> None:
    code, _, err = _watched(agent, *arguments)
    assert code == 2
    assert words in err


def test_ctrl_c_ends_it_and_leaves_the_terminal_as_it_was(agent: RunningAgent) -> None:
    with on_terminal(_command(agent), 40) as (terminal, process):
        terminal.wait_for("voltage")
        assert all(len(line) <= 80 for line in terminal.screen)
        terminal.type(CTRL_C)
        assert process.wait(10) == 0
        wait_until(lambda: terminal.heard.endswith(LEAVE), 5, "the first screen is back")
        assert (terminal.heard.count(ENTER), terminal.heard.count(LEAVE)) == (1, 1)
        assert "\x1b[?25h" in terminal.heard
        assert termios.tcgetattr(terminal.slave) == terminal.modes
        assert "Traceback" not in terminal.heard


def test_a_window_of_another_size_is_filled_at_once(agent: RunningAgent) -> None:
    with on_terminal(_command(agent, "--interval", "600"), 40) as (terminal, process):
        terminal.wait_for("energy_total")
        terminal.resize(9, 80)
        terminal.wait_for(" more: a higher window")
        assert len(terminal.screen) == 9
        terminal.resize(40, 44)
        wait_until(
            lambda: len(terminal.screen) > 20 and max(map(len, terminal.screen)) <= 44, 10, "all of it, narrower"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        wait_until(lambda: terminal.heard.endswith(LEAVE), 5, "the first screen is back")


def test_a_stop_by_ctrl_z_gives_the_terminal_back_for_that_time(agent: RunningAgent) -> None:
    with on_terminal(_command(agent, "--interval", "0.2"), 40) as (terminal, process):
        terminal.wait_for("voltage")
        os.kill(process.pid, signal.SIGTSTP)
        wait_until(lambda: terminal.screen == [], 10, "the first screen is back")
        os.kill(process.pid, signal.SIGCONT)
        terminal.wait_for("voltage")


def test_colour_is_for_what_is_bad_and_only_where_it_is_wanted(agent: RunningAgent) -> None:
    red = "\x1b[31m"  # the uplink is not connected
    with on_terminal(_command(agent, "--count", "1")) as (terminal, process):
        assert process.wait(20) == 0
        wait_until(lambda: terminal.heard.endswith(LEAVE), 5, "its end")
        assert red in terminal.heard
    with on_terminal(_command(agent, "--count", "1"), env=os.environ | {"NO_COLOR": "1"}) as (terminal, process):
        assert process.wait(20) == 0
        wait_until(lambda: terminal.heard.endswith(LEAVE), 5, "its end")
        assert red not in terminal.heard


def test_an_agent_that_goes_away_is_said_and_who_has_its_line_before(
    tmp_path: Path, modbus_device: MakeModbusDevice
) -> None:
    meter = modbus_device("eastron/sdm120", name="m1")
    with running_agent(tmp_path, meter, interval_s=1) as agent:
        agent.wait_for_link(meter.link["name"])
        with on_terminal(_command(agent, "--interval", "0.2"), 40) as (terminal, process):
            terminal.wait_for("voltage")
            with borrowed(agent.settings, agent.link_settings(meter.link["name"]), "scan"):
                terminal.wait_for(f"lent to scan, pid {os.getpid()}")
            terminal.wait_for(": up")
            agent.stop()
            terminal.wait_for("no agent is running")
            assert process.poll() is None
        code, lines, err = _watched(agent)
        assert (code, lines, "no agent is running" in err) == (1, [], True)
