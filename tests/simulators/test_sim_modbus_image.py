"""A register image answers what it was given, keeps what is written, fails on demand, and counts its answers."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulators.modbus.device import Table, respond
from simulators.modbus.identification import MAX_OBJECT_BYTES, Identification
from simulators.modbus.image import Answered, RegisterImage, Written, numbered_word


def asked(image: RegisterImage, request_hex: str) -> str:
    return respond(bytes.fromhex(request_hex), image).hex()


@pytest.fixture
def image() -> RegisterImage:
    return RegisterImage(
        holding={0: [1, 2, 3], 100: 5}, input={7: 0xFFFF}, coil={0: [1, 0, 1], 9: True}, discrete={3: [0, 1]}
    )


@pytest.mark.parametrize(
    ("request_hex", "answer_hex"),
    [
        ("0300000003", "0306000100020003"),
        ("0300640001", "03020005"),
        ("0400070001", "0402ffff"),
        ("0100000003", "010105"),
        ("0100090001", "010101"),
        ("0200030002", "020102"),
    ],
)
def test_each_table_has_what_it_was_given(image: RegisterImage, request_hex: str, answer_hex: str) -> None:
    assert asked(image, request_hex) == answer_hex


@pytest.mark.parametrize("request_hex", ["0300000004", "0300630001", "0400000001", "0100030001", "0200000001"])
def test_what_was_not_given_is_not_there(image: RegisterImage, request_hex: str) -> None:
    assert asked(image, request_hex)[2:] == "02"


def test_what_clients_write_is_kept_and_told(image: RegisterImage) -> None:
    assert asked(image, "06000100ff") == "06000100ff"
    assert asked(image, "0f000000030106") == "0f00000003"
    assert image.get("holding", 0, 3) == (1, 0xFF, 3)
    assert image.get("coil", 0, 3) == (0, 1, 1)
    assert list(image.writes) == [Written("holding", 1, (0xFF,)), Written("coil", 0, (0, 1, 1))]


def test_a_write_that_is_refused_in_part_is_refused_whole(image: RegisterImage) -> None:
    assert asked(image, "10000200020400070008") == "9002"
    assert image.get("holding", 2) == (3,)
    assert not image.writes


def test_registers_are_set_at_run_time(image: RegisterImage) -> None:
    image.set("input", 7, [8, 9])
    assert asked(image, "0400070002") == "040400080009"


@pytest.mark.parametrize(
    ("table", "address", "values"),
    [("holding", 0, 0x10000), ("input", 0, -1), ("coil", 0, 2), ("holding", 0xFFFF, [1, 2]), ("holding", -1, 0)],
)
def test_what_does_not_fit_is_said(table: Table, address: int, values: int | list[int]) -> None:
    with pytest.raises(ValueError, match=f"{table} {address}"):
        RegisterImage().set(table, address, values)


@pytest.mark.parametrize("code", range(1, 0x0C))
def test_any_exception_can_be_had_where_it_is_wanted(image: RegisterImage, code: int) -> None:
    image.set("input", 2, 6)
    image.fail(code, "holding", range(2, 50))
    assert asked(image, "0300000003") == f"83{code:02x}"
    assert asked(image, "0600020000") == f"86{code:02x}"
    assert asked(image, "0300000002") == "030400010002"
    assert asked(image, "0300020000") == "8303"
    assert asked(image, "0400020001") == "04020006"
    image.heal()
    assert asked(image, "0300020001") == "03020003"


def test_registers_can_be_protected_against_writing(image: RegisterImage) -> None:
    image.fail(2, "holding", {1, 2}, on="write")
    assert asked(image, "0300000003") == "0306000100020003"
    assert [asked(image, f"06000{n}0009") for n in range(3)] == ["0600000009", "8602", "8602"]
    assert asked(image, "16000100000009") == "9602"


def test_a_function_can_fail_whatever_is_asked(image: RegisterImage) -> None:
    image.fail_functions(6, 3, 43)
    assert asked(image, "0300000000") == "8306"
    assert asked(image, "2b0e0100") == "ab06"
    assert asked(image, "0400070001") == "0402ffff"


def test_a_code_that_is_none_is_said(image: RegisterImage) -> None:
    with pytest.raises(ValueError, match="exception code"):
        image.fail(0)


def test_what_a_device_does_not_have_is_an_illegal_function() -> None:
    bare, full = RegisterImage(exception_status=None), RegisterImage(
        exception_status=0x6D, server_id=b"\x11\xff", queues={4: [7, 8]}, identification={0: "V", 1: "P", 2: "R"}
    )  # fmt: skip
    for request_hex, answer_hex in (
        ("07", "076d"), ("11", "110211ff"), ("180004", "180006000200070008"), ("2b0e0401", "2b0e0481000001010150"),
    ):  # fmt: skip
        assert asked(bare, request_hex) == f"{int(request_hex[:2], 16) | 0x80:02x}01"
        assert asked(full, request_hex) == answer_hex
    assert asked(full, "180005") == "9802"
    assert asked(full, "080000a537") == "080000a537"


def test_a_queue_of_more_than_31_is_an_illegal_value() -> None:
    image = RegisterImage(queues={4: range(32)})
    assert asked(image, "180004") == "9803"
    image.queues[4] = range(31)
    assert asked(image, "180004").startswith("180040001f")


def test_a_numbered_image_says_of_every_address_where_it_stands() -> None:
    one, two = RegisterImage.numbered(1), RegisterImage.numbered(2)
    words = {asked(image, request) for image in (one, two) for request in ("03ffff0001", "03fffe0001", "04ffff0001")}
    assert len(words) == 6
    assert asked(one, "0300050001") == f"0302{1 * 7919 + 3 * 1009 + 5 * 31:04x}"
    assert asked(one, "0100000002") == f"0101{numbered_word(1, 'coil', 0) | numbered_word(1, 'coil', 1) << 1:02x}"
    assert asked(one, "0600050007") == "0600050007"
    assert asked(one, "0300050001") == "03020007"


def test_a_counter_gives_each_number_once_and_knows_when() -> None:
    image, clock = RegisterImage(holding={4: 9}), itertools.count(10.0)
    counter = image.count(clock=lambda: next(clock))
    assert asked(image, "0300000004") == "0308" + "00000001" + "fffffffe"
    assert asked(image, "0300000005") == "030a" + "00000002" + "fffffffd" + "0009"
    assert counter.served == [Answered(1, 10.0), Answered(2, 11.0)]


@pytest.mark.parametrize(
    "request_hex", ["0300000002", "0300010004", "0600030000", "1000000004080000000000000000", "0300000006"]
)
def test_a_counter_does_not_count_what_it_refuses(request_hex: str) -> None:
    image = RegisterImage(holding={4: 9})
    counter = image.count()
    assert asked(image, request_hex)[2:] == "02"
    assert counter.served == []


def test_a_counter_without_mirror_is_two_registers_in_any_table() -> None:
    image = RegisterImage()
    image.count("input", 8, mirrored=False)
    assert [asked(image, "0400080002") for _ in range(2)] == ["040400000001", "040400000002"]


def objects(answer: bytes) -> dict[int, bytes]:
    found, at = {}, 4
    for _ in range(answer[3]):
        found[answer[at]] = answer[at + 2 : at + 2 + answer[at + 1]]
        at += 2 + answer[at + 1]
    assert at == len(answer)
    return found


NAMED = Identification({0: "Company", 1: "Product", 2: "v2.1.12", 3: "http://c", 0x80: b"\x01\x02"})


@pytest.mark.parametrize(
    ("access", "number", "expected"),
    [
        (1, 0, [0, 1, 2]), (1, 1, [1, 2]), (1, 3, [0, 1, 2]), (2, 0, [0, 1, 2, 3]), (2, 3, [3]), (2, 9, [0, 1, 2, 3]),
        (3, 0, [0, 1, 2, 3, 0x80]), (3, 0x80, [0x80]), (4, 3, [3]), (4, 0x80, [0x80]),
    ],
)  # fmt: skip
def test_identification_gives_the_objects_of_its_level_from_the_one_asked(
    access: int, number: int, expected: list[int]
) -> None:
    answer = NAMED.answer(access, number)
    assert answer[:3] == b"\x83\0\0"
    assert objects(answer) == {n: NAMED.objects[n] for n in expected}


@pytest.mark.parametrize(("access", "number", "code"), [(4, 9, 2), (0, 0, 3), (5, 0, 3)])
def test_identification_refuses_an_object_and_an_access_that_it_does_not_know(
    access: int, number: int, code: int
) -> None:
    image = RegisterImage(identification=NAMED)
    assert asked(image, f"2b0e{access:02x}{number:02x}") == f"ab{code:02x}"


def test_a_device_that_is_asked_for_more_than_its_level_gives_what_it_has() -> None:
    basic = Identification({0: "V", 1: "P", 2: "R", 3: "U"}, conformity=1)
    assert objects(basic.answer(3, 0)).keys() == {0, 1, 2}
    assert asked(RegisterImage(identification=basic), "2b0e0400") == "ab03"


@example({0: b"v" * 244, 1: b"p" * 200, 2: b"r" * 42, 3: b"u", 0x80: b""})
@given(st.dictionaries(st.integers(0, 0xFF), st.binary(max_size=MAX_OBJECT_BYTES), max_size=30))
def test_a_long_identification_comes_whole_in_several_answers(given: dict[int, bytes]) -> None:
    image, heard, number = RegisterImage(identification=given), {}, 0
    for _ in range(len(given) + 1):
        answer = respond(bytes((0x2B, 0x0E, 3, number)), image)
        assert len(answer) <= 253
        heard |= objects(answer[3:])
        more, number = answer[4], answer[5]
        if not more:
            break
        assert more == 0xFF
    assert number == 0
    assert heard == given


@pytest.mark.parametrize("given", [{0: "x" * 245}, {256: "x"}])
def test_an_object_that_fits_no_answer_is_said(given: dict[int, str]) -> None:
    with pytest.raises(ValueError, match=f"object {next(iter(given))}"):
        Identification(given)
