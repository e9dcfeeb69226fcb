"""A capture as a file that `oc-agent decode`, the tests of the profiles and `oc-sim replay` read. Pure.

Promises: each exchange that is written means what stands beside it, or says that it must be refused. No address of
the network is ever in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.cli.capture.recording import Exchange
from agent.cli.capture.redaction import step_of
from drivers.api import DriverSpec, Quality
from drivers.errors import BadReply, DeviceRefused
from drivers.profile import Profile
from drivers.serial.profile import SerialProfile
from drivers.tomltext import toml_text

_HEAD = 'Raw frames and what they mean. `origin`: "device" was captured, "document" was printed.'
Entry = Mapping[str, Any]
"""The keys of one `[[exchange]]`."""


def capture_text(entries: Sequence[Entry], notes: Iterable[str]) -> str:
    """The file."""
    head = "".join(f"# {line}\n" for line in (_HEAD, *notes))
    return head + "".join("\n" + toml_text({"exchange": [entry]}) for entry in entries)


def bare_entry(exchange: Exchange, source: str) -> Entry:
    """The keys of one exchange of which nobody knows what it means."""
    return _said(exchange, is_text=False) | {"source": source, "origin": "device"}


def entry(exchange: Exchange, source: str, spec: DriverSpec, profile: Profile) -> Entry | None:
    """The keys of one exchange with what it means; None where the profile does not understand it."""
    is_text = isinstance(profile, SerialProfile) and profile.frame.is_text
    said = _said(exchange, is_text=is_text) | {"source": source, "origin": "device"}
    if isinstance(profile, SerialProfile) and exchange.request and step_of(profile, exchange.request):
        return said | {"step": True}
    try:
        readings = list(spec.decode(profile, exchange.request, exchange.response))
    except DeviceRefused:
        return said | {"error": True}
    except BadReply:
        return None
    values = {one.point: one.value for one in readings if one.value is not None}
    quality = {one.point: str(one.quality) for one in readings if one.quality is not Quality.GOOD}
    return said | {"values": values} | ({"quality": quality} if quality else {})


def _said(exchange: Exchange, *, is_text: bool) -> dict[str, Any]:
    if exchange.request is None:
        key = "text" if is_text else "stream"
        return {key: _shown(exchange.response, is_text=is_text)}
    asked = "request_text" if is_text else "request"
    said = "text" if is_text else "response"
    return {asked: _shown(exchange.request, is_text=is_text), said: _shown(exchange.response, is_text=is_text)}


def _shown(data: bytes, *, is_text: bool) -> str:
    return data.decode("latin-1") if is_text else data.hex(" ").upper()
