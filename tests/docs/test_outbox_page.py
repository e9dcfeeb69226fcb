"""docs/outbox.md says what the file is: every block runs on a real one, and every table lists what is there."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from contract_check import with_names
from fake_clock import FakeClock
from outbox_damage import fill
from store_lab import Lab, decode

from agent.cli.outbox import VERBS
from agent.store.damage.damaged_file import read_chunk
from agent.store.damage.salvage import CORRUPT
from agent.store.disk import RESERVE_BYTES
from agent.store.ledger import DAMAGED, FATES, FORGOTTEN, REJECTED, Card
from agent.store.outbox import WAL_LIMIT_BYTES
from agent.store.records import BATCH_HEAD_BYTES, HEADER_BYTES, RecordType
from agent.store.recovery import UNCLEAN
from agent.store.retention import FULL
from agent.store.schema import known_version
from agent.store.sealer import DAMAGED as JOURNAL_DAMAGED
from agent.store.sealing import MAX_PLAIN_BYTES, MAX_SCANS
from agent.store.store import JOURNAL_FULL

PAGE = Path(__file__).parents[2] / "docs" / "outbox.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
SQL = re.findall(r"^```sql\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
SHELL = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.skipif(not TEXT, reason="no checkout")


async def _made(lab: Lab) -> None:
    """A file as it is while the agent runs: 1 and 2 delivered, 3 refused, 4 forgotten, an event, two readings wait."""
    lab.clock.wall_at_zero_ms = 1_795_431_600_000 - 1_000_000  # 2026-11-23T11:00Z
    async with lab.open() as store:
        for seq in (1, 2):
            lab.read(store, 60)
            await lab.live(store, 1.25)
            store.mark_delivered([(seq, seq)])
        await lab.live(store, 61.0)  # they go into the archive together
        await fill(lab, store, 6)
        store.mark_dead(3)
        await store.forget([(4, 4)])
        lab.event(store)
        await lab.live(store, 2.0)
        lab.read(store, 2)
        await store._committer.commit(everything=True)
        lab.kill()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    base, ram = Path(tempfile.mkdtemp(prefix="oc-page-")), Path(tempfile.mkdtemp(prefix="oc-page-", dir="/dev/shm"))
    lab = Lab(base, ram, FakeClock())
    asyncio.run(_made(lab))
    shutil.copy(sorted((lab.runtime / "journal").glob("*.seg"))[0], lab.data / "00000001.seg")
    yield lab.data
    shutil.rmtree(base)
    shutil.rmtree(ram)


def query(folder: Path, block: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{folder / 'outbox.db'}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(block).fetchall()]


def block_with(blocks: list[str], words: str) -> str:
    (found,) = [block for block in blocks if words in block]
    return found


def shell(folder: Path, block: str) -> str:
    done = subprocess.run(["bash", "-euc", block], cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(heading: str) -> list[tuple[str, str]]:
    """First and second column of the table that begins with this heading."""
    lines = TEXT[TEXT.index(heading) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        first, second = re.split(r"(?<!\\)\|", line)[1:3]
        rows.append((first.strip(), second.strip()))
    return rows


@pytest.mark.parametrize("block", SQL)
def test_every_query_gives_something_in_python_and_in_the_shell(folder: Path, block: str) -> None:
    rows = query(folder, block)
    assert rows
    if shutil.which("sqlite3"):
        command = ["sqlite3", "-readonly", "-json", str(folder / "outbox.db")]
        done = subprocess.run(command, input=block, capture_output=True, text=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert msgspec.json.decode(done.stdout) == rows


@pytest.mark.parametrize("block", SHELL)
def test_every_command_runs(folder: Path, block: str) -> None:
    if block.startswith("sqlite3 ") and not shutil.which("sqlite3"):
        pytest.skip("no sqlite3 shell here: its queries ran in Python")
    (folder / "copy.db").unlink(missing_ok=True)
    shell(folder, block)


def test_the_account_adds_up_to_what_waits_unsealed(folder: Path) -> None:
    (account,) = query(folder, block_with(SQL, "AS elsewhere"))
    assert account == {"accepted": 482, "delivered": 120, "stored": 240, "lost": 120, "elsewhere": 2}


def test_the_window_is_searched_by_its_index(folder: Path) -> None:
    block = block_with(SQL, "strftime")
    assert [row["kind"] for row in query(folder, block)].count("data") == 7
    plan = [row["detail"] for row in query(folder, f"EXPLAIN QUERY PLAN {block}")]
    assert plan[0] == "SEARCH batch USING INDEX batch_last_ms (last_ms>? AND last_ms<?)"


def test_what_is_undelivered_is_what_the_account_says(folder: Path) -> None:
    ranges = query(folder, block_with(SQL, "FROM undelivered WHERE"))
    assert [(row["first"], row["last"]) for row in ranges] == [(5, 10)]
    (waiting,) = query(folder, block_with(SQL, "oldest_ms"))
    assert (waiting["batches"], waiting["readings"]) == (6, 240)


def test_events_are_found_by_their_type(folder: Path) -> None:
    types = [row["type"] for row in query(folder, block_with(SQL, "$.event.type"))]
    assert sorted(types) == ["data.lost", "device.down"]


def test_a_payload_is_read_as_the_page_says(folder: Path) -> None:
    printed = shell(folder, block_with(SHELL, "payload[:1]"))
    ((payload,),) = [row.values() for row in query(folder, "SELECT payload FROM batch WHERE seq = 5")]
    assert payload[:1] == b"\x78"
    assert with_names(msgspec.json.decode(printed)) == decode(payload)


def test_a_bundle_is_opened_as_the_page_says(folder: Path) -> None:
    printed = shell(folder, block_with(SHELL, "WHERE last >= ?"))
    found = read_chunk(folder / "outbox.db", (1, 2), 10, 1 << 20)
    messages = [with_names(msgspec.json.decode(line)) for line in printed.splitlines()]
    assert messages == [decode(row.payload) for row in found.rows]
    assert printed.count('"scans"') == 2


def test_the_checksums_are_what_the_page_says_and_see_a_change(folder: Path, tmp_path: Path) -> None:
    rows, picture = block_with(SHELL, "changed:"), block_with(SHELL, "CHANGED")
    assert (shell(folder, rows), shell(folder, picture)) == ("", "as it was written\n")
    shutil.copytree(folder, tmp_path / "other")
    with closing(sqlite3.connect(tmp_path / "other" / "outbox.db")) as connection, connection:
        connection.execute("UPDATE batch SET last_ms = last_ms + 1 WHERE seq = 6")
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'delivered'")
    assert (shell(tmp_path / "other", rows), shell(tmp_path / "other", picture)) == ("changed: 6\n", "CHANGED\n")


def test_the_journal_is_read_as_the_page_says(folder: Path) -> None:
    records = [line.split() for line in shell(folder, block_with(SHELL, ".seg")).splitlines()]
    at, kind, number, _, length = records[-1]
    assert int(at) + HEADER_BYTES + int(length) == (folder / "00000001.seg").stat().st_size
    kinds = [int(record[1]) for record in records]
    assert (kinds[0], kinds.count(RecordType.SCAN), kinds.count(RecordType.BATCH)) == (1, 362, 8)
    assert (kind, number) == ("2", "1")


def test_the_page_lists_every_key_and_every_column(folder: Path) -> None:
    keys = {key for first, _ in table("| key | is |") for key in re.findall(r"`(\w+)`", first)}
    assert keys == {*Card.__struct_fields__, "check"}
    assert keys == {row["key"] for row in query(folder, "SELECT key FROM meta")}
    columns = [name for first, _ in table("| column | is |") for name in re.findall(r"`(\w+)`", first)]
    assert columns == [row["name"] for row in query(folder, "PRAGMA table_info(batch)")]
    headings = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    tables = {row["name"] for row in query(folder, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert set(headings) == tables


def test_the_page_says_the_numbers_of_the_code() -> None:
    assert sum(int(size) for size in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)) == HEADER_BYTES
    (types,) = re.findall(r"^\| 1 \| (type: .*) \|$", TEXT, re.MULTILINE)
    assert [int(number) for number in re.findall(r"(\d) ", types)] == [type_.value for type_ in RecordType]
    fates = ", ".join(f"{number} {fate}" for number, fate in enumerate(FATES))
    reasons = (UNCLEAN, FULL, JOURNAL_FULL, JOURNAL_DAMAGED, DAMAGED, CORRUPT, REJECTED, FORGOTTEN)
    for words in (
        f"the fate ({fates})",
        f"its head ({BATCH_HEAD_BYTES} bytes",
        f"at most {MAX_SCANS:,} scans, 60 KiB as it is sent, {MAX_PLAIN_BYTES >> 20} MiB as JSON",
        f"the WAL keeps {WAL_LIMIT_BYTES >> 20} MiB",
        f"{RESERVE_BYTES >> 20} MiB that are given up",
        f"| reasons of `lost` | {', '.join(f'`{reason}`' for reason in reasons)} |",
        f"is {known_version()}. Version 2 had",
    ):
        assert words in TEXT, words


def test_the_page_lists_every_verb() -> None:
    names = [verb.__name__.rpartition(".")[2] for verb in VERBS]
    assert re.findall(r"^\| `oc-agent outbox (\w+)", TEXT, re.MULTILINE) == names
