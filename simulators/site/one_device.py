"""A site of one device by its profile, without a configuration."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from drivers.catalogue import ProfileError, load_profile
from drivers.registry import driver_specs
from drivers.tomltext import toml_text
from simulators.endpoints import CannotServe, free_port
from simulators.problems import SiteError
from simulators.site.profiles import profile_file
from simulators.site.reading import Site, load_site

HOST: Final = "127.0.0.1"
DEFAULT_BAUD: Final = 9600
DEFAULT_UNITS: Final = {"modbus": 1}
"""Others have an address of their own where nothing is said."""


@dataclass(frozen=True)
class Place:
    """Where a device is: at a `port`, else at a `tcp_port` of 127.0.0.1 (0: a free one).

    `transport` is that of Modbus; empty: `rtu` at a port, else `tcp`. Other kinds are there behind a serial server.
    """

    port: Path | None = None
    tcp_port: int = 0
    transport: str = ""

    def keys(self, kind: str, link: str) -> dict[str, Any]:
        """The keys of the `[[link]]`."""
        transport = {"transport": self.transport or ("rtu" if self.port else "tcp")} if kind == "modbus" else {}
        head = {"name": link, "kind": kind, **transport}
        if self.port is not None:
            return head | {"port": str(self.port.absolute()), "baud": DEFAULT_BAUD}
        return head | {"host": HOST, "tcp_port": self.tcp_port or free_port(HOST)}


def one_device(
    profile: str, name: str, unit: int | None, place: Place, *, link: str, kind: str = ""
) -> tuple[Site, dict[str, Any]]:
    """A site with this device only, and the keys of its link; raises `SiteError`.

    Where a `kind` is demanded and the profile is of another one, raises `CannotServe`.
    """
    file, real_kind = _profile(profile)
    if kind not in ("", real_kind):
        raise CannotServe(
            f"{profile} is a profile of kind {real_kind}, not {kind}: choose another, or {real_kind}_device"
        )
    keys = place.keys(real_kind, link)
    unit = unit if unit is not None else DEFAULT_UNITS.get(real_kind)
    device = {"name": name, "link": link, "profile": str(file)} | ({} if unit is None else {"unit": unit})
    return _read(toml_text({"link": [keys], "device": [device]})), keys


def _profile(name: str) -> tuple[Path, str]:
    """The file of a profile, and the kind of driver that it is for; raises `SiteError`."""
    file = profile_file(name)
    try:
        return file, load_profile(file, driver_specs()).kind
    except ProfileError as err:
        raise SiteError(err.problems) from err


def _read(text: str) -> Site:
    """As `oc-sim run` reads it from a file."""
    with tempfile.TemporaryDirectory(prefix="oc-sim-device-") as folder:
        file = Path(folder) / "site.toml"
        file.write_text(text, encoding="utf-8")
        return load_site(file)
