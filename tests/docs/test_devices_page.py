"""docs/devices.md says what the shipped profiles and their captures say."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from drivers.catalogue import profile_names, shipped_profiles

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no checkout")


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    """What is in docs/make_devices.py."""
    return runpy.run_path(str(DOCS / "make_devices.py"))


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "devices.md").read_text(encoding="utf-8")


def test_the_page_of_devices_is_what_the_profiles_say(maker: dict[str, Any], page: str) -> None:
    assert page == maker["text"](), "docs/devices.md is stale: run `python docs/make_devices.py`"


def test_each_profile_has_one_row_with_nothing_empty(page: str) -> None:
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in page.splitlines() if row.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == profile_names([shipped_profiles()])
    assert len(rows) >= 60
    assert all(len(row) == 8 and all(row) for row in rows)


@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [
        ([{"origin": "document"}, {"origin": "device"}], "device"),
        ([{"origin": "document"}, {"origin": "device", "error": True}], "document"),
        ([{"origin": "document"}, {"origin": "device", "of": "V M2"}], "document"),
        ([{"origin": "device", "of": "V M2"}, {"origin": "document", "made": True}], "unverified: frames of V M2"),
        ([{"origin": "document", "made": True}], "unverified: frames made after a document"),
    ],
)
def test_only_sound_frames_of_the_model_itself_verify_a_profile(
    maker: dict[str, Any], exchanges: list[dict[str, Any]], expected: str
) -> None:
    assert maker["verification"](exchanges) == expected


def test_a_quantity_is_named_once_for_all_its_phases_and_channels(maker: dict[str, Any]) -> None:
    labels = [
        "Voltage L1-N",
        "Voltage L2-N",
        "Current L3",
        "Box 1, lowest",
        "Box 2, lowest",
        "Relay 7",
        "PM2.5",
        "Up to 1 µm",
    ]
    assert maker["tells"](labels) == "Voltage; Current; Box, lowest; Relay; PM2.5; Up to 1 µm"
    assert maker["tells"]([*labels, "CO2"]).endswith("Up to 1 µm; and 1 more")
