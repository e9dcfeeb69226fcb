"""The manual pages are what the parser says, and roff has nothing to complain about."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import make_parser
from agent.cli.parser import parsers

DOCS = Path(__file__).resolve().parents[2] / "docs"
MAKER = runpy.run_path(str(DOCS / "make_man.py"))
PAGES = MAKER["PAGES"]


def _plain(language: str) -> str:
    return str(MAKER["page"](language)).replace("\\-", "-")


@pytest.mark.parametrize("language", PAGES)
def test_the_page_is_up_to_date(language: str) -> None:
    assert PAGES[language].read_text(encoding="utf-8") == MAKER["page"](language), "run `python docs/make_man.py`"


@pytest.mark.parametrize("language", PAGES)
def test_every_verb_and_every_option_is_on_the_page(language: str) -> None:
    page = _plain(language)
    for parser in parsers(make_parser()):
        assert parser.prog == "oc-agent" or f".SS {parser.prog}\n" in page
        for action in parser._actions:
            assert all(f"\\fB{option}\\fR" in page for option in action.option_strings[-1:] if option != "--help")


def test_text_cannot_become_a_request_of_roff() -> None:
    text = MAKER["_text"]
    assert (text(".so /etc/passwd"), text("'br"), text("a\\b")) == (r"\&.so /etc/passwd", r"\&'br", r"a\eb")
    assert text("see `oc-agent read`") == r"see \fBoc\-agent read\fR"


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed: apt-get install man-db")
@pytest.mark.parametrize("language", PAGES)
def test_man_renders_the_page_without_a_warning(language: str) -> None:
    environment = {**os.environ, "MANROFFSEQ": "", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"}
    command = ["man", "--warnings=w", "--encoding=UTF-8", "--local-file", str(PAGES[language])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    plain = " ".join(done.stdout.split())
    assert {"en": "oc-agent - edge gateway agent", "vi": "oc-agent - chương trình gateway"}[language] in plain
    assert "oc-agent outbox show" in plain


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed: apt-get install mandoc")
@pytest.mark.parametrize("language", PAGES)
def test_mandoc_finds_nothing_wrong(language: str) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", PAGES[language]], capture_output=True, text=True, timeout=60
    )
    found = [line for line in done.stdout.splitlines() if "missing date" not in line]  # it would change with each build
    assert found == []


@pytest.mark.skipif("OC_TEST_INSTALLED" not in os.environ, reason="only of the installed wheel")
@pytest.mark.parametrize("language", PAGES)
def test_the_wheel_brings_the_page(language: str) -> None:
    inner = PAGES[language].relative_to(MAKER["FOLDER"])
    assert (Path(sys.prefix) / "share" / "man" / inner).read_text(encoding="utf-8") == MAKER["page"](language)
