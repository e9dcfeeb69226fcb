"""docs/capacity.md says what `oc-agent check` says, and its formula is near what was measured."""

import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no checkout")


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    """What is in docs/make_capacity.py."""
    return runpy.run_path(str(DOCS / "make_capacity.py"))


def test_the_page_of_what_a_gateway_carries_is_what_the_forecast_says(maker: dict[str, Any]) -> None:
    page = (DOCS / "capacity.md").read_text(encoding="utf-8")
    assert page == maker["text"](), "docs/capacity.md is stale: run `python docs/make_capacity.py`"


@pytest.mark.parametrize(("baud", "registers", "wire_ms"), [(1_200, 100, 213 * 25 / 3), (115_200, 100, 213 / 11.52)])
def test_a_poll_takes_its_characters_its_silences_and_the_answer(
    baud: int, registers: int, wire_ms: float, maker: dict[str, Any]
) -> None:
    silences_ms = 2 * max(3.5 * 11_000 / baud, 1.75)
    assert 1000 * maker["poll_times_s"]()[baud, registers] == pytest.approx(wire_ms + silences_ms + 10)


def test_so_many_devices_fit_and_one_more_does_not(maker: dict[str, Any]) -> None:
    most = maker["devices_at_most"]
    assert [most(0.1, 1), most(0.071, 1), most(0.8, 1), most(0.001, 1)] == [7, 9, 0, 247]


def test_what_was_measured_on_a_line_is_near_the_forecast(maker: dict[str, Any]) -> None:
    polls_s = maker["poll_times_s"]()
    assert len({one.baud for one in maker["MEASURED"]}) == 2
    for one in maker["MEASURED"]:
        assert one.devices == maker["devices_at_most"](polls_s[one.baud, one.registers], 1)
        assert one.poll_ms == pytest.approx(1000 * polls_s[one.baud, one.registers], rel=0.06)
        assert one.load == pytest.approx(one.devices * one.poll_ms / 1000, rel=0.01)


def test_devices_on_tcp_take_half_of_what_a_core_carries(maker: dict[str, Any]) -> None:
    page = (DOCS / "capacity.md").read_text(encoding="utf-8")
    assert len(maker["CORES"]) == 4
    for core in maker["CORES"]:
        assert 2 * 100 * core.devices <= core.registers_per_s < 2 * 100 * (core.devices + 1)
        assert f"| {core.name} | {core.share:.3g} | {core.registers_per_s:,} | {core.devices:,} |" in page


def test_the_formula_of_4g_is_near_what_was_measured(maker: dict[str, Any]) -> None:
    for (points, interval_s), measured in maker["MEASURED_MB"].items():
        for batch_s, measured_mb in zip((1, 60), measured, strict=True):
            if measured_mb:
                assert maker["month_mb"](points, interval_s, batch_s) == pytest.approx(measured_mb, rel=0.1)
