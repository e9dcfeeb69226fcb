"""What camera links, profiles and devices may say."""

import tomllib
from pathlib import Path

import pytest

from drivers.camera import driver
from drivers.camera.driver import SPEC, bus_time_s, compile_plan
from drivers.camera.options import CameraOptions, CameraProfile, check_device, parse_link
from drivers.catalogue import ProfileError, load_profile
from drivers.tomlfile import Problem, Section, Tree

HEAD = 'vendor = "v"\nmodel = "m"\nkind = "camera"\nsource = "s"\n'


def problems(tmp_path: Path, text: str) -> list[Problem]:
    file = tmp_path / "m.toml"
    file.write_text(HEAD + text, encoding="utf-8")
    try:
        load_profile(file, {"camera": SPEC})
    except ProfileError as err:
        return list(err.problems)
    return []


def test_a_small_profile_is_enough(tmp_path: Path) -> None:
    assert problems(tmp_path, 'protocol = "visca"\n[[point]]\nname = "zoom"\n') == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('protocol = "onvif"\n[[point]]\nname = "zoom"\n', "protocol"),
        ('protocol = "visca"\n[[point]]\nname = "zoom_speed"\n', "point[1].name"),
        ('protocol = "visca"\n[[point]]\nname = "z"\nreads = "iris"\n', "point[1].reads"),
        ('protocol = "pelco-d"\npictures = true\n[[point]]\nname = "zoom"\n', "pictures"),
        ('protocol = "pelco-d"\n[[point]]\nname = "pan"\n', "point[1].decimals"),
        ('protocol = "vc0706"\npictures = true\nchunk_bytes = 100\n[[point]]\nname = "version"\n', "chunk_bytes"),
    ],
)
def test_each_mistake_in_a_profile_is_named(tmp_path: Path, text: str, key: str) -> None:
    found = problems(tmp_path, text)
    assert [p.key for p in found] == [key]
    assert all(p.line > 1 and p.what and p.fix for p in found)


@pytest.mark.parametrize(
    ("protocol", "unit", "good"),
    [
        ("visca", 1, True), ("visca", 7, True), ("visca", 8, False), ("visca", 0, False), ("visca", None, False),
        ("pelco-d", 255, True), ("pelco-d", None, False), ("vc0706", None, True), ("vc0706", 0, True),
    ],
)  # fmt: skip
def test_a_unit_must_be_possible(protocol: str, unit: int | None, good: bool) -> None:
    found: list[Problem] = []
    profile = CameraProfile(vendor="v", model="m", kind="camera", source="s", protocol=protocol)  # type: ignore[arg-type]
    check_device(CameraOptions(port="x"), profile, unit, Section.root(Tree({}, {}, "agent.toml"), found))
    assert (found == []) is good


def test_the_sample_of_the_documentation_is_right() -> None:
    sample = Path(driver.__file__).with_name("sample.toml")
    data = tomllib.loads(sample.read_text(encoding="utf-8"))
    for one in data["link"]:
        found: list[Problem] = []
        assert parse_link(Section(one, Tree(data, {}, str(sample)), (), found)), found
    assert {d["link"] for d in data["device"]} <= {one["name"] for one in data["link"]}


def test_the_forecast_counts_questions_not_points() -> None:
    points = [SPEC.point_type(name=name) for name in ("pan", "tilt")]
    profile = CameraProfile(vendor="v", model="m", kind="camera", source="s", protocol="visca", point=tuple(points))
    one = bus_time_s(CameraOptions(port="x"), compile_plan(profile, points[:1]))  # type: ignore[arg-type]
    assert bus_time_s(CameraOptions(port="x"), compile_plan(profile, points)) == one  # type: ignore[arg-type]
