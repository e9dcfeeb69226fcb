"""Where the links of a scenario are on this machine: what a file leaves out, and what another file says of real ones.

Pure but for the ports that `Places` takes.
"""

from collections.abc import Mapping
from typing import Any, Final

from simulators.scenario.placeholders import HOST, Places

_SERIAL_TRANSPORTS: Final = ("rtu", "ascii")
_REAL: Final = ("port", "host", "tcp_port", "rs485", "ca_file", "cert_file", "key_file")
"""Keys that mean a place, or hardware, that a simulated link does not have."""


def with_address(link: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """A `[[link]]` with an address: a pty in the work folder, or a free port of this machine, where it has none."""
    name = str(link.get("name", "link"))
    if _is_serial(link):
        return {**link, "port": link.get("port") or f"{places.folder}/ports/{name}"}
    return {**link, "host": link.get("host") or HOST, "tcp_port": link.get("tcp_port") or places.port(f"link {name}")}


def simulated(link: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """A `[[link]]` of a real site, moved to this machine: a port stays a port, and an address an address."""
    kept = {key: value for key, value in link.items() if key not in _REAL}
    if not _is_serial(link):
        kept |= {"host": HOST}
    return with_address(kept, places)


def address(link: Mapping[str, Any]) -> str:
    """The same in words, for `{address:LINK}`: the path of a port, or host:port."""
    return str(link["port"]) if link.get("port") else f"{link.get('host')}:{link.get('tcp_port')}"


def _is_serial(link: Mapping[str, Any]) -> bool:
    if link.get("kind") == "modbus":
        return link.get("transport") in _SERIAL_TRANSPORTS
    return not link.get("host")
