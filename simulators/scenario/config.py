"""An `agent.toml` for the devices of a scenario, and what a judge must know of each device.

Pure but for finding profiles.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.catalogue import find_profile, profile_folders
from drivers.serial.profile import SerialProfile
from drivers.tomlfile import Section
from simulators.scenario.evidence import DeviceFacts
from simulators.scenario.placeholders import HOST, Places
from simulators.site.reading import Site, SiteDevice

GATEWAY = "scenario"
INTERVAL_S = 10.0
"""What the agent reads by, where a device does not say."""


def agent_config(root: Section, site: Site, places: Places, folder: Path) -> dict[str, Any]:
    """Everything that stands in the `agent.toml`; what `[agent]` says goes over it, table by table."""
    profiles = {device.name: _profile_name(device, places.folder) for device in site.devices}
    devices = [dict(device.data) for device in root.children("device")]
    for device in devices:
        name = str(device.get("name"))
        device["profile"] = profiles.get(name, _elsewhere(device.get("profile"), folder))
    own = {
        "gateway": {"id": GATEWAY, "data_dir": str(places.data), "runtime_dir": str(places.run)},
        "site": {"oc": "oc-scenario"},
        "uplink": {
            "host": HOST,
            "port": places.broker_port,
            "protocol": places.protocol,
            **_tls(places),
            "keepalive_s": 10,
        },
        "clock": {"hold_unsynced_s": 0},
        "link": [dict(link.data) for link in root.children("link")],
        "device": devices,
    }
    return _over(own, root.child("agent").data)


def device_facts(root: Section, site: Site) -> dict[str, DeviceFacts]:
    """By device. Points with a deadband need not arrive; of those left out in `points` none does."""
    written = {str(section.data.get("name")): section.data for section in root.children("device")}
    found: dict[str, DeviceFacts] = {}
    for link in site.links:
        for device in link.devices:
            keys = written.get(device.name, {})
            listed = keys.get("points")
            every = {point.name for point in device.profile.point if listed is None or point.name in listed}
            quiet = keys.get("deadband")
            found[device.name] = DeviceFacts(
                name=device.name,
                link=link.name,
                points=frozenset(every - set(quiet if isinstance(quiet, dict) else ())),
                interval_s=_interval(keys.get("interval_s")),
                intervals_s={point.name: point.interval_s for point in device.profile.point if point.interval_s},
                asked=not isinstance(device.profile, SerialProfile) or device.profile.is_asked,
            )
    return found


def _interval(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else INTERVAL_S


def _tls(places: Places) -> dict[str, Any]:
    return {"tls": True, "ca_file": str(places.ca_file)} if places.ca_file else {"tls": False}


def _profile_name(device: SiteDevice, folder: Path) -> str:
    """Its name where the agent finds it by that, else its whole path."""
    name = f"{device.profile_file.parent.name}/{device.profile_file.stem}"
    found = find_profile(name, folder, profile_folders(folder))
    same = found is not None and found.resolve() == device.profile_file.resolve()
    return name if same else str(device.profile_file.resolve())


def _elsewhere(profile: Any, folder: Path) -> Any:
    is_path = isinstance(profile, str) and profile.endswith(".toml")
    return str((folder / profile).resolve()) if is_path else profile


def _over(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
