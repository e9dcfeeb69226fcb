"""What becomes of the commands of the IOC."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock

from agent.commands import MAX_AT_ONCE, TELL_EVERY_S, Commands
from agent.model import Event, Result
from agent.uplink.downlink.messages import Command


class Bench:
    """The commands `do` and `break`, and a store that remembers what it was told."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.events: list[Event] = []
        self.done: list[str] = []
        self.go_on = asyncio.Event()
        self.clock = FakeClock()
        store: Any = self
        self.commands = Commands({"do": self._do, "break": self._break}, store, self.clock)

    def append_result(self, result: Result) -> None:
        self.results.append(result)

    def append_event(self, event: Event) -> None:
        self.events.append(event)

    async def _do(self, command: Command) -> str | None:
        await self.go_on.wait()
        self.done.append(command.id)
        return command.args.get("error")

    async def _break(self, command: Command) -> str | None:
        raise RuntimeError(command.id)

    async def hear(self, id_: str, command: str = "do", **fields: Any) -> list[Result]:
        self.commands.heard(Command(v=1, id=id_, command=command, **fields))
        for _ in range(5):
            await asyncio.sleep(0)
        return self.results


async def test_every_command_gets_one_result() -> None:
    bench = Bench()
    bench.go_on.set()
    await bench.hear("c-1")
    results = await bench.hear("c-2", args={"error": "the lens is dark"})
    assert [(one.id, one.ok, one.error) for one in results] == [("c-1", True, None), ("c-2", False, "the lens is dark")]


async def test_the_same_command_twice_is_carried_out_once() -> None:
    bench = Bench()
    bench.go_on.set()
    await bench.hear("c-1")
    assert len(await bench.hear("c-1")) == 1
    assert bench.done == ["c-1"]


async def test_a_command_that_comes_too_late_is_not_carried_out() -> None:
    bench = Bench()
    bench.go_on.set()
    (result,) = await bench.hear("c-9", expires_ms=1_000)
    assert (result.ok, result.error, bench.done) == (False, "it came after it had expired", [])


async def test_a_command_that_breaks_gets_a_result_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.go_on.set()
    await bench.hear("c-1", "break")
    results = await bench.hear("c-2")
    assert [one.ok for one in results] == [False, True]
    assert "see the log" in (results[0].error or "")


async def test_a_flood_of_commands_is_refused_one_by_one() -> None:
    bench = Bench()
    for number in range(MAX_AT_ONCE + 3):
        await bench.hear(f"c-{number}")
    assert [result.error for result in bench.results] == ["too many commands at once"] * 3
    bench.go_on.set()
    assert len(await bench.hear("c-last")) == MAX_AT_ONCE + 4


async def test_an_unknown_command_is_a_security_event_at_most_one_in_ten_minutes(tmp_path: Path) -> None:
    bench = Bench()
    (result,) = await bench.hear("c-1", "open-the-door")
    assert result.error == '"open-the-door" is not known here; there is: break, do'
    await bench.hear("c-2", "open-the-door")
    bench.commands.bad("no JSON")
    assert [(event.type, event.message["en"]) for event in bench.events] == [
        ("security.bad_command", "1 bad commands: 'open-the-door'")
    ]
    bench.clock.advance(TELL_EVERY_S)
    bench.commands.bad("no JSON")
    assert bench.events[1].message["en"] == "3 bad commands: no JSON"
