"""What a new configuration changes of the one that runs. Pure.

Compared is what was loaded, not the text of files: a profile that has changed is a device that has changed, and another
comment is nothing. What a running process cannot change is named, and then nothing of the new configuration is applied.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from agent.settings import DeviceSettings, LinkSettings, Settings

TABLES: Final = ("gateway", "site", "uplink", "outbox", "clock", "log")
FIXED_TABLES: Final = frozenset({"gateway"})
FIXED_KEYS: Final = frozenset({"outbox.max_bytes"})
"""What is built upon at the start only: the names of topics and files, and how long the open outbox file may become."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Names of links or devices, by what a change means to them."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The difference between two configurations. `links` are those that are polled.

    `reopened`: changed links whose port or address is another, so that it is closed and opened; the others stay open.
    `keys`: what else has changed, as it is written (`uplink.port`). `refused`: those of them that need a restart.
    """

    links: Parts
    devices: Parts
    reopened: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[str, ...]:
        return tuple(key for key in self.keys if key in FIXED_KEYS or key.partition(".")[0] in FIXED_TABLES)

    @property
    def uplink(self) -> tuple[str, ...]:
        """Keys of the uplink that have changed; where there is none, its connection is kept."""
        return tuple(key for key in self.keys if key.startswith("uplink."))

    @property
    def is_none(self) -> bool:
        parts = (self.links, self.devices)
        return not (self.keys or any(part.added or part.removed or part.changed for part in parts))


def change_between(before: Settings, after: Settings) -> Change:
    """What changes where `after` takes the place of `before`."""
    links_before, links_after = _polled(before), _polled(after)
    parts = _parts(links_before, links_after)
    return Change(
        links=parts,
        devices=_parts(_named(before), _named(after)),
        reopened=tuple(name for name in parts.changed if links_before[name][0] != links_after[name][0]),
        keys=tuple(key for table in TABLES for key in _keys(table, getattr(before, table), getattr(after, table))),
    )


def settings_hash(settings: Settings) -> str:
    """Name everything that was loaded: 12 hex digits, the same for the same settings, in every process."""
    links = [(link.name, link.spec.kind, link.options) for link in settings.links]
    tables = [getattr(settings, table) for table in TABLES]
    said = msgspec.json.encode([tables, links, settings.devices], enc_hook=str, order="deterministic")
    return hashlib.sha256(said).hexdigest()[:12]


def _polled(settings: Settings) -> dict[str, tuple[LinkSettings, tuple[DeviceSettings, ...]]]:
    return {link.name: (link, devices) for link in settings.links if (devices := settings.on_link(link.name))}


def _named(settings: Settings) -> dict[str, DeviceSettings]:
    return {device.name: device for device in settings.devices}


def _parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Parts:
    both = [name for name in after if name in before]
    return Parts(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in both if before[name] != after[name]),
        kept=tuple(name for name in both if before[name] == after[name]),
    )


def _keys(table: str, before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    names = before.__struct_fields__
    return [f"{table}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
