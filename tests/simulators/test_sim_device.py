"""`oc-sim device`: one device by its profile, where a gateway finds it."""

import argparse
import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_config import HEAD
from processes import python_module, ready_line, started, stop

from drivers.catalogue import profile_names, shipped_profiles
from simulators.kinds import serve_site
from simulators.verbs.device import add_arguments, site_of
from simulators.world import World

PROFILES = profile_names([shipped_profiles()])


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(given)


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_profile_that_is_shipped_stands_up_on_a_port_and_on_a_pty(profile: str, tmp_path: Path) -> None:
    pty = tmp_path / "tty"
    for given in ((), ("--pty", str(pty))):
        site, link = site_of(arguments(profile, *given))
        async with serve_site(site, World()) as addresses:
            if given:
                assert pty.is_symlink()
            else:
                _, writer = await asyncio.open_connection("127.0.0.1", link["tcp_port"])
                writer.close()
            assert list(addresses) == ["simulated"]


@pytest.mark.parametrize("how", [("--tcp", "0"), ("--rtu-over-tcp", "0"), ("--pty", "tty")])
def test_the_agent_reads_it_at_the_link_that_the_first_line_says(how: tuple[str, str], tmp_path: Path) -> None:
    command = python_module("simulators", "device", "eastron/sdm120", *how, "--unit", "7", "--truth", "truth.jsonl")
    with started(command, tmp_path / "log", cwd=tmp_path) as process:
        ready = ready_line(process)
        assert (ready["unit"], ready["points"], ready["link"]["kind"]) == (7, 13, "modbus")
        (tmp_path / "agent.toml").write_text(_configuration(ready["link"]), encoding="utf-8")
        agent = [sys.executable, "-m", "agent", "--config", str(tmp_path / "agent.toml"), "read", "device-1", "--json"]
        done = subprocess.run(agent, capture_output=True, text=True, timeout=60, check=False)
        assert stop(process) == ""
    assert done.returncode == 0, done.stderr
    served = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {one["point"] for one in served} >= {"voltage", "energy_total"}
    assert f"{next(one['value'] for one in served if one['point'] == 'voltage')}" in done.stdout


def test_a_profile_that_there_is_not_is_said(tmp_path: Path) -> None:
    command = python_module("simulators", "device", "eastron/sdm12")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert done.returncode == 78
    assert 'there is no profile "eastron/sdm12"' in done.stderr
    assert "eastron/sdm120" in done.stderr


def _configuration(link: dict[str, Any]) -> str:
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in link.items())
    return f"""{HEAD}\
[[link]]
{keys}[[device]]
name = "device-1"
link = "{link["name"]}"
profile = "eastron/sdm120"
unit = 7
"""
