"""An MQTT broker of our own: mosquitto where it is installed, else the embedded amqtt (MQTT 3.1.1 only).

A `Broker` keeps its ports over stop and start. Nothing is stored: a broker that was killed has forgotten everything,
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

from simulators.brokers.mosquitto import BrokerOptions, configuration
from simulators.endpoints import free_port
from simulators.processes import Child, ChildFailed, child

START_TIMEOUT_S = 15.0
PROBE_EVERY_S = 0.01
DEFAULT_OPTIONS = BrokerOptions()
OWNER_ONLY = 0o600


class Broker:
    """One broker address. Starts and stops the program behind it."""

    def __init__(
        self, folder: Path, host: str, port: int, program: str | None, options: BrokerOptions = DEFAULT_OPTIONS
    ) -> None:
        self.host = host
        self.port = port
        self.program = program
        self.options = options
        self.plain_port = free_port() if options.certificate else port
        self._folder = folder
        self._stack = AsyncExitStack()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"mqtt{'s' if self.options.certificate else ''}://{self.host}:{self.port}"

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """What it can speak: the embedded broker knows MQTT 3.1.1 only."""
        return "5" if self.program else "3.1.1"

    @property
    def name(self) -> str:
        return "mosquitto" if self.program else "amqtt"

    @property
    def log(self) -> Path:
        """What it says on stderr."""
        return self._folder / "broker.log"

    async def start(self) -> None:
        """Start it, and wait until its ports are open; raises `ChildFailed`."""
        self._child = await self._stack.enter_async_context(child(self.name, self._argv(), self.log))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not (await self._open(self.port) and await self._open(self.plain_port)):
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
        """End it in order, also where it was paused."""
        self.resume()
        await self._stack.aclose()
        self._child = None

    def change(self, options: BrokerOptions) -> None:
        """Passwords and access rules are read again at once, everything else at the next start."""
        self.options = options
        if self.program is not None:
            self._write()
            self.reload()

    def reload(self) -> None:
        """Read the files again that its configuration names (SIGHUP), as far as mosquitto does that."""
        self._signal(signal.SIGHUP)

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
            return [sys.executable, "-m", "simulators.brokers.amqtt", "--host", self.host, "--port", str(self.port)]
        return [self.program, "-c", str(self._write())]

    def _write(self) -> Path:
        """Its files; the configuration is given back."""
        files = configuration(self.options, self.host, self.port, self.plain_port, self._folder)
        for name, text in files.items():
            path = self._folder / name
            path.write_text(text, encoding="utf-8")
            path.chmod(OWNER_ONLY)
        return self._folder / next(iter(files))

    async def _open(self, port: int) -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(self.host, port)
            writer.close()
            return True
        return False


def find_mosquitto() -> str | None:
    """The mosquitto of this machine; Debian puts it where a user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def broker(
    folder: Path, options: BrokerOptions = DEFAULT_OPTIONS, *, embedded: bool = False, start: bool = True
) -> AsyncIterator[Broker]:
    """Run a broker on a free port of 127.0.0.1 until the context ends; raises `ChildFailed`.

    Without `start` it has its port, and waits for `start()`.
    """
    program = None if embedded else find_mosquitto()
    if program is None and options != DEFAULT_OPTIONS:
        raise ChildFailed("the embedded broker has no options; for them mosquitto is needed: apt-get install mosquitto")
    one = Broker(folder, "127.0.0.1", free_port(), program, options)
    try:
        if start:
            await one.start()
        yield one
    finally:
        await one.kill()  # in order it takes a tenth of a second, and nothing is stored
