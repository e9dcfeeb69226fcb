"""Who changes an outbox: the running agent, by its control socket; where none runs we open the store as its owner."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from agent.cli.asking import refusals_in_words
from agent.cli.outbox.target import own_file
from agent.cli.output import Failed
from agent.clock import SystemClock
from agent.control import AgentNotRunning, order_agent
from agent.forgetting import ForgetOrder, Given, give_up
from agent.running import store_config
from agent.settings import Settings
from agent.store import Forgotten, StoreError, open_store


def carried_out(settings: Settings, orders: Sequence[ForgetOrder]) -> Given:
    """Let the owner carry out `orders`, one after another, and give what is gone; raises `Failed`."""
    try:
        with refusals_in_words():
            return _sum([_by_agent(settings, order) for order in orders])
    except AgentNotRunning:
        return _sum(asyncio.run(_by_ourselves(settings, orders)))


def _by_agent(settings: Settings, order: ForgetOrder) -> Given:
    arguments = msgspec.to_builtins(order)
    return msgspec.convert(order_agent(Path(settings.gateway.runtime_dir), "forget", arguments), Given)


async def _by_ourselves(settings: Settings, orders: Sequence[ForgetOrder]) -> list[Given]:
    """Open the store as the user whose it is; without its runtime folder nothing is in the journal."""
    _become_owner(own_file(settings))
    config, log = store_config(settings), logging.getLogger("agent")
    with ExitStack() as stack:
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.ERROR)  # what is lost is said in better words than the log's
        if not config.runtime_dir.is_dir():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="oc-agent-"))
            config = msgspec.structs.replace(config, runtime_dir=Path(folder))
        try:
            async with open_store(config, SystemClock()) as store:
                return [await give_up(store, order) for order in orders]
        except (StoreError, OSError) as err:
            raise Failed(str(err)) from err


def _become_owner(path: Path) -> None:
    """Root works as the owner of the file: what the store writes must be the service's afterwards."""
    owner = path.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([owner.st_gid])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _sum(given: Sequence[Given]) -> Given:
    batches = Forgotten(
        batches=sum(one.batches.batches for one in given),
        undelivered=sum(one.batches.undelivered for one in given),
        readings=sum(one.batches.readings for one in given),
    )
    return Given(batches, [name for one in given for name in one.files])
