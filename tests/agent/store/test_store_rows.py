"""Rows say what names said, to the last digit, and only where everybody reads them."""

from random import Random
from typing import Any

import msgspec
import pytest
from an_envelope import ENVELOPE, MAX
from contract_check import valid, with_names
from hypothesis import example, given
from hypothesis import strategies as st

from agent.model import Scan
from agent.packing import packed, plain
from agent.store.inspection.contents import content_of
from agent.store.rows import ROOM_BYTES, in_rows
from agent.store.rows import with_names as named
from agent.store.sealing import scan_fragments, seal_again, seal_scans, stamped
from drivers.api import Quality, Reading

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
)  # fmt: skip
QUALITIES = st.sampled_from(Quality)
NAMES = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5, unique=True)


@st.composite
def scans(draw: st.DrawFn) -> list[Scan]:
    """Scans of which many have the same names; any texts as names and devices, any values, qualities and statuses."""
    shapes = draw(st.lists(NAMES, min_size=1, max_size=3))
    found = []
    for names in draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=8)):
        status = st.one_of(st.none(), st.text(max_size=8))
        readings = [Reading(name, draw(VALUES), 0, draw(QUALITIES), draw(status)) for name in names]
        found.append(Scan(draw(st.text(max_size=5)), draw(st.integers(0, 2**40)), readings))
    return found


def texts(of: list[Scan]) -> list[bytes]:
    return [stamped(fragment.body, scan.mono_ns) for scan in of for fragment in scan_fragments(scan)]


def noise(count: int) -> list[Scan]:
    """So many devices with twenty points each, that zlib finds nothing in."""
    random = Random(7)
    return [Scan(f"d-{n}", n, [Reading(f"p{k}", random.random(), 0) for k in range(20)]) for n in range(count)]


class Text(msgspec.Struct, forbid_unknown_fields=True):
    """A scan in either form, with every value as the text that it is."""

    device: str
    time_ms: int
    values: dict[str, msgspec.Raw] = {}
    shape: int | None = None
    row: list[msgspec.Raw] = []
    quality: dict[str, str] = {}
    status: dict[str, str] = {}


class Texts(msgspec.Struct, forbid_unknown_fields=True):
    scans: list[Text]
    shapes: list[list[str]] = []


def said(content: bytes) -> list[tuple[Any, ...]]:
    """What the scans of a batch say: names in their order, and the text of each value."""
    batch = msgspec.json.decode(b"{" + content + b"}", type=Texts)
    found = []
    for scan in batch.scans:
        assert bool(scan.values) == (scan.shape is None)
        names = batch.shapes[scan.shape] if scan.shape is not None else list(scan.values)
        values = scan.row if scan.shape is not None else scan.values.values()
        pairs = [(name, bytes(value)) for name, value in zip(names, values, strict=True)]
        found.append((scan.device, scan.time_ms, pairs, scan.quality, scan.status))
    return found


@given(scans())
@example([Scan("a", 1, [Reading('"},{"', '":"]}\\', 0, status='","row":[')]), Scan("a", 2, [Reading('"},{"', 1, 0)])])
@example(
    [
        Scan("a", 1, [Reading("x", 1e22, 0), Reading("y", -0.0, 0)]),
        Scan("b", 1, [Reading("x", 0.1, 0), Reading("y", 5e-324, 0)]),
    ]
)
def test_rows_say_what_the_names_said_to_the_last_digit(of: list[Scan]) -> None:
    before = texts(of)
    content = in_rows(before)
    assert said(content) == said(named(before))
    assert len(content) <= len(named(before)) + ROOM_BYTES * len(before)


def test_a_number_is_carried_over_as_the_text_that_it_is() -> None:
    values = ["1.50", "1e5", "-0.0", "0.1000000000000000055511151231257827", "123456789012345678901234567890", "1E-7"]
    of = [b'{"device":"a","time_ms":%d,"values":{"x":%b}}' % (n, value.encode()) for n, value in enumerate(values)]
    assert in_rows(of).count(b'"row":') == len(values)
    assert [f'"row":[{value}]}}' in in_rows(of).decode() for value in values] == [True] * len(values)


@given(scans())
def test_whoever_looks_into_a_payload_here_sees_the_same_in_both_forms(of: list[Scan]) -> None:
    of = [Scan(scan.device or "-", scan.mono_ns, scan.readings) for scan in of]
    in_names, rowed = (content_of(seal_scans(ENVELOPE, texts(of), MAX, rows=rows)[1]) for rows in (False, True))
    assert in_names is not None
    assert rowed is not None
    assert list(rowed.values()) == list(in_names.values())
    assert (rowed.readings, rowed.devices) == (in_names.readings, in_names.devices)


def test_a_batch_in_rows_is_the_contracts_json_field_by_field() -> None:
    of = [
        Scan("aq-01", 1, [Reading("pm25", 35.2, 0), Reading("temp", 29.4, 0)]),
        Scan("wl-02", 1, [Reading("level", 2.31, 0)]),
        Scan("aq-02", 1, [Reading("pm25", None, 0, Quality.NO_ANSWER, "01"), Reading("temp", 29.0, 0)]),
        Scan("aq-03", 1, [Reading("temp", 29.0, 0), Reading("pm25", 1.0, 0)]),
    ]
    taken, payload = seal_scans(ENVELOPE, texts(of), MAX, rows=True)
    assert taken == 4
    assert plain(payload).decode().partition('"clock":"sync",')[2] == (
        '"shapes":[["pm25","temp"]],"scans":['
        '{"device":"aq-01","time_ms":1,"shape":0,"row":[35.2,29.4]},'
        '{"device":"wl-02","time_ms":1,"values":{"level":2.31}},'
        '{"device":"aq-02","time_ms":1,"shape":0,"row":[null,29.0],"quality":{"pm25":"com"},'
        '"status":{"pm25":"01"}},'
        '{"device":"aq-03","time_ms":1,"values":{"temp":29.0,"pm25":1.0}}]}'
    )
    valid("data", payload)


def test_where_no_two_scans_have_the_same_names_there_are_no_rows() -> None:
    of = texts([Scan("a", 0, [Reading("x", 1, 0)]), Scan("b", 0, [Reading("y", 1, 0)])])
    assert seal_scans(ENVELOPE, of, MAX, rows=True) == seal_scans(ENVELOPE, of, MAX)


def test_half_of_the_bytes_are_saved_where_devices_are_alike() -> None:
    of = texts(
        [Scan(f"d{n}", n, [Reading(f"r{k}", (40_000 + 37 * k * n) % 65_536, 0) for k in range(100)]) for n in range(20)]
    )
    in_names, rowed = (len(seal_scans(ENVELOPE, of, MAX, rows=rows)[1]) for rows in (False, True))
    assert rowed < 0.65 * in_names


def test_a_payload_in_rows_is_never_above_the_limit_and_no_scan_is_left_out() -> None:
    rest = texts(noise(400))
    sealed = []
    while rest:
        taken, payload = seal_scans(ENVELOPE, rest, 9_000, rows=True)
        assert len(payload) <= 9_000
        sealed += with_names(valid("data", payload))["scans"]
        rest = rest[taken:]
    assert [scan["device"] for scan in sealed] == [f"d-{i}" for i in range(400)]


def test_the_rows_of_a_lost_epoch_go_out_again_unchanged() -> None:
    _, payload = seal_scans(ENVELOPE, texts(noise(30)), MAX, rows=True)
    again = seal_again(ENVELOPE._replace(epoch="0" * 16, seq=1), payload)
    old, new = msgspec.json.decode(plain(payload)), valid("data", again)
    assert (new["shapes"], new["scans"]) == (old["shapes"], old["scans"])
    assert (new["epoch"], new["seq"]) == ("0" * 16, 1)


def broken(**more: Any) -> bytes:
    _, payload = seal_scans(ENVELOPE, texts(noise(2)), MAX, rows=True)
    message = msgspec.json.decode(plain(payload))
    message["scans"][1] |= more
    return packed(msgspec.json.encode(message))


@pytest.mark.parametrize("more", [{"shape": 1}, {"shape": -1}, {"row": [1]}, {"row": [1] * 21}])
def test_a_payload_whose_rows_do_not_fit_is_not_one(more: dict[str, Any]) -> None:
    assert content_of(broken()) is not None
    assert content_of(broken(**more)) is None


async def test_rows_are_sealed_only_while_every_uplink_says_that_they_are_read(lab: Any) -> None:
    lab.rows = False
    async with lab.open() as store:

        async def shapes() -> list[bool]:
            lab.read(store, 30)
            await lab.live(store, 1.25)
            return [b'"shapes"' in plain(payload) for payload in list(lab.sent.values())[-1:]]

        assert await shapes() == [False]
        store.allow_rows(allowed=True)
        assert await shapes() == [True]
        store.allow_rows(allowed=False, uplink="second")
        assert await shapes() == [False]
        store.allow_rows(allowed=True)
        assert await shapes() == [False], "the second has not said so"
        store.allow_rows(allowed=True, uplink="second")
        assert await shapes() == [True]
        store.allow_rows(allowed=False)
        assert await shapes() == [False]
        account = store.account()
        assert (account.accepted, account.stored, account.balanced) == (180, 180, True)
        assert await lab.stored(store) == list(range(1, 181))


async def test_an_opened_store_seals_names_until_it_is_told(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 30)
        await lab.live(store, 1.25)
    lab.rows = None
    async with lab.open() as store:
        lab.read(store, 30)
        await lab.live(store, 1.25)
        sealed = [plain(batch.payload) for batch in await lab.undelivered(store)]
        assert [b'"shapes"' in text for text in sealed] == [True, False]
