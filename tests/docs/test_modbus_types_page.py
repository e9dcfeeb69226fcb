"""docs/modbus-types.md says what the codec does."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.skipif(not DOCS.is_dir(), reason="no checkout")
def test_the_page_of_types_is_what_the_codec_does() -> None:
    page = runpy.run_path(str(DOCS / "make_modbus_types.py"))["text"]()
    stale = "docs/modbus-types.md is stale: run `python docs/make_modbus_types.py`"
    assert (DOCS / "modbus-types.md").read_text(encoding="utf-8") == page, stale
