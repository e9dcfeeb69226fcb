"""All gateways of a fleet in one event loop: connected, reading, disturbed, and ended in order.

They begin to read when all are connected. There is no thread for each: a few make connections, which the library
cannot do without.
"""

import asyncio
import math
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random

from simulators.fleet.connection import Connection
from simulators.fleet.figures import Figures
from simulators.fleet.gateway import Gateway, Plan
from simulators.fleet.pace import TAKEN_OVER, Outages, Reconnecting
from simulators.fleet.sealing import Now
from simulators.mqtt.address import BrokerAddress
from simulators.mqtt.client import BrokerDown, Client, tls_context
from simulators.output import wait_for

CONNECTING_THREADS = 32
HEALTH_EVERY_S = 60
TICKS_PER_S = 10
LOOK_S = 0.05
GOODBYE_S = 2.0
GATEWAY = "{gw}"
"""Stands for the gateway's name in the user and in the files of certificate and key."""


@dataclass(frozen=True)
class Course:
    """What happens to the gateways: the first connections are made within `spread_s`; `outages` cut them.

    `events_s`: seconds between two events of a gateway on average; 0: none. `drain_s`: how long the end may take.
    """

    spread_s: float = 1.0
    outages: Outages | None = None
    events_s: float = 0.0
    drain_s: float = 10.0


class Fleet:
    """`ready` is set when all are connected. Who sets `ending` ends the readings; then what is kept is delivered."""

    def __init__(
        self,
        names: Sequence[str],
        plan: Plan,
        course: Course,
        broker: BrokerAddress,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.figures = Figures()
        self.gateways = [Gateway(name, secrets.token_hex(8), plan, self.figures, _now) for name in names]
        self.broker = broker
        self.ready = asyncio.Event()
        self.ending = asyncio.Event()
        self._plan = plan
        self._course = course
        self._connections = [Connection(gateway, plan.protocol, self.figures) for gateway in self.gateways]
        self._tls = tls

    @property
    def connected(self) -> int:
        """How many are connected now."""
        return sum(gateway.online for gateway in self.gateways)

    async def run(self) -> None:
        """Until `ending` is set and all is delivered, or the time for that is over."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CONNECTING_THREADS, "connecting"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._tick(), name="ticks")]
            for place, one in enumerate(self._connections):
                name = one.gateway.name
                tasks.append(group.create_task(self._stay_connected(one, place), name=f"connection of {name}"))
                tasks.append(group.create_task(self._read(one), name=f"readings of {name}"))
            await self._until_all(lambda gateway: gateway.online or self.ending.is_set())
            self.ready.set()
            await self.ending.wait()
            await self._drain()
            for task in tasks:
                task.cancel()

    async def _read(self, connection: Connection) -> None:
        """At its own moment of the interval, so that not all read at once."""
        await self.ready.wait()
        interval_s = 1 / self._plan.rate
        due_s = time.monotonic() + Random(f"{self._plan.seed}/{connection.gateway.name}/phase").random() * interval_s
        while True:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if self.ending.is_set():
                return
            connection.gateway.read()
            connection.pump()
            due_s += interval_s

    async def _stay_connected(self, connection: Connection, place: int) -> None:
        random = Random(f"{self._plan.seed}/{connection.gateway.name}/connection")
        waits = Reconnecting(random)
        address = _address_of(self.broker, connection.gateway.name)
        await asyncio.sleep(self._course.spread_s * place / len(self._connections))
        while True:
            try:
                async with connection.open(address, self._tls) as client:
                    waits.succeeded()
                    wait_s = await self._until_outage(client, random)
            except BrokerDown as err:
                self.figures.last_error = str(err)
                wait_s = waits.wait_s(err.code)
                if err.code == TAKEN_OVER:
                    connection.gateway.tell("security.takeover", "critical", "another client has this client id")
            except OSError as err:
                self.figures.last_error = str(err)
                wait_s = waits.wait_s(None)
            if await wait_for(self.ending, wait_s):
                await asyncio.sleep(LOOK_S)

    async def _until_outage(self, client: Client, random: Random) -> float:
        """How long the outage takes that ends this connection; raises `BrokerDown` where something else ends it."""
        outages = self._course.outages
        while True:
            timeout_s = outages.until_next_s(random) if outages else None
            await asyncio.wait((client.closed,), timeout=timeout_s)
            if client.closed.done():
                raise client.closed.result()
            if outages and self.ready.is_set() and not self.ending.is_set():
                client.drop()
                self.figures.outages += 1
                return outages.length_s(random)

    async def _tick(self) -> None:
        """Each gateway once a second, a part of them at a time."""
        beat = 0
        while True:
            for place in range(beat % TICKS_PER_S, len(self._connections), TICKS_PER_S):
                connection = self._connections[place]
                self._happen(connection.gateway)
                connection.gateway.tick()
                connection.pump()
                if (beat // TICKS_PER_S - place) % HEALTH_EVERY_S == 1:
                    connection.say_health()
            beat += 1
            await asyncio.sleep(1 / TICKS_PER_S)

    def _happen(self, gateway: Gateway) -> None:
        """An event, by chance."""
        events_s = self._course.events_s
        if events_s and self.ready.is_set() and not self.ending.is_set() and gateway.random.random() < 1 / events_s:
            gateway.tell("alarm.raise", "minor", "a simulated alarm", reason="simulated")

    async def _drain(self) -> None:
        """Deliver what is kept, as far as that is possible in time, and say goodbye."""
        end_s = time.monotonic() + self._course.drain_s
        self._each(Gateway.release)
        await self._until_all(lambda gateway: gateway.settled, end_s)
        self._each(lambda gateway: gateway.say_low() if gateway.outbox.lost else None)
        await self._until_all(lambda gateway: gateway.settled, end_s)
        self._each(Gateway.stop)
        await self._until_all(lambda gateway: gateway.lanes.empty or not gateway.online, time.monotonic() + GOODBYE_S)

    def _each(self, do: Callable[[Gateway], None]) -> None:
        for connection in self._connections:
            do(connection.gateway)
            connection.pump()

    async def _until_all(self, condition: Callable[[Gateway], bool], end_s: float = math.inf) -> None:
        while True:
            if all(map(condition, self.gateways)) or time.monotonic() >= end_s:
                return
            await asyncio.sleep(LOOK_S)


def shared_tls(broker: BrokerAddress) -> ssl.SSLContext | None:
    """What all connections have in common; None where each has its own. Raises `OSError`."""
    return tls_context(broker) if broker.tls and GATEWAY not in (broker.cert_file or "") else None


def _address_of(broker: BrokerAddress, gateway: str) -> BrokerAddress:
    def own(text: str | None) -> str | None:
        return text and text.replace(GATEWAY, gateway)

    return replace(
        broker, username=own(broker.username), cert_file=own(broker.cert_file), key_file=own(broker.key_file)
    )


def _now() -> Now:
    return Now(time.monotonic(), time.time_ns() // 1_000_000)
