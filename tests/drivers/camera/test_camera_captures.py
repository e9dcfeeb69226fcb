"""Every capture beside a camera profile decodes to the values that it documents, and to no others."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.camera import vc0706, visca
from drivers.camera.driver import SPEC
from drivers.camera.options import CameraProfile
from drivers.catalogue import load_profile, shipped_profiles
from drivers.errors import BadReply, DeviceRefused

PROFILES = [
    path
    for path in sorted(shipped_profiles().glob("*/*.toml"))
    if tomllib.loads(path.read_text(encoding="utf-8")).get("kind") == "camera"
]


def exchanges(path: Path) -> list[dict[str, Any]]:
    return list(tomllib.loads(path.with_suffix(".capture.toml").read_text(encoding="utf-8"))["exchange"])


def profile(path: Path) -> CameraProfile:
    found = load_profile(path, {"camera": SPEC})
    assert isinstance(found, CameraProfile)
    return found


def understood(path: Path, request: bytes, response: bytes) -> dict[str, Any] | None:
    try:
        return {r.point: r.value for r in SPEC.decode(profile(path), request, response) if r.value is not None}
    except (BadReply, DeviceRefused):
        return None


@pytest.mark.parametrize(
    ("path", "exchange"), [pytest.param(p, e, id=f"{p.stem}-{i}") for p in PROFILES for i, e in enumerate(exchanges(p))]
)
def test_every_capture_means_what_it_documents(path: Path, exchange: dict[str, Any]) -> None:
    assert exchange["source"]
    assert exchange["origin"] in ("device", "document")
    if exchange.get("step"):
        return
    found = understood(path, bytes.fromhex(exchange["request"]), bytes.fromhex(exchange["response"]))
    assert found == (None if exchange.get("error") else exchange["values"])


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_no_byte_of_an_answer_is_lost_or_doubled_unnoticed(path: Path) -> None:
    for exchange in exchanges(path):
        if not exchange.get("values"):
            continue
        good, request = bytes.fromhex(exchange["response"]), bytes.fromhex(exchange["request"])
        broken = [good[:i] + good[i + 1 :] for i in range(len(good))]
        broken += [good[: i + 1] + good[i:] for i in range(len(good))]
        for data in broken:
            assert understood(path, request, data) in (None, exchange["values"]), data.hex(" ")


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_point_has_labels_and_is_shown_by_a_capture(path: Path) -> None:
    found = profile(path)
    assert [p.name for p in (found, *found.point) if {*p.label} != {"vi", "en"}] == []  # type: ignore[attr-defined]
    shown = {name for exchange in exchanges(path) for name in exchange.get("values", {})}
    assert {p.name for p in found.point} == shown


def test_the_requests_of_vc0706_are_those_of_its_manual() -> None:
    requests = {exchange["request"] for exchange in exchanges(shipped_profiles() / "vimicro" / "vc0706.toml")}
    ours = [
        vc0706.version(0),
        vc0706.control(0, vc0706.FREEZE),
        vc0706.control(0, vc0706.RESUME),
        vc0706.chunk(0, 0, 64),
    ]
    manual = {bytes.fromhex(text) for text in requests} | {bytes.fromhex("56 00 36 01 00")}
    assert set(ours) <= manual
    assert vc0706.length(0) == bytes.fromhex("56 00 34 01 00")


def test_the_number_of_cameras_is_read_from_the_address_message() -> None:
    assert visca.cameras_on_chain(bytes.fromhex("88 30 02 FF")) == 1
    assert visca.cameras_on_chain(bytes.fromhex("88 30 08 FF")) == 7
    assert visca.cameras_on_chain(bytes.fromhex("90 50 02 FF")) is None


def test_no_message_of_the_driver_moves_a_camera() -> None:
    """Commands have 01 behind the address; 09 is an inquiry, 30 numbers the chain."""
    said = [one.bytes_for(1) for one in visca.INQUIRIES.values()] + [visca.ADDRESS_SET]
    assert all(message[1] in (0x09, 0x30) for message in said)


@pytest.mark.parametrize(
    ("reply", "good"),
    [
        ("76 00 32 00 00 AA BB 76 00 32 00 00", True),
        ("76 00 32 00 00 AA BB 76 00 32 00", False),
        ("76 00 32 00 00 AA BB CC 76 00 32 00 00", False),
        ("76 00 32 00 00 AA BB 76 00 36 00 00", False),
        ("76 01 32 00 00 AA BB 76 00 32 00 00", False),
        ("76 00 32 03 00", False),
    ],
)
def test_a_part_of_a_picture_counts_only_between_its_two_heads(reply: str, good: bool) -> None:
    data = bytes.fromhex(reply)
    if good:
        assert vc0706.chunk_data(data, 0, 2) == b"\xaa\xbb"
    else:
        with pytest.raises(vc0706.NotUnderstood):
            vc0706.chunk_data(data, 0, 2)
