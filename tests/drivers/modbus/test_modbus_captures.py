"""Every capture beside a Modbus profile decodes to the values that it documents, and to no others."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.catalogue import load_profile, shipped_profiles
from drivers.errors import BadReply, DeviceRefused
from drivers.modbus.decode import decode
from drivers.modbus.driver import SPEC
from drivers.modbus.profile import ModbusProfile

CAPTURES = [
    (path, index, exchange)
    for path in sorted(shipped_profiles().glob("*/*.capture.toml"))
    if tomllib.loads(path.with_name(path.name.replace(".capture", "")).read_text(encoding="utf-8"))["kind"] == "modbus"
    for index, exchange in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["exchange"])
]


def profile(path: Path) -> ModbusProfile:
    found = load_profile(path.with_name(path.name.replace(".capture", "")), {"modbus": SPEC})
    assert isinstance(found, ModbusProfile)
    return found


@pytest.mark.parametrize(
    ("path", "exchange"),
    [(p, e) for p, _, e in CAPTURES],
    ids=[f"{p.parent.name}-{p.stem}-{i}" for p, i, _ in CAPTURES],
)
def test_every_capture_means_what_it_documents(path: Path, exchange: dict[str, Any]) -> None:
    assert exchange["source"]
    assert exchange["origin"] in ("device", "document")
    request = bytes.fromhex(exchange["request"]) if "request" in exchange else None
    response = bytes.fromhex(exchange["response"])
    if exchange.get("error"):
        with pytest.raises((BadReply, DeviceRefused)):
            decode(profile(path), request, response)
        return
    readings = decode(profile(path), request, response)
    assert {r.point: r.value for r in readings if r.value is not None} == exchange["values"]
    assert {r.point: str(r.quality) for r in readings if r.quality} == exchange.get("quality", {})


def test_each_modbus_profile_has_its_capture() -> None:
    profiles = [p for p in shipped_profiles().glob("*/*.toml") if 'kind = "modbus"' in p.read_text(encoding="utf-8")]
    assert {p.with_suffix(".capture.toml") for p in profiles} == {path for path, _, _ in CAPTURES}
    assert len(profiles) >= 4


@pytest.mark.parametrize("path", sorted({path for path, _, _ in CAPTURES}), ids=lambda p: p.stem)
def test_a_profile_has_a_label_in_both_languages_on_everything(path: Path) -> None:
    found = profile(path)
    assert {*found.label} == {"vi", "en"}
    assert [p.name for p in found.point if {*p.label} != {"vi", "en"}] == []
