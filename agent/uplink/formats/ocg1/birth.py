"""Births: what this gateway and its devices are, retained at the broker. Pure.

`config` names what the births say of site, devices and points: a batch carries it, so a reader knows which births
its readings belong to. Versions and hardware are not part of it: they change nothing in the meaning of a reading.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from agent import __version__
from agent.health import Hardware
from agent.settings import DeviceSettings, LinkSettings, PolledPoint, Settings
from agent.uplink.formats import Moment

MS_PER_S = 1_000


def config_hash(settings: Settings) -> str:
    """Name the configuration as the IOC sees it: 8 hex digits, the same for the same births."""
    said = {
        "gateway": settings.gateway.id,
        "site": _site(settings),
        "devices": [_device(settings, device) for device in settings.devices],
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:8]


def birth(
    settings: Settings, config: str, moment: Moment, hardware: Hardware, commands: Sequence[str]
) -> dict[str, Any]:
    """The gateway's own birth (contract, `up/birth`); `commands`: what it can be asked for."""
    known = {key: value for key, value in msgspec.structs.asdict(hardware).items() if value}
    return {
        "v": 1,
        "gateway": settings.gateway.id,
        "epoch": moment.epoch,
        "boot": moment.boot,
        "time_ms": moment.time_ms,
        "config": config,
        "agent": {"name": "oc-agent", "version": __version__},
        "site": _site(settings),
        **({"hardware": known} if known else {}),
        "capabilities": {"encodings": ["json", "deflate", "rows"], "commands": list(commands)},
        "devices": [device.name for device in settings.devices],
    }


def device_births(settings: Settings, config: str, moment: Moment) -> dict[str, dict[str, Any]]:
    """The birth of each device by its name (contract, `up/birth/{device}`)."""
    return {
        device.name: {
            "v": 1,
            "gateway": settings.gateway.id,
            "device": device.name,
            "config": config,
            "time_ms": moment.time_ms,
            **_device(settings, device),
        }
        for device in settings.devices
    }


def _site(settings: Settings) -> dict[str, Any]:
    site = settings.site
    return _present({"oc": site.oc, "name": dict(site.name), "location": site.location})


def _device(settings: Settings, device: DeviceSettings) -> dict[str, Any]:
    link = next(link for link in settings.links if link.name == device.link)
    return _present(
        {
            "name": dict(device.label or device.profile.label),
            "link": _link_kind(link),
            "profile": device.profile_name,
            "station": device.station,
            "location": device.location,
            "points": [_point(polled) for polled in device.points],
        }
    )


def _link_kind(link: LinkSettings) -> str:
    """`modbus-rtu`, `modbus-tcp`, `serial`: the kind, and the transport where a kind has several."""
    transport = getattr(link.options, "transport", "")
    return f"{link.spec.kind}-{transport}" if transport else link.spec.kind


def _point(polled: PolledPoint) -> dict[str, Any]:
    point = polled.point
    lowest, highest = point.range or (None, None)
    said = {
        "name": point.name,
        "type": point.wire_type,
        "unit": point.unit,
        "min": lowest,
        "max": highest,
        "interval_ms": round(polled.interval_s * MS_PER_S),
        "wraps_at": point.wraps_at,
        "deadband": polled.deadband,
        "deadband_pct": polled.deadband_pct,
        "heartbeat_ms": None if polled.heartbeat_s is None else round(polled.heartbeat_s * MS_PER_S),
    }
    return {key: value for key, value in said.items() if value is not None}


def _present(said: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value not in (None, "", {})}
