"""Faults by name: as they are written, when they are there, and what they do to an answer."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.faults.answers import Dialect, Spoken, meet
from simulators.faults.catalogue import FAULTS
from simulators.faults.fault import BadFault, Fault, make_fault, parse_fault, parse_faults
from simulators.faults.schedule import Occurrences, Schedule
from simulators.lines.speaking import BYTES
from simulators.modbus.dialects import RTU, TCP
from simulators.modbus.framing import crc16, mbap_frame, rtu_frame

ANSWER_FAULTS = [name for name, kind in FAULTS.items() if "answer" in kind.places]
READ = bytes.fromhex("0304000a0102")
RTU_SPOKEN = Spoken(rtu_frame(17, bytes.fromhex("0300000002")), rtu_frame(17, READ))
TCP_SPOKEN = Spoken(mbap_frame(77, 17, bytes.fromhex("0300000002")), mbap_frame(77, 17, READ))
TEXT_SPOKEN = Spoken(b"R0!", b"R0,Ta=23.6C,Ua=14.2P\r\n")


def met(text: str, spoken: Spoken = RTU_SPOKEN, dialect: Dialect = RTU, seed: int = 1) -> bytes:
    parts, _ = meet([parse_fault(text)], spoken, dialect, Random(seed))
    return b"".join(part.data for part in parts)


@pytest.mark.parametrize("name", ANSWER_FAULTS)
@pytest.mark.parametrize(("spoken", "dialect"), [(RTU_SPOKEN, RTU), (TCP_SPOKEN, TCP), (TEXT_SPOKEN, BYTES)])
def test_every_fault_of_an_answer_changes_it_where_it_can_be(name: str, spoken: Spoken, dialect: Dialect) -> None:
    kind = FAULTS[name]
    parts, names = meet([parse_fault(name)], spoken, dialect, Random(1))
    sent = [(part.wait_s, part.data) for part in parts]
    if kind.only and dialect.transport not in kind.only:
        assert (sent, names) == ([(0.0, spoken.answer)], [])
    else:
        assert sent != [(0.0, spoken.answer)]
        assert names == [name]


def test_a_wrong_checksum_is_wrong_and_nothing_else_is() -> None:
    sent = met("wrong_crc")
    assert sent[:-2] == RTU_SPOKEN.answer[:-2]
    assert crc16(sent[:-2]) != int.from_bytes(sent[-2:], "little")
    text = met("wrong_crc", TEXT_SPOKEN, BYTES)
    assert text.endswith(b"\r\n")
    assert len(text) == len(TEXT_SPOKEN.answer)


@pytest.mark.parametrize(("spoken", "dialect"), [(RTU_SPOKEN, RTU), (TCP_SPOKEN, TCP)])
def test_a_wrong_unit_and_a_wrong_count_are_well_framed(spoken: Spoken, dialect: Dialect) -> None:
    for seed in range(8):
        unit, count = (met(name, spoken, dialect, seed) for name in ("wrong_unit", "wrong_count"))
        if dialect is RTU:
            for frame in (unit, count):
                assert crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")
            number, pdu = unit[0], count[1:-2]
        else:
            assert int.from_bytes(count[4:6], "big") == len(count) - 6
            assert (unit[:6], count[:2]) == (spoken.answer[:6], spoken.answer[:2])
            number, pdu = unit[6], count[7:]
        assert number != 17
        assert pdu[1] == len(pdu) - 2 in (2, 6)


def test_an_exception_has_the_function_and_the_code() -> None:
    assert met("exception code=0x0b") == rtu_frame(17, b"\x83\x0b")
    assert met("exception", TCP_SPOKEN, TCP) == mbap_frame(77, 17, b"\x83\x04")


@pytest.mark.parametrize("name", ["exception", "no_reply"])
def test_a_fault_of_one_register_meets_only_requests_that_ask_for_it(name: str) -> None:
    for spoken, dialect, asked in ((RTU_SPOKEN, RTU, True), (TCP_SPOKEN, TCP, True), (TEXT_SPOKEN, BYTES, False)):
        for register in (0, 1):
            met_it = met(f"{name} register={register}", spoken, dialect) != spoken.answer
            assert met_it is asked, (register, dialect)
        assert met(f"{name} register=2", spoken, dialect) == spoken.answer
    write = Spoken(rtu_frame(17, bytes.fromhex("060007ffff")), rtu_frame(17, bytes.fromhex("060007ffff")))
    assert met(f"{name} register=7", write) != write.answer
    assert met(f"{name} register=8", write) == write.answer


def test_an_echo_comes_before_the_answer_and_noise_around_it() -> None:
    assert met("echo") == RTU_SPOKEN.request + RTU_SPOKEN.answer
    assert met("noise_before bytes=2")[2:] == RTU_SPOKEN.answer
    assert met("noise_after bytes=2")[:-2] == RTU_SPOKEN.answer
    assert set(met("noise_before bytes=40")[:40]) == {0x00, 0xFF}


def test_late_torn_and_split_lose_no_byte() -> None:
    for text in ("late", "torn", "split", "late min=0.1 max=0.2".replace("min", "min_s").replace("max", "max_s")):
        parts, _ = meet([parse_fault(text)], RTU_SPOKEN, RTU, Random(2))
        assert b"".join(part.data for part in parts) == RTU_SPOKEN.answer
        assert sum(part.wait_s for part in parts) > 0
    parts, _ = meet([parse_fault("split gap_s=0.5")], RTU_SPOKEN, RTU, Random(2))
    assert [(part.wait_s, len(part.data)) for part in parts] == [(0.0, 1)] + [(0.5, 1)] * (len(RTU_SPOKEN.answer) - 1)


def test_faults_add_up_content_first_then_surroundings_then_time() -> None:
    faults = parse_faults("late,echo,wrong_crc")
    parts, names = meet(faults, RTU_SPOKEN, RTU, Random(1))
    (part,) = parts
    assert part.wait_s > 0
    assert part.data == RTU_SPOKEN.request + met("wrong_crc")
    assert set(names) == {"late", "echo", "wrong_crc"}


@given(st.binary(max_size=40), st.sampled_from(ANSWER_FAULTS), st.integers(0, 100))
def test_no_answer_of_any_bytes_breaks_a_fault(data: bytes, name: str, seed: int) -> None:
    parts, _ = meet([parse_fault(name)], Spoken(b"ask", data), BYTES, Random(seed))
    assert all(part.wait_s >= 0 for part in parts)
    for dialect, spoken in ((RTU, rtu_frame(1, data or b"\x03")), (TCP, mbap_frame(1, 1, data or b"\x03"))):
        meet([parse_fault(name)], Spoken(b"ask", spoken), dialect, Random(seed))


def test_a_share_is_met_as_often_as_it_says_and_the_same_for_the_same_seed() -> None:
    def course(seed: int) -> list[bool]:
        random, fault = Random(seed), parse_fault("no_reply=0.2")
        return [not meet([fault], RTU_SPOKEN, RTU, random)[0] for _ in range(2_000)]

    assert 300 < sum(course(1)) < 500
    assert course(1) == course(1) != course(2)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("no_reply on=meter-1 from=10 for=5 share=0.5", Fault(name="no_reply", on="meter-1", from_s=10, for_s=5, share=0.5)),
        ("lost=0.02", Fault(name="lost", share=0.02)),
        ("unplug=60", Fault(name="unplug", every_s=60, for_s=1.5)),
        ("exception code=0x0A", Fault(name="exception", parameters={"code": 10})),
        ("reset every=5", Fault(name="reset", every_s=5, for_s=0.05)),
    ],
)  # fmt: skip
def test_a_fault_is_read_as_it_is_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no_replie", "did you mean no_reply"),
        ("lots=0.1", "lost"),
        ("lost=x", "no number"),
        ("lost=2", "from 0 to 1"),
        ("no_reply four=3", "did you mean for_s"),
        ("no_reply on", "key=value"),
        ("exception code=0", "from 1 to 255"),
        ("no_reply from=-1", "0 or more"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(BadFault, match=says):
        parse_fault(text)


def test_keys_of_the_wrong_type_are_refused() -> None:
    for keys in (
        {},
        {"name": 3},
        {"name": "lost", "on": 7},
        {"name": "lost", "for_s": "3"},
        {"name": "lost", "share": True},
    ):
        with pytest.raises(BadFault):
            make_fault(keys)  # type: ignore[arg-type]


def there(schedule: Schedule, at_s: float, on: str) -> list[str]:
    return [fault.name for fault in schedule.active(("answer", "device", "line"), at_s, on)]


def test_a_fault_is_there_from_its_beginning_to_its_end_on_its_own_device_only() -> None:
    schedule = Schedule(parse_faults("no_reply on=a from=10 for=5,late on=* from=12"))
    assert [there(schedule, t, "a") for t in (9.9, 10, 14.9, 15)] == [[], ["no_reply"], ["no_reply", "late"], ["late"]]
    assert there(schedule, 14, "b") == ["late"]


def test_what_comes_again_and_again_does_so_by_the_seed() -> None:
    def windows(seed: int) -> list[tuple[float, float]]:
        one, found = Occurrences(parse_fault("unplug=10"), Random(seed)), []
        for tenth in range(3_000):
            if one.at(tenth / 10):
                found.append((one.begin_s, one.end_s))
        return sorted(set(found))

    assert 15 < len(windows(1)) < 50
    assert windows(1) == windows(1) != windows(2)
    assert all(end - begin == pytest.approx(1.5) for begin, end in windows(1))


def test_what_is_healed_is_gone_and_what_is_added_is_there() -> None:
    schedule = Schedule(parse_faults("no_reply on=a,late on=b"))
    schedule.add(parse_fault("echo on=a"))
    assert there(schedule, 1, "a") == ["no_reply", "echo"]
    assert schedule.heal("no_reply") == 1
    assert (there(schedule, 1, "a"), there(schedule, 1, "b")) == (["echo"], ["late"])
    assert schedule.heal(on="b") == 1
    assert schedule.heal() == 1
    assert not schedule


async def test_whoever_follows_misses_no_moment_and_no_change_that_comes_while_it_acts() -> None:
    schedule = Schedule(parse_faults("reset from=10"))
    with schedule.follower() as one:
        assert schedule.occurring_to(one, ("line",), 9.0, "a") == []
        assert [missed.fault.name for missed in schedule.occurring_to(one, ("line",), 60.0, "a")] == ["reset"]
        schedule.add(parse_fault("babble on=a"))
        async with asyncio.timeout(5):
            await schedule.change(one, ("line",), 60.0, "a")
        assert [now.fault.name for now in schedule.occurring_to(one, ("line",), 61.0, "a")] == ["babble"]


async def test_a_change_is_met_when_all_who_follow_wait_again() -> None:
    schedule = Schedule()
    with schedule.follower() as one, schedule.follower() as other:
        waiting = asyncio.create_task(schedule.all_met())
        for follower in (one, other):
            await asyncio.sleep(0)
            assert not waiting.done()
            schedule.occurring_to(follower, ("line",), 0.0, "a")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await schedule.change(follower, ("line",), 0.0, "a")
        await waiting


def test_every_fault_says_in_one_sentence_what_it_does() -> None:
    for name, kind in FAULTS.items():
        assert kind.name == name
        assert kind.what
        assert kind.places
        for parameter in kind.parameters.values():
            assert parameter.low <= parameter.default <= parameter.high
