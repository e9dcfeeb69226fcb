"""An MQTT broker of our own: mosquitto where it is installed, else the embedded amqtt (MQTT 3.1.1 only).

A `Broker` keeps its port over stop and start. Nothing is stored: a broker that was killed has forgotten everything,
retained messages too.
"""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from simulators.endpoints import free_port
from simulators.processes import Child, ChildFailed, child

START_TIMEOUT_S = 15.0
PROBE_EVERY_S = 0.05
_MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence false
max_queued_messages 100000
set_tcp_nodelay true
"""


class Broker:
    """One broker address. Starts and stops the program behind it."""

    def __init__(self, folder: Path, host: str, port: int, program: str | None, more: str = "") -> None:
        self.host = host
        self.port = port
        self.program = program
        self._more = more
        self._folder = folder
        self._stack = AsyncExitStack()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """What it can speak: the embedded broker knows MQTT 3.1.1 only."""
        return "5" if self.program else "3.1.1"

    @property
    def name(self) -> str:
        return "mosquitto" if self.program else "amqtt"

    async def start(self) -> None:
        """Start it, and wait until its port is open; raises `ChildFailed`."""
        log = self._folder / "broker.log"
        self._child = await self._stack.enter_async_context(child(self.name, self._argv(), log))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._open():
                    if not self._child.running:
                        raise ChildFailed(f"{self.name} ended at once:\n{self._child.log_tail()}")
                    await asyncio.sleep(PROBE_EVERY_S)
        except TimeoutError as err:
            raise ChildFailed(f"{self.name} did not open port {self.port}:\n{self._child.log_tail()}") from err

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            await self._child.stop(signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """End it in order."""
        await self._stack.aclose()
        self._child = None

    def pause(self) -> None:
        """It is there and says nothing, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.running:
            self._child.process.send_signal(number)

    def _argv(self) -> list[str]:
        if self.program is None:
            return [sys.executable, "-m", "simulators.amqtt_broker", "--host", self.host, "--port", str(self.port)]
        config = self._folder / "mosquitto.conf"
        config.write_text(_MOSQUITTO.format(host=self.host, port=self.port) + self._more, encoding="utf-8")
        return [self.program, "-c", str(config)]

    async def _open(self) -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(self.host, self.port)
            writer.close()
            return True
        return False


def find_mosquitto() -> str | None:
    """The mosquitto of this machine; Debian puts it where a user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def broker(folder: Path, *, embedded: bool = False, more: str = "") -> AsyncIterator[Broker]:
    """Run a broker on a free port of 127.0.0.1 until the context ends; raises `ChildFailed`.

    `more` are further lines of the configuration of mosquitto.
    """
    one = Broker(folder, "127.0.0.1", free_port(), None if embedded else find_mosquitto(), more)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()
