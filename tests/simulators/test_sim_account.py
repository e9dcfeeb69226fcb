"""The account of the demonstration finds every value that no device served, and nothing else."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulators.demo.account import Account, as_text, read_truth, wrong_values
from simulators.world import Served, TruthFile

TRUTH = [
    Served("m", "voltage", 230.2, 10_000),
    Served("m", "voltage", 231.0, 20_000),
    Served("m", "on_line", True, 10_000),
    Served("m", "count", 1, 10_000),
    Served("m", "model", "X", 10_000),
]


@pytest.mark.parametrize(
    ("row", "right"),
    [
        (("m", "voltage", 10_900, 230.2), True),
        (("m", "voltage", 20_000, 231), True),
        (("m", "voltage", 10_900, 231.0), False),
        (("m", "voltage", 10_900, 230.3), False),
        (("n", "voltage", 10_000, 230.2), False),
        (("m", "on_line", 10_000, True), True),
        (("m", "on_line", 10_000, 1), False),
        (("m", "count", 10_000, True), False),
        (("m", "model", 9_990, "X"), True),
    ],
)
def test_a_value_is_right_only_where_that_device_served_it_at_about_that_time(
    row: tuple[str, str, int, Any], right: bool
) -> None:
    assert (wrong_values([row], TRUTH) == []) is right


def test_the_truth_file_gives_back_what_was_recorded(tmp_path: Path) -> None:
    file = tmp_path / "served.jsonl"
    for part in (TRUTH[:2], TRUTH[2:]):
        with TruthFile(file) as truth:
            truth.record(part)
    assert list(read_truth(file)) == TRUTH


def test_the_truth_file_never_keeps_more_than_its_limit_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "served.jsonl"
    with TruthFile(file) as truth:
        truth.record(TRUTH * (TruthFile.MAX_WAITING // len(TRUTH) + 1))
        assert file.stat().st_size > 0


GOOD = Account(
    read=10, delivered=10, at_ioc=10, stored=0, lost=0, duplicates=3, changed=0, checked=9, wrong=0,
    latency_p50_ms=5, latency_p99_ms=9, examples=[],
)  # fmt: skip


def test_duplicates_are_no_fault() -> None:
    assert GOOD.good
    assert "OK: read = delivered, 0 lost, 0 wrong" in as_text(GOOD)


@pytest.mark.parametrize(
    "fault",
    [
        {"read": 11},
        {"delivered": 9},
        {"at_ioc": 9},
        {"stored": 1},
        {"lost": 1},
        {"changed": 1},
        {"wrong": 1},
        {"checked": 0},
    ],
    ids=str,
)
def test_any_difference_makes_the_account_fail(fault: dict[str, int]) -> None:
    bad = msgspec.structs.replace(GOOD, **fault)
    assert not bad.good
    assert "FAILED" in as_text(bad)


def test_nothing_read_is_no_success() -> None:
    assert not msgspec.structs.replace(GOOD, read=0, delivered=0, at_ioc=0).good
