"""The agent as a process of its own, with the devices of a test and without a broker."""

import json
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract_check import decoded, validator
from processes import Popen, closed_port, python_module, started, wait_until

from agent.configuration import load_configuration
from agent.control import AgentNotRunning, ask_agent
from agent.settings import LinkSettings, Settings
from simulators.testing import SimulatedDevice

OC_AGENT = python_module("agent")
HEAD = """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "run"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
tls = false
drain_s = 0
[clock]
hold_unsynced_s = 0
[outbox]
batch_interval_s = 0.1
"""


@dataclass
class RunningAgent:
    """An agent that runs, and its files."""

    process: Popen
    config: Path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.config.parent / "log").read_text(encoding="utf-8")

    @property
    def settings(self) -> Settings:
        """Its configuration as it is now."""
        return load_configuration(self.config).settings

    def link_settings(self, name: str) -> LinkSettings:
        """One link of it."""
        return next(link for link in self.settings.links if link.name == name)

    def ask(self, verb: str = "status") -> Any:
        """What it answers."""
        return ask_agent(Path(self.settings.gateway.runtime_dir), verb)

    def link(self, name: str) -> dict[str, Any]:
        """One link as `status` has it."""
        found: dict[str, Any] = next(link for link in self.ask()["links"] if link["link"] == name)
        return found

    def wait_for_link(self, name: str) -> None:
        """Until it is up, and its devices answer."""

        def is_up() -> bool:
            link = self.link(name)
            return bool(link["up"]) and all(device["up"] for device in link["devices"])

        wait_until(is_up, 15, f"link {name} is up")

    def events(self) -> list[dict[str, Any]]:
        """What it told the IOC, once it has stopped; all of it is valid by the contract."""
        with closing(sqlite3.connect(self.config.parent / "data" / "outbox.db")) as file:
            payloads = [row[0] for row in file.execute("SELECT payload FROM batch WHERE kind = 'event' ORDER BY seq")]
        messages = [decoded(payload) for payload in payloads]
        for message in messages:
            validator("event").validate(message)
        return [message["event"] for message in messages]

    def stop(self) -> dict[str, Any]:
        """SIGTERM; gives the account that it prints."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, self.log
        account: dict[str, Any] = json.loads(out.splitlines()[-1])
        return account


@contextmanager
def running_agent(
    folder: Path, *devices: SimulatedDevice | str, program: Sequence[str] = OC_AGENT, **keys: Any
) -> Iterator[RunningAgent]:
    """An agent that reads `devices`, each with `keys`, or what is written; ends with the context."""
    config = folder / "agent.toml"
    tables = [device if isinstance(device, str) else device.toml(**keys) for device in devices]
    with closed_port() as port:
        config.write_text("\n".join([HEAD.format(port=port), *tables]), encoding="utf-8")
        with started([*program, "--lang", "en", "--config", str(config), "run"], folder / "log") as process:
            agent = RunningAgent(process, config)
            wait_until(lambda: _answers(agent), 20, "the agent answers")
            yield agent


def _answers(agent: RunningAgent) -> bool:
    assert agent.process.poll() is None, agent.log
    try:
        agent.ask()
    except AgentNotRunning:
        return False
    return True
