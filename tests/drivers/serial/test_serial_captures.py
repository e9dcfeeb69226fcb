"""Every capture beside a serial profile decodes to the values that it documents, and to no others."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.catalogue import load_profile, shipped_profiles
from drivers.errors import BadReply
from drivers.serial.driver import SPEC
from drivers.serial.options import SerialProfile

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
    return exchange["text"].encode() if "text" in exchange else bytes.fromhex(exchange["stream"])


@pytest.mark.parametrize(
    ("path", "exchange"),
    [pytest.param(p, e, id=f"{p.parent.name}-{p.stem}-{i}") for p in PROFILES for i, e in enumerate(exchanges(p))],
)
def test_every_capture_means_what_it_documents(path: Path, exchange: dict[str, Any]) -> None:
    assert exchange["source"]
    assert exchange["origin"] in ("device", "document")
    if exchange.get("error"):
        assert "values" not in exchange
        with pytest.raises(BadReply):
            SPEC.decode(profile(path), None, stream(exchange))
        return
    readings = list(SPEC.decode(profile(path), None, stream(exchange)))
    assert {r.point: r.value for r in readings if r.value is not None} == exchange["values"]
    assert {r.point: str(r.quality) for r in readings if r.quality} == exchange.get("quality", {})


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_no_byte_of_a_capture_is_lost_or_changed_unnoticed(path: Path) -> None:
    found = profile(path)
    for exchange in exchanges(path):
        if not exchange.get("values"):
            continue
        good = stream(exchange)
        broken = [good[:i] + good[i + 1 :] for i in range(len(good))]
        broken += [good[:i] + bytes([byte ^ 1]) + good[i + 1 :] for i, byte in enumerate(good)]
        for data in broken:
            with pytest.raises(BadReply):
                SPEC.decode(found, None, data)


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
