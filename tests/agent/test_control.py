import asyncio
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.control import (
    SOCKET_NAME,
    AgentNotRunning,
    AgentSilent,
    OrderRefused,
    Peer,
    ask_agent,
    borrow_from_agent,
    control_server,
    order_agent,
)


async def _ask(runtime_dir: Path, verb: str) -> object:
    return await asyncio.to_thread(ask_agent, runtime_dir, verb)


async def test_a_verb_is_answered_with_json(tmp_path: Path) -> None:
    async with control_server(tmp_path, {"status": lambda: {"name": "Hải Châu"}}):
        assert await _ask(tmp_path, "status") == {"name": "Hải Châu"}
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_an_unknown_verb_and_rubbish_get_an_error_and_harm_nobody(tmp_path: Path) -> None:
    def send(data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(tmp_path / SOCKET_NAME))
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile("rb").read()

    async with control_server(tmp_path, {"status": lambda: 1}):
        assert await _ask(tmp_path, "stop") == {"error": "unknown verb 'stop'; known: status"}
        assert b"not a request" in await asyncio.to_thread(send, b"\xff\xfe{\n")
        await asyncio.to_thread(send, b"x" * 200_000)
        assert await _ask(tmp_path, "status") == 1


async def test_a_socket_left_behind_by_a_crash_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(AgentNotRunning):
        await _ask(tmp_path, "status")
    async with control_server(tmp_path, {"status": lambda: 1}):
        assert await _ask(tmp_path, "status") == 1


def test_no_agent_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(AgentNotRunning):
        ask_agent(tmp_path, "status")


class _Count(msgspec.Struct):
    count: int


async def test_an_order_gets_its_arguments_and_its_result_comes_back(tmp_path: Path) -> None:
    async def double(arguments: Mapping[str, Any]) -> Any:
        await asyncio.sleep(0)
        return {"count": 2 * msgspec.convert(arguments, _Count).count}

    async def refuse(_: Mapping[str, Any]) -> Any:
        raise OrderRefused("the card cannot be written")

    orders = {"double": double, "refuse": refuse}
    async with control_server(tmp_path, {"status": lambda: 1}, orders):
        assert await asyncio.to_thread(order_agent, tmp_path, "double", {"count": 4}) == {"count": 8}
        for verb, arguments, why in [
            ("refuse", {}, "cannot be written"),
            ("double", {"count": "many"}, "not a request"),
            ("stop", {}, "known: double, refuse, status"),
        ]:
            with pytest.raises(OrderRefused, match=why):
                await asyncio.to_thread(order_agent, tmp_path, verb, arguments)
        assert await _ask(tmp_path, "status") == 1
    with pytest.raises(AgentNotRunning):
        order_agent(tmp_path, "double", {})


async def test_an_order_may_take_longer_than_a_request_and_is_done_though_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.control.REQUEST_TIMEOUT_S", 0.1)
    done = asyncio.Event()

    async def slow(_: Mapping[str, Any]) -> Any:
        await asyncio.sleep(0.3)
        done.set()
        return "done"

    async with control_server(tmp_path, {}, {"slow": slow}):
        assert await asyncio.to_thread(order_agent, tmp_path, "slow", {}) == "done"
        done.clear()
        _, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(b'{"verb":"slow"}\n')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            await done.wait()


class Shelf:
    """Lends one thing, and knows who has it."""

    def __init__(self) -> None:
        self.with_whom: list[Peer] = []
        self.back = asyncio.Event()

    @asynccontextmanager
    async def lend(self, arguments: Mapping[str, Any], peer: Peer) -> AsyncIterator[Any]:
        if arguments.get("what") != "the line":
            raise OrderRefused("there is no such thing")
        self.with_whom.append(peer)
        try:
            yield {"lent": "the line"}
        finally:
            self.with_whom.remove(peer)
            self.back.set()


async def test_what_is_lent_is_back_when_its_connection_ends(tmp_path: Path) -> None:
    shelf = Shelf()

    def borrow() -> list[Peer]:
        with borrow_from_agent(tmp_path, "lend", {"what": "the line"}) as borrowed:
            assert borrowed.answer == {"lent": "the line"}
            return list(shelf.with_whom)

    async with control_server(tmp_path, {"status": lambda: 1}, {}, {"lend": shelf.lend}):
        assert await asyncio.to_thread(borrow) == [Peer(os.getpid(), os.getuid())]
        async with asyncio.timeout(5):
            await shelf.back.wait()
        with pytest.raises(OrderRefused, match="no such thing"):
            await asyncio.to_thread(lambda: borrow_from_agent(tmp_path, "lend", {}).__enter__())
        with pytest.raises(OrderRefused, match="known: lend, status"):
            await asyncio.to_thread(order_agent, tmp_path, "stop", {})
        assert await _ask(tmp_path, "status") == 1


@pytest.mark.parametrize("stops", [True, False])
async def test_a_lease_ends_with_the_agent_in_silence_and_after_its_time_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    monkeypatch.setattr("agent.control.LEASE_MAX_S", 60.0 if stops else 0.1)
    shelf, lent = Shelf(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def borrow() -> bool:
        with borrow_from_agent(tmp_path, "lend", {"what": "the line"}) as borrowed:
            loop.call_soon_threadsafe(lent.set)
            return borrowed.ended()

    async with control_server(tmp_path, {}, {}, {"lend": shelf.lend}):
        ended = asyncio.create_task(asyncio.to_thread(borrow))
        async with asyncio.timeout(10):
            await lent.wait()
            if not stops:
                assert await ended
    async with asyncio.timeout(10):
        assert await ended is not stops
    assert shelf.with_whom == []


async def test_an_agent_that_hangs_is_not_taken_for_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.control.REQUEST_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / SOCKET_NAME))
        hanging.listen()
        with pytest.raises(AgentSilent):
            await _ask(tmp_path, "status")


async def test_a_connection_that_is_accepted_at_the_end_is_closed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come_and_go() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / SOCKET_NAME))

    left: list[object] = []
    gc.collect()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda what: left.append(what.exc_value))
        for _ in range(30):
            async with control_server(tmp_path, {}):
                await asyncio.to_thread(come_and_go)
        gc.collect()
    assert left == []
