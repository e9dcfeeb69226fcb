"""docs/tester: every block of every page runs, in its order, and the pages say what the code has.

Before a block may stand `<!-- … -->`: `not run: reason`, `exits 1`, `stays` (until the end of the page), `file NAME` (saved under
this name), `of NAME` (part of a file of the example), `run in FILE` (SQL).
"""

import inspect
import json
import os
import re
import sqlite3
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from host_needs import lacking
from tester_desk import DOCS, EXAMPLE, ROOT, Desk, Standing

from simulators import pytest_plugin
from simulators.cli import VERBS
from simulators.endpoints import free_port
from simulators.testing import Bench, BenchBroker, BenchClient, BenchIoc, FaultBoard, RawLine, SimulatedDevice, Way

PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
LEFT_OUT = {"README.md": 2, "devices.md": 1, "ci.md": 1, "uplink.md": 1}
"""How many blocks cannot be run; each says why."""

pytestmark = pytest.mark.skipif(not PAGES, reason="no checkout")
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """One fenced block, and what is said of it in a comment before it."""

    language: str
    text: str
    mark: str

    @property
    def name(self) -> str:
        """The last word of the mark."""
        return self.mark.rpartition(" ")[2]


def blocks(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(PAGES[page]):
        yield Block(found["language"], found["text"], found["mark"] or "")


class Reader:
    """Somebody who follows one page."""

    def __init__(self, page: str, folder: Path) -> None:
        self.page = page
        self.desk = Desk(folder)
        self.standing: list[Standing] = []
        self.tests: list[str] = []
        self.really = {r"\b15020\b": str(free_port()), "/tmp/": f"{folder}/"}

    def read(self) -> None:
        if self.page == "ci.md":
            self.desk.follow(
                "mkdir my-gateway && cd my-gateway && python3 -m venv .venv && cp -r .venv/share/oc-agent/example/. ."
            )
        try:
            for block in blocks(self.page):
                self.do(block)
            self.test()
        finally:
            codes = [one.end() for one in reversed(self.standing)]
        assert codes == [0] * len(codes)

    def do(self, block: Block) -> None:
        text = block.text
        for written, real in self.really.items():
            text = re.sub(written, real, text)
        if block.mark.startswith("not run: "):
            return
        if block.mark.startswith("of "):
            assert text in (EXAMPLE / block.name).read_text(encoding="utf-8"), f"{block.name} has it differently"
        elif block.mark.startswith("file "):
            (self.desk.here / block.name).write_text(text, encoding="utf-8")
        elif block.mark == "stays":
            self.stay(text)
        elif block.language == "sh":
            self.run(text, 1 if block.mark == "exits 1" else 0)
        elif block.language == "python" and "def test_" in text:
            self.tests.append(text)
        elif block.language == "python":
            (self.desk.here / "block.py").write_text(text, encoding="utf-8")
            out = self.run("python block.py", 0)
            assert lacking() or "skipped" not in out, out
        elif block.language == "sql":
            self.ask(self.desk.here / block.name, text)
        else:
            assert block.language in ("", "text"), f"what is to be done with {block}?"

    def run(self, script: str, code: int) -> str:
        got, out = self.desk.follow(script)
        assert got == code, f"{self.page}: exit code {got}\n{script}\n{out}"
        return out

    def stay(self, command: str) -> None:
        self.standing.append(self.desk.stay(command))
        first = json.loads(self.standing[-1].first_line or "{}")
        assert first.get("ready") or "gateways" in first.get("report", {}), f"{self.page}: {command}: {first}"
        if "oc-sim broker" in command:
            self.really[r"\b1883\b"] = str(first["port"])

    def ask(self, file: Path, sql: str) -> None:
        """Until everything is there, each second number is 0."""
        end_s = time.monotonic() + 10
        rows: list[tuple[str, int]] = []
        while (not rows or any(lost for _, lost in rows)) and time.monotonic() < end_s:
            time.sleep(0.1)
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
                rows = db.execute(sql).fetchall()
            db.close()
        assert {lost for _, lost in rows} == {0}, rows

    def test(self) -> None:
        """All tests of the page as one file: a reader reads them from top to bottom."""
        if self.tests:
            (self.desk.here / "test_page.py").write_text("\n\n".join(self.tests), encoding="utf-8")
            code, out = self.desk.follow(f"pytest -q test_page.py # {len(self.tests)}")
            assert code == 0, out
            assert f"{len(self.tests)} passed" in out, out


def test_every_block_of_every_page_runs(tmp_path: Path) -> None:
    """At the same time: they wait more than they work."""
    readers = [Reader(page, tmp_path / page) for page in PAGES]
    with ThreadPoolExecutor(len(readers)) as pool:
        for done in [pool.submit(reader.read) for reader in readers]:
            done.result()


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    marked = {page: [block for block in blocks(page) if block.mark.startswith("not run")] for page in PAGES}
    assert {page: len(found) for page, found in marked.items() if found} == LEFT_OUT
    assert all(re.match(r"not run: .{10}", block.mark) for found in marked.values() for block in found)
    for page in PAGES:
        assert not re.search(r"^    \S", _BLOCK.sub("", PAGES[page]), re.MULTILINE), (
            f"{page}: an indented block is not run"
        )
        assert PAGES[page].count("\n```") == 2 * len(list(blocks(page)))


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    "page", [*PAGES, "../scenarios.md", "../../simulators/README.md", "../../tests/README.md", "../../README.md"]
)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", text)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (DOCS / page).parent / file if file else DOCS / page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, titles), link


def test_the_first_page_names_every_page_and_every_command() -> None:
    first = PAGES["README.md"]
    assert {page for page in PAGES if f"]({page})" not in first} == {"README.md"}
    told = set(re.findall(r"^\| `oc-sim (\w+)", first, re.MULTILINE))
    assert told == {verb.__name__.rpartition(".")[2] for verb in VERBS}


def test_the_page_for_maintainers_names_every_folder() -> None:
    page = (ROOT / "simulators" / "README.md").read_text(encoding="utf-8")
    package = Path(pytest_plugin.__file__).parent
    folders = {one.name for one in package.iterdir() if one.is_dir() and any(one.glob("*.[pt][yo]*"))} - {"__pycache__"}
    assert {name for name in folders if f"`{name}/`" not in page} == set()


def test_every_fixture_stands_there_with_its_signature() -> None:
    page = " ".join(PAGES["pytest.md"].split())
    fixtures = {name for name, one in vars(pytest_plugin).items() if type(one).__name__ == "FixtureFunctionDefinition"}
    assert set(re.findall(r"^\| `(\w+)` \| `", PAGES["pytest.md"], re.MULTILINE)) == fixtures
    for method in (Bench.modbus_device, Bench.serial_device, Bench.camera_device, Bench.serial_line):
        parameters = [
            one.replace(annotation=inspect.Parameter.empty) for one in inspect.signature(method).parameters.values()
        ][1:]
        written = str(inspect.Signature(parameters)).replace("'", '"')
        assert f"{method.__name__}{written} -> " in page


@pytest.mark.parametrize("kind", [SimulatedDevice, RawLine, FaultBoard, BenchBroker, BenchClient, Way, BenchIoc, Bench])
def test_everything_that_can_be_done_stands_there(kind: type) -> None:
    names = {name for name in vars(kind) if not name.startswith("_")}
    assert {name for name in names if not re.search(rf"\b{name}\b", PAGES["pytest.md"])} == set()


def test_the_version_is_that_of_the_package() -> None:
    version = metadata.version("oc-agent")
    for text in (*PAGES.values(), (EXAMPLE / "requirements.txt").read_text(encoding="utf-8")):
        assert set(re.findall(r"oc_agent-([\d.]+)-py3", text)) <= {version}


def test_the_example_comes_with_the_wheel() -> None:
    """Where the wheel is tested, all of it, hidden files too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared["docs/tester/example"] == "share/oc-agent/example"
    if "OC_TEST_INSTALLED" in os.environ:
        assert contents(Path(sys.prefix) / "share" / "oc-agent" / "example") == contents(EXAMPLE)


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
