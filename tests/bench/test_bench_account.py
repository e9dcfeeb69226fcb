"""Every register that was read is good once, lost, or told to be a duplicate or wrong."""

from random import Random

import pytest
from gateways.serials import WORDS, Account, Block, offset
from hypothesis import given
from hypothesis import strategies as st


def block(first: int, *serials: int, device: int = 0) -> Block:
    return Block(device, first, [(offset(device, first + n) + serial) % WORDS for n, serial in enumerate(serials)])


def test_what_comes_in_order_is_good_and_nothing_is_lost() -> None:
    account = Account(1, 3)
    assert [account.take(block(0, n, n, n), [n + 1] * 3) for n in range(5)] == [0, 1, 2, 3, 4]
    assert (account.good, account.duplicates, account.late, account.wrong) == (15, 0, 0, 0)
    assert account.lost([[5, 5, 5]]) == []


def test_a_gap_is_lost_until_it_arrives_late() -> None:
    account = Account(1, 1)
    account.take(block(0, 0), [5])
    account.take(block(0, 3), [5])
    assert account.lost([[5]]) == [(0, 0, 1), (0, 0, 2), (0, 0, 4)]
    account.take(block(0, 2), [5])
    assert account.lost([[4]]) == [(0, 0, 1)]
    assert (account.good, account.late) == (3, 1)


def test_what_comes_twice_is_a_duplicate_and_says_no_latency() -> None:
    account = Account(1, 2)
    account.take(block(0, 0, 0), [1, 1])
    assert account.take(block(0, 0, 0), [1, 1]) is None
    assert (account.good, account.duplicates) == (2, 2)


def test_values_at_the_place_of_a_neighbour_are_wrong() -> None:
    account = Account(2, 100)
    values = block(0, *[7] * 100).values
    account.take(Block(0, 0, [*values[1:], values[0]]), [8] * 100)
    account.take(Block(1, 0, values), [8] * 100)
    assert (account.good, account.wrong) == (0, 200)


def test_a_value_that_was_never_read_is_wrong() -> None:
    account = Account(1, 1)
    account.take(block(0, 5), [5])
    account.take(Block(0, 0, [-1]), [5])
    assert account.wrong == 2


def test_no_value_is_told_apart_and_the_read_is_lost() -> None:
    account = Account(1, 2)
    account.take(Block(0, 0, [None, offset(0, 1)]), [1, 1])
    assert (account.without_value, account.good) == (1, 1)
    assert account.lost([[1, 1]]) == [(0, 0, 0)]


def test_serials_are_still_known_after_16_bits() -> None:
    account = Account(1, 1)
    account.take(block(0, WORDS - 1), [WORDS])
    account.take(block(0, WORDS), [WORDS + 1])
    assert account.lost([[WORDS + 1]]) == [(0, 0, n) for n in range(WORDS - 1)]


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_whatever_is_lost_doubled_and_out_of_order_each_read_is_accounted_for_once(reads: int, seed: int) -> None:
    random, account = Random(seed), Account(1, 1)
    sent = [n for n in range(reads) if random.random() < 0.7]
    arriving = sent + random.choices(sent, k=len(sent) // 3) if sent else []
    random.shuffle(arriving)
    for serial in arriving:
        account.take(block(0, serial), [reads])
    assert account.good == len(sent)
    assert account.duplicates == len(arriving) - len(sent)
    assert [serial for _, _, serial in account.lost([[reads]])] == [n for n in range(reads) if n not in sent]


@pytest.mark.parametrize("device", [0, 1, 499])
def test_no_two_registers_of_a_device_begin_alike(device: int) -> None:
    assert len({offset(device, register) for register in range(1_000)}) == 1_000
