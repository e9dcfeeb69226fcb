"""Giving data up on purpose, as `oc-agent outbox forget` asks for: by the running agent, or with its store opened."""

from collections.abc import Sequence

import msgspec

from agent.control import Arguments, OrderRefused
from agent.model import SeqRange
from agent.store import Forgotten, Store, StoreError


class ForgetOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to go: the batches of `ranges`, or, with `aside`, the files that were set aside."""

    ranges: Sequence[SeqRange] = ()
    aside: bool = False


class Given(msgspec.Struct, frozen=True):
    """What is gone."""

    batches: Forgotten = Forgotten(batches=0, undelivered=0, readings=0)
    files: Sequence[str] = ()


async def give_up(store: Store, order: ForgetOrder) -> Given:
    """Carry out an order; raises `StoreError` or OSError."""
    if order.aside:
        return Given(files=await store.forget_aside())
    return Given(batches=await store.forget(order.ranges))


async def carry_out(store: Store, arguments: Arguments) -> Given:
    """The order `forget` on the control socket; raises `OrderRefused` where the card cannot be written."""
    order = msgspec.convert(arguments, ForgetOrder)
    try:
        return await give_up(store, order)
    except (StoreError, OSError) as err:
        raise OrderRefused(str(err)) from err
