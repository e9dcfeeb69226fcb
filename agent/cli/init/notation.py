"""How brokers, links, devices and places are written in one word: on the command line, and as answers. Pure.

Raises `NotUnderstood` with what to write instead.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from agent.cli.messages import tr

Table = dict[str, Any]

_SCHEMES: Final[Mapping[str, Table]] = {
    "mqtts": {},
    "mqtt": {"tls": False, "port": 1883},
    "wss": {"transport": "websockets", "port": 443},
    "ws": {"transport": "websockets", "tls": False, "port": 80},
}
KINDS: Final[Mapping[str, Table]] = {
    "rtu": {"kind": "modbus", "transport": "rtu"},
    "ascii": {"kind": "modbus", "transport": "ascii"},
    "tcp": {"kind": "modbus", "transport": "tcp"},
    "rtu-over-tcp": {"kind": "modbus", "transport": "rtu-over-tcp"},
    "udp": {"kind": "modbus", "transport": "udp"},
    "tls": {"kind": "modbus", "transport": "tls"},
    "serial": {"kind": "serial"},
    "camera": {"kind": "camera"},
}
"""What stands before the colon of a link."""
_FORMAT = re.compile(r"([78])([NEO])([12])", re.IGNORECASE)
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}


class NotUnderstood(ValueError):
    """What was written means nothing; the message says what to write."""


def broker(text: str) -> Table:
    """`mqtts://host:8883` as keys of [uplink]; a host alone is mqtts, `mqtt` is without TLS, `wss` over WebSockets."""
    try:
        parts = urlsplit(text if "://" in text else f"mqtts://{text}")
        port = parts.port
    except ValueError as err:
        raise NotUnderstood(tr("write the address like mqtts://ioc.example.vn:8883")) from err
    if parts.username is not None or parts.password is not None:
        raise NotUnderstood(tr("no name and no password in the address: they would be seen by others"))
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise NotUnderstood(tr("write the address like mqtts://ioc.example.vn:8883"))
    found = {"host": parts.hostname, **_SCHEMES[parts.scheme]}
    if port:
        found["port"] = port
    if parts.path.strip("/") and "transport" in found:
        found["path"] = parts.path
    return found


def link(text: str) -> Table:
    """`bus-1=rtu:/dev/ttyUSB0,9600,8N1` or `plc=tcp:192.0.2.10:502` as one `[[link]]`."""
    name, is_named, rest = text.partition("=")
    kind, is_kind, place = rest.partition(":")
    if not (is_named and is_kind and name and place):
        raise NotUnderstood(tr("write a link like bus-1=rtu:/dev/ttyUSB0,9600,8N1 or plc=tcp:192.0.2.10:502"))
    if kind not in KINDS:
        raise NotUnderstood(tr("{kind} is no kind of link: write one of {known}", kind=kind, known=", ".join(KINDS)))
    return {"name": name, **KINDS[kind], **endpoint(place)}


def endpoint(text: str) -> Table:
    """`/dev/…,9600,8N1` as the keys of a serial port, `host:port` as those of an address."""
    place, *settings = (part.strip() for part in text.split(","))
    if not place.startswith("/"):
        if settings:
            raise NotUnderstood(tr("an address has no baud rate: write host:port"))
        host, _, port = place.rpartition(":") if place.count(":") == 1 or "]" in place else (place, "", "")
        return {"host": host.strip("[]"), **({"tcp_port": _number(port)} if port else {})}
    found: Table = {"port": place}
    for setting in settings:
        if setting.isascii() and setting.isdigit():
            found["baud"] = int(setting)
        else:
            found |= character(setting)
    return found


def character(text: str) -> Table:
    """`8N1`: data bits, parity, stop bits; eight data bits are not written, for Modbus RTU has no others."""
    found = _FORMAT.fullmatch(text)
    if not found:
        raise NotUnderstood(tr("{text}: write data bits, parity and stop bits like 8N1, 8E1, 8N2, 7E1", text=text))
    bits, parity, stop = int(found[1]), found[2].upper(), int(found[3])
    return {"parity": parity, "stop_bits": stop, **({"data_bits": bits} if bits != 8 else {})}


def device(text: str) -> Table:
    """`meter-1=bus-1,1,eastron/sdm120,10s` as one `[[device]]`; the unit and the interval may be left out."""
    name, is_named, rest = text.partition("=")
    parts = [part.strip() for part in rest.split(",")]
    if len(parts) > 1 and (parts[1].isascii() and parts[1].isdigit()):
        unit: Table = {"unit": int(parts.pop(1))}
    else:
        unit = {}
    if not is_named or not name or not 2 <= len(parts) <= 3 or not all(parts):
        raise NotUnderstood(
            tr("write a device like meter-1=bus-1,1,eastron/sdm120,10s (link, unit, profile, interval)")
        )
    interval = {"interval_s": seconds(parts[2])} if len(parts) == 3 else {}
    return {"name": name, "link": parts[0], "profile": parts[1], **unit, **interval}


def seconds(text: str) -> float:
    """`10`, `10s`, `5m`, `1h` in seconds."""
    found = _INTERVAL.fullmatch(text.strip())
    if not found:
        raise NotUnderstood(tr("{text}: write a time like 10s, 5m or 1h", text=text))
    return float(found[1]) * _SECONDS[found[2]]


def location(text: str) -> list[float]:
    """`108.2208,16.0678` as longitude and latitude."""
    try:
        longitude, latitude = (float(part) for part in re.split(r"[,; ]+", text.strip()))
    except ValueError as err:
        raise NotUnderstood(tr("write longitude and latitude like 108.2208,16.0678")) from err
    if abs(latitude) > 90 and abs(longitude) <= 90:
        swapped = f"{latitude:g},{longitude:g}"
        raise NotUnderstood(tr("longitude stands first (maps show it last): did you mean {swapped}?", swapped=swapped))
    return [longitude, latitude]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise NotUnderstood(tr("{text} is no number of a port", text=text))
    return int(text)
