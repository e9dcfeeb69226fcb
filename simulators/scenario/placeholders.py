"""What `{folder}`, `{port:ups}`, `{broker_url}` stand for in a scenario, in COMMAND, and in the environment.

Only what is known is replaced: other braces, as in JSON, stay as they are.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators.endpoints import free_port

HOST = "127.0.0.1"
_KNOWN = re.compile(
    r"\{(folder|data|run|config|broker_host|broker_port|broker_url|ca_file|python|seed|(?:port|address):[A-Za-z0-9][\w.-]*)\}"
)


@dataclass
class Places:
    """Folders, ports and addresses of one run. The gateway keeps its files in `data`; `run` is on a RAM disk.

    `ca_file` is to be trusted where the broker speaks TLS.
    """

    folder: Path
    data: Path
    run: Path
    broker_port: int = 1883
    protocol: str = "5"
    ca_file: Path | None = None
    seed: int = 0
    addresses: Mapping[str, str] = field(default_factory=dict)
    take_port: Callable[[], int] = free_port
    ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    def nowhere(cls) -> "Places":
        """To look at a scenario that is not run yet: no port is taken."""
        folder = Path("/tmp/oc-sim-check")  # noqa: S108 # a name only
        return cls(folder, folder / "data", folder / "run", take_port=lambda: 1)

    @property
    def config(self) -> Path:
        """The `agent.toml` that is written from the scenario."""
        return self.folder / "agent.toml"

    def port(self, name: str) -> int:
        """The free TCP port of this name, the same each time."""
        if name not in self.ports:
            self.ports[name] = self.take_port()
        return self.ports[name]

    def fill(self, text: str) -> str:
        """`text` with every placeholder replaced that is known."""
        return _KNOWN.sub(lambda found: str(self._value(found[1], found[0])), text)

    def fill_all(self, value: Any) -> Any:
        """The same in every text of a table; a text that is nothing but a port becomes a number."""
        if isinstance(value, str):
            alone = _KNOWN.fullmatch(value)
            return self._value(alone[1], alone[0]) if alone else self.fill(value)
        if isinstance(value, Mapping):
            return {key: self.fill_all(one) for key, one in value.items()}
        return [self.fill_all(one) for one in value] if isinstance(value, list) else value

    def command(self, argv: Sequence[str]) -> list[str]:
        """COMMAND as it is run."""
        return [self.fill(one) for one in argv]

    def environment(self) -> dict[str, str]:
        """What COMMAND finds in its environment: `OC_SIM_CONFIG`, `OC_SIM_BROKER_PORT`, …"""
        names = ("config", "folder", "data", "run", "broker_host", "broker_port", "broker_url", "ca_file")
        return {f"OC_SIM_{name.upper()}": str(self._value(name, "")) for name in names}

    def _value(self, name: str, otherwise: str) -> str | int:
        kind, _, which = name.partition(":")
        if which:
            return self.port(which) if kind == "port" else self.addresses.get(which, otherwise)
        if name in ("folder", "data", "run", "config"):
            return str(getattr(self, name))
        if name == "broker_url":
            return f"mqtt{'s' if self.ca_file else ''}://{HOST}:{self.broker_port}"
        if name in ("ca_file", "python"):
            return str(self.ca_file or "") if name == "ca_file" else sys.executable
        return HOST if name == "broker_host" else self.broker_port if name == "broker_port" else self.seed
