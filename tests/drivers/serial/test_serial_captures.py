"""Every capture beside a serial profile decodes to the values that it documents, and to no others."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.catalogue import load_profile, shipped_profiles
from drivers.errors import BadReply
from drivers.serial.driver import SPEC
from drivers.serial.profile import SerialProfile
from drivers.serial.requests import request_bytes, step_bytes

PROFILES = [
    path
    for path in sorted(shipped_profiles().glob("*/*.toml"))
    if tomllib.loads(path.read_text(encoding="utf-8")).get("kind") == "serial"
]


def exchanges(path: Path) -> list[dict[str, Any]]:
    capture = path.with_suffix(".capture.toml")
    return list(tomllib.loads(capture.read_text(encoding="utf-8"))["exchange"])


def profile(path: Path) -> SerialProfile:
    found = load_profile(path, {"serial": SPEC})
    assert isinstance(found, SerialProfile)
    return found


def stream(exchange: dict[str, Any]) -> bytes:
    """What the instrument says."""
    if "text" in exchange:
        return str(exchange["text"]).encode("latin-1")
    return bytes.fromhex(exchange.get("stream") or exchange["response"])


def request(exchange: dict[str, Any]) -> bytes | None:
    """What it was asked; None where it sends by itself."""
    if "request_text" in exchange:
        return str(exchange["request_text"]).encode("latin-1")
    return bytes.fromhex(exchange["request"]) if "request" in exchange else None


def has_a_check(found: SerialProfile) -> bool:
    return found.frame.checked.checksum.size > 0


@pytest.mark.parametrize(
    ("path", "exchange"),
    [pytest.param(p, e, id=f"{p.parent.name}-{p.stem}-{i}") for p in PROFILES for i, e in enumerate(exchanges(p))],
)
def test_every_capture_means_what_it_documents(path: Path, exchange: dict[str, Any]) -> None:
    assert exchange["source"]
    assert exchange["origin"] in ("device", "document")
    if exchange.get("step"):
        assert request(exchange) in spoken(profile(path))
        return
    if exchange.get("error"):
        assert "values" not in exchange
        with pytest.raises(BadReply):
            SPEC.decode(profile(path), request(exchange), stream(exchange))
        return
    readings = list(SPEC.decode(profile(path), request(exchange), stream(exchange)))
    assert {r.point: r.value for r in readings if r.value is not None} == exchange["values"]
    assert {r.point: str(r.quality) for r in readings if r.quality} == exchange.get("quality", {})


def spoken(found: SerialProfile) -> set[bytes]:
    """Everything that is said beside the requests."""
    duty = (*found.duty.wake, *found.duty.sleep) if found.duty else ()
    steps = (*found.settings, *duty, *(step for one in found.request for step in one.before))
    return {step_bytes(step, 0) for step in steps}


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_everything_that_is_said_to_an_instrument_is_in_its_capture(path: Path) -> None:
    found = profile(path)
    shown = {request(exchange) for exchange in exchanges(path)} - {None}
    assert spoken(found) | {request_bytes(one, 0) for one in found.request} == shown


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_no_byte_of_a_capture_is_lost_or_changed_unnoticed(path: Path) -> None:
    found = profile(path)
    for exchange in exchanges(path):
        if not exchange.get("values") or any(one.confirm for one in found.request):
            continue  # what has no check is asked twice: `test_serial_asking`
        good = stream(exchange)
        start = 1 if good[0] == 0x06 else 0  # the acknowledgement of Davis, which is not part of the frame
        places = range(start, len(good))
        broken = [good[:i] + good[i + 1 :] for i in places]
        if has_a_check(found):
            broken += [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in places]
            broken += [good[: i + 1] + good[i:] for i in places]
        for data in broken:
            assert understood(found, request(exchange), data) in (None, exchange["values"]), data


def understood(found: SerialProfile, asked: bytes | None, data: bytes) -> dict[str, Any] | None:
    """The values of these bytes; None where they are refused."""
    try:
        readings = list(SPEC.decode(found, asked, data))
    except BadReply:
        return None
    return {r.point: r.value for r in readings if r.value is not None}


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_a_profile_has_a_label_in_both_languages_on_everything(path: Path) -> None:
    found = profile(path)
    assert {*found.label} == {"vi", "en"}
    assert [p.name for p in found.point if {*p.label} != {"vi", "en"}] == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_point_of_a_profile_is_shown_by_a_capture(path: Path) -> None:
    shown = {name for exchange in exchanges(path) for name in exchange.get("values", {})}
    constructed = {"true_wind_angle", "water_temperature"}  # no public sentence with them was found
    assert {p.name for p in profile(path).point} - shown <= constructed
