"""docs/scenarios.md says every expectation with all its keys, and its examples can be read."""

import re
from pathlib import Path

import msgspec
import pytest

from simulators.scenario.expectations import EXPECTATIONS
from simulators.scenario.placeholders import Places
from simulators.scenario.reading import read_scenario
from simulators.scenario.scenario import (
    BrokerKeys,
    DoKeys,
    FileKeys,
    HostKeys,
    IocKeys,
    ScenarioKeys,
    SetKeys,
    ValuesKeys,
)
from simulators.scenario.shipped import scenario_file, scenario_names

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="no checkout")


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("that", sorted(EXPECTATIONS))
def test_every_expectation_stands_there_with_all_its_keys(that: str) -> None:
    (row,) = re.findall(rf"^\| `{that}` \| .*$", text(), re.MULTILINE)
    keys = {field.name for field in msgspec.structs.fields(EXPECTATIONS[that])}
    if that == "polled":
        keys -= {"point"}
    assert {key for key in keys if f"`{key}`" not in row} == set()


@pytest.mark.parametrize("table", [ScenarioKeys, SetKeys, DoKeys, ValuesKeys, IocKeys, BrokerKeys, HostKeys, FileKeys])
def test_every_key_of_the_tables_stands_there(table: type[msgspec.Struct]) -> None:
    keys = {field.name for field in msgspec.structs.fields(table)}
    assert {key for key in keys if f"`{key}`" not in text() and f"\n{key} = " not in text()} == set()


def test_the_first_example_is_a_scenario_and_the_second_completes_it(tmp_path: Path) -> None:
    first, arrives = re.findall(r"```toml\n(.*?)```", text(), re.DOTALL)
    for name, example in (("first", first), ("both", first + arrives.replace("plc-1", "meter-1"))):
        file = tmp_path / f"{name}.toml"
        file.write_text(example, encoding="utf-8")
        assert read_scenario(file, Places.nowhere()).devices.keys() == {"meter-1"}


def library() -> dict[str, list[str]]:
    """The rows of the table: a failure, and the scenarios for it."""
    _, _, rest = text().partition("## What the library covers")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]*\|$", rest.partition("\n## ")[0], re.MULTILINE)[1:]
    return {
        row: re.findall(r"`([a-z0-9-]+)`", scenarios) for row, scenarios in rows if not scenarios.startswith("none: ")
    }


def test_every_scenario_that_is_shipped_is_in_the_table_once_and_no_other() -> None:
    listed = [name for names in library().values() for name in names]
    assert sorted(listed) == scenario_names()
    assert all(library().values())


@pytest.mark.parametrize("name", scenario_names())
def test_what_a_failure_looks_like_is_something_that_the_scenario_expects(name: str) -> None:
    """A row says by which expectations a failure shows; each of its scenarios has one of them at least."""
    scenario = read_scenario(scenario_file(name), Places.nowhere())
    (row,) = [row for row in text().splitlines() if f"`{name}`" in row and row.startswith("| ")]
    shown = set(re.findall(r"`(\w+)`", row.split("|")[3])) & set(EXPECTATIONS)
    assert shown & {one.that for one in scenario.expect}
    assert scenario.keys.about
