import asyncio
import socket
from pathlib import Path

import pytest

from agent.control import SOCKET_NAME, AgentNotRunning, ask_agent, control_server


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
