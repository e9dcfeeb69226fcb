"""docs/wiring-faults.md says what is tried, and what the code says."""

import re
import runpy
from pathlib import Path

import pytest
from wiring_site import ROWS

from simulators.faults.catalogue import FAULTS

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "wiring-faults.md"
PAGE = FILE.read_text(encoding="utf-8") if FILE.exists() else ""

pytestmark = pytest.mark.skipif(not PAGE, reason="no checkout")


def test_the_table_of_the_page_is_the_one_that_is_tried() -> None:
    rows = re.findall(r"^\| `([^`|]+)` \| ([\w ]+) \| (?:`(\w+)`|nothing) \|$", PAGE, re.MULTILINE)
    assert rows == ROWS


def test_every_fault_of_the_simulators_is_on_the_page() -> None:
    named = set(re.findall(r"`(\w+)[ `]", PAGE))
    assert FAULTS.keys() - named == set()


def test_every_fault_that_a_device_or_a_wire_can_have_is_tried() -> None:
    tried = {fault.split()[0] for fault, _, _ in ROWS} | {"one_connection"}  # that one has a test of its own
    on_site = {name for name, kind in FAULTS.items() if kind.places & {"answer", "device", "line"}}
    assert on_site - tried == set()


def test_the_table_of_codes_is_not_stale() -> None:
    assert runpy.run_path(str(DOCS / "make_wiring_faults.py"))["renewed"](PAGE) == PAGE
