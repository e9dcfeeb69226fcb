"""A configuration that is being written: its tables, as they will stand in the file."""

from typing import Any

import msgspec

from agent.settings import GatewaySettings, SiteSettings, UplinkSettings
from drivers.tomlfile import wrong_value

Table = dict[str, Any]

OF_TABLE: dict[str, type[msgspec.Struct]] = {"gateway": GatewaySettings, "site": SiteSettings, "uplink": UplinkSettings}


class Draft(msgspec.Struct, kw_only=True):
    """What is known so far. `password` goes into a file of its own, and never into the configuration."""

    gateway: Table = {}
    site: Table = {}
    uplink: Table = {}
    links: list[Table] = []
    devices: list[Table] = []
    password: str = ""

    def names(self) -> set[str]:
        """The names that links and devices have taken."""
        return {str(one.get("name")) for one in (*self.links, *self.devices)}

    def free_name(self, stem: str) -> str:
        """`stem-1`, or the next number that is free."""
        taken = self.names()
        return next(name for i in range(1, len(taken) + 2) if (name := f"{stem}-{i}") not in taken)


def wrong(table: str, key: str, value: object) -> str:
    """What is wrong with a value for `table.key`, in English; "" where nothing is."""
    return wrong_value(OF_TABLE[table], key, value)
