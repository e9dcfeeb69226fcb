"""docs/en and docs/vi for the technician: every command runs, in its order, on a bare gateway without network, and shows that.

How blocks are marked: `guide_pages`. What stands around the gateway, and what happens to it: `cabinet`.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from booted_systemd import lacking
from bundles import debian_python
from cabinet import EVENTS, VERSION, Cabinet, Stick
from guide_pages import DOCS, LANGUAGES, NAMES, TOURS, Block, blocks, is_shown, path_of, text_of
from technician import Technician

from agent import __version__
from agent.cli import make_parser
from agent.cli.doctor.devices.faults import FAULTS as WIRING
from agent.cli.messages import set_language, translated
from agent.uplink.faults import FAULTS as UPLINK

BROKER = Path("/usr/sbin/mosquitto")
WHY_NOT = (
    lacking()
    or ("" if BROKER.exists() else "missing: mosquitto")
    or ("" if debian_python() else "Debian's python3 is missing or older than 3.11")
)
LEFT_OUT = {"README.md": 1, "install.md": 2, "upkeep.md": 1}
"""How many blocks cannot be run; each says why."""
ONCE = (("vi", 1), ("en", 0))
"""Every command runs in the short suite; both languages have the same, which is a test of its own."""
IN_THE_OTHER_LANGUAGE = (("vi", 0), ("en", 1))
CODES_OF = ("doctor", "scan")
CODE = re.compile(r'code="([a-z_]+)"|return "([a-z]+_[a-z_]+)"')
NO_SYMPTOM = {"answer"}
AGENT = Path(make_parser.__code__.co_filename).parent

pytestmark = pytest.mark.skipif(not (DOCS / "en").is_dir(), reason="no checkout")


@pytest.mark.skipif(bool(WHY_NOT), reason=f"no systemd can be booted: {WHY_NOT}")
@pytest.mark.parametrize(
    "tours", [ONCE, pytest.param(IN_THE_OTHER_LANGUAGE, marks=pytest.mark.soak)], ids=["once", "in-the-other-language"]
)
def test_every_block_of_every_page_runs_and_shows_what_it_says(
    tmp_path: Path, tours: Sequence[tuple[str, int]]
) -> None:
    """Two gateways at the same time: they wait more than they work."""
    stick = Stick(tmp_path)
    with ThreadPoolExecutor(len(tours)) as pool:
        for done in [pool.submit(toured, tmp_path, stick, *tour) for tour in tours]:
            done.result()


def toured(folder: Path, stick: Stick, language: str, number: int) -> None:
    """A gateway, bare at first, on which the pages of one tour are followed."""
    cabinet = Cabinet(folder / f"{language}-{number}" / "machine", stick)
    try:
        technician = Technician(cabinet)
        for page in TOURS[number]:
            technician.follow(page, language)
    finally:
        cabinet.close()


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    marked = {page: [one for one in blocks(page, "en") if one.has("not run")] for page in NAMES}
    assert {page: len(found) for page, found in marked.items() if found} == LEFT_OUT
    assert all(len(one.value("not run")) > 30 for found in marked.values() for one in found)
    for page in NAMES:
        for language in LANGUAGES:
            text = text_of(page, language)
            assert text.count("```") == 2 * len(blocks(page, language)), f"{page}: a block is not run"
            assert not re.search(r"^    [^ ]", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.M)


@pytest.mark.parametrize("page", [page for tour in TOURS for page in tour])
def test_both_languages_have_the_same_commands_in_the_same_order(page: str) -> None:
    """But for the language of messages; and where one shows something, so does the other."""
    ours, theirs = ([_language_aside(block) for block in blocks(page, language)] for language in LANGUAGES)
    assert ours == theirs


def _language_aside(block: Block) -> Block:
    text = "" if block.language == "text" else re.sub(r"\b(en_GB|vi_VN)\.UTF-8", "…", block.text)
    return Block(block.language, text, block.marks)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_that_doctor_and_scan_can_tell_is_in_the_table_of_faults(language: str) -> None:
    sources = [file.read_text(encoding="utf-8") for name in CODES_OF for file in (AGENT / name).rglob("*.py")]
    sources.append((AGENT / "wiring.py").read_text(encoding="utf-8"))
    told = {code for text in sources for found in CODE.findall(text) for code in found if code}
    codes = (told | set(WIRING) | set(UPLINK)) - NO_SYMPTOM
    listed = set(re.findall(r"`([a-z_0-9]+)`", text_of("faults.md", language)))
    assert codes - listed == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_of_faults_has_the_words_that_doctor_says(language: str) -> None:
    """Up to a note in brackets; an ellipsis stands for what is the case's own. Ports have their own words."""
    rows = re.findall(r"^\| ([^|]+?)(?: \([^|]*)? \| `([a-z_]+)`", text_of("faults.md", language), re.MULTILINE)
    said = {code: words for words, code in rows if code in WIRING and not code.startswith(("port_", "link_"))}
    assert len(said) == sum(not code.startswith(("port_", "link_")) for code in WIRING)
    set_language(language)
    try:
        for code, words in said.items():
            pattern = ".*".join(map(re.escape, words.split("…")))
            assert re.search(pattern, translated(WIRING[code].what)), code
    finally:
        set_language("en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", NAMES)
def test_every_link_leads_somewhere(page: str, language: str) -> None:
    path = path_of(page, language)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", path.read_text(encoding="utf-8")):
        file = path.parent / target if target else path
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(title) for title in titles}, f"{target}#{anchor}"


def slug(title: str) -> str:
    """As GitHub names the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", NAMES)
def test_commands_within_the_text_are_commands(page: str, language: str) -> None:
    """What stands between ` and ` is not run, but its verb and its options are there."""
    text = re.sub(r"^```.*?^```", "", text_of(page, language), flags=re.DOTALL | re.MULTILINE)
    verbs = next(action.choices for action in make_parser()._actions if action.dest == "verb")
    for command in re.findall(r"`(?:sudo )?oc-agent ([^`]+)`", text):
        first, *words = command.split()
        if first.startswith("-") or first.isupper():
            continue
        known = {option for action in _all_actions(verbs[first]) for option in action.option_strings}
        assert {word for word in words if word.startswith("--")} <= known, command


def _all_actions(parser):  # type: ignore[no-untyped-def] # argparse names no type for it
    for action in parser._actions:
        yield action
        for below in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            yield from _all_actions(below)


def test_the_version_is_that_of_the_package() -> None:
    assert __version__ == VERSION
    for page in NAMES:
        for language in LANGUAGES:
            assert set(re.findall(r"oc-agent-(\d[\d.]+)-", text_of(page, language))) <= {VERSION, "0.2.0"}


def test_everything_that_can_happen_to_a_cabinet_happens() -> None:
    named = {event for page in NAMES for one in blocks(page, "en") for event in one.value("before").split(", ")} - {""}
    assert named == set(EVENTS)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a 12.5 V\n", "a   7 V\n", True),
        ("a 12.5 V\n", "a 0 V\n", False),
        ("lost 0\n", "lost 0.0\n", True),
        ("lost 0\n", "lost 3\n", False),
        ("a\n…\nb\n", "a\nx\ny\nb\n", True),
        ("a\n…\nb\n", "a\nb\nc\n", False),
        ("a … c\n", "a b b c\n", True),
        ("a\n", "a\nb\n", False),
        ("0.2.0\n", "0.3.0\n", False),
        ("bus-1: up\n", "bus-2: up\n", False),
    ],
)
def test_what_is_shown_is_compared(shown: str, printed: str, same: bool) -> None:  # the expected answer
    assert is_shown(shown, printed) is same
