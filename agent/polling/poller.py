"""One link's task: open it, read its devices when they are due, hand scans on. One for each link.

A device that fails never stops the others on its bus: its points become `com`, it rests, the next one is asked.
A link that goes down takes its devices down together and is opened again with backoff. While the store is full and
its policy is to stop polling, polls are skipped and counted as missed; so they are while the line is lent, which is an
alarm.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import cast

from agent.clock import NS_PER_S, Clock
from agent.configuration import by_interval
from agent.control import LEASE_MAX_S
from agent.model import Event, Scan
from agent.polling import events
from agent.polling.device import DevicePolling, Poll
from agent.polling.lending import Borrower, Line
from agent.polling.once import Once, Queue, ReadRequest
from agent.polling.pictures import PICTURE_S, OnPicture, PictureFailed, PictureTaker
from agent.polling.recent import Recent
from agent.polling.schedule import Schedule
from agent.settings import DeviceSettings, LinkSettings
from agent.supervise import Backoff, Episode, Pulse
from agent.time_limit import TimeLimit
from agent.waking import Alarm
from drivers.api import Link, LinkStats, PictureLink, Reading
from drivers.errors import BadReply, DeviceRefused, DriverError, LinkDown, NoReply

log = logging.getLogger(__name__)

REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 10.0
ON_DEMAND_S = 10 * 365 * 86_400.0
STUCK_S = 60.0
"""A read that takes this much longer than its timeout is stuck in the driver; the link is opened again."""

ALIVE_S = 120.0
"""Whatever takes this much longer than it may will not end by itself: opening or closing a port hangs in its driver."""


class LinkPoller:
    """Polls the devices of one link for ever."""

    def __init__(
        self,
        link: LinkSettings,
        devices: Sequence[DeviceSettings],
        clock: Clock,
        random: Random,
        on_scan: Callable[[Scan], None],
        on_event: Callable[[Event], None],
        is_full: Callable[[], bool] = lambda: False,
        on_picture: OnPicture | None = None,
        line: Line | None = None,
    ) -> None:
        self.link = link
        self.line = line or Line()
        self.devices = [DevicePolling(device, random) for device in devices]
        self.recent = Recent(clock.mono_ns())
        self.schedule: Schedule[Poll] = Schedule()
        self.up = False
        self.error: str | None = None
        self._clock = clock
        self._link: Link | None = None
        self._before = LinkStats()
        self._backoff = Backoff(REOPEN_FIRST_S, REOPEN_MAX_S, random)
        self._on_scan = on_scan
        self._on_event = on_event
        self._is_full = is_full
        self._pictures = PictureTaker(link.name, on_picture)
        self._once = Queue(link, devices)
        self._wake = Alarm()
        self._turn = asyncio.Lock()
        self._random = random
        self.line.wake = self._wake.set
        self._pulse = Pulse(clock, ALIVE_S)
        self._limit = TimeLimit()
        self._opening = Episode(f"link {link.name}", clock)

    @property
    def stats(self) -> LinkStats:
        """What happened on this link since the start, however often it was opened."""
        return self._before.plus(self._link.stats) if self._link else self._before

    async def run(self) -> None:
        """Open the link and poll; after `LinkDown` wait and open it again. Ends only by cancellation."""
        try:
            await self._run()
        finally:
            self._once.fail(f"link {self.link.name} is not polled now; try again")

    async def _run(self) -> None:
        self._plan()
        attempt = 0
        while True:
            if self.line.borrower:
                await self._lend(self.line.borrower)
            self._pulse.beat(getattr(self.link.options, "connect_timeout_s", 0.0))  # on the network only
            try:
                async with self.link.spec.open_link(self.link.options) as link:
                    attempt = 0
                    self.up, self.error = True, None
                    await self._poll_counted(link)
            except LinkDown as err:
                attempt += 1
                self._link_down(err)
                if not self.line.borrower:
                    await self._woken_within(self._backoff.delay_s(attempt))

    @asynccontextmanager
    async def between_reads(self) -> AsyncIterator[None]:
        """Hold the link between two reads: what was read is handed on, and nothing is read meanwhile."""
        async with self._turn:
            yield

    def change(self, devices: Sequence[DeviceSettings]) -> None:
        """Poll these from now on, while the link is held; those whose settings are the same go on as they are."""
        before = {device.settings.name: device for device in self.devices}
        self.devices = [self._changed(before.get(settings.name), settings) for settings in devices]
        self._once.change(devices)
        for device in before.values():
            if device not in self.devices:
                self._pictures.refuse(device.settings.name, "the configuration of the camera has changed")
                self.schedule.remove(p for p in (*device.polls, device.pictures) if p and p in self.schedule)
        for device in self.devices:
            if device not in before.values():
                self._plan_device(device, self._clock.mono_ns())
        self._wake.set()

    def _changed(self, before: DevicePolling | None, settings: DeviceSettings) -> DevicePolling:
        if before is not None and before.settings == settings:
            return before
        return DevicePolling(settings, self._random)

    def is_alive(self) -> bool:
        """Whether `run` turns. A link that is down, and devices that are silent, are no reason to say no."""
        return self._pulse.is_alive()

    def _plan(self) -> None:
        """Decide once what to ask whom, and how often; a poller that crashed begins anew."""
        self.schedule = Schedule()
        now_ns = self._clock.mono_ns()
        for device in self.devices:
            self._plan_device(device, now_ns)

    def _plan_device(self, device: DevicePolling, now_ns: int) -> None:
        device.polls.clear()
        device.state.note((), None)
        for interval_s, points in by_interval(device.settings).items():
            plan = self.link.spec.compile_plan(device.settings.profile, [p.point for p in points])
            device.polls.append(Poll(device, interval_s, plan))
            self.schedule.add(device.polls[-1], round(interval_s * NS_PER_S), now_ns)
        if device.settings.picture is not None:
            self._plan_pictures(device, device.settings.picture.interval_s, now_ns)

    def _plan_pictures(self, device: DevicePolling, interval_s: float, now_ns: int) -> None:
        """Pictures are polls of their own, without a plan; those only on demand rest until somebody asks."""
        device.pictures = Poll(device, interval_s or ON_DEMAND_S, None)
        self.schedule.add(device.pictures, round(device.pictures.interval_s * NS_PER_S), now_ns)
        if not interval_s:
            self.schedule.rest([device.pictures], now_ns + round(ON_DEMAND_S * NS_PER_S))

    def ask_picture(self, name: str, why: str) -> asyncio.Future[str] | None:
        """Take a picture of the camera `name` now; None where it is not on this link, or gives none."""
        device = next((d for d in self.devices if d.settings.name == name and d.pictures), None)
        if device is None or device.pictures is None:
            return None
        self.schedule.hurry([device.pictures], self._clock.mono_ns())
        self._wake.set()
        asked = self._pictures.ask(name, why)
        if self.line.borrower:
            self._pictures.refuse(name, f"{self.link.name} is lent to {self.line.borrower}")
        return asked

    def read_now(self, request: ReadRequest) -> "asyncio.Future[Once] | None":
        """Read a device between our own polls; None where it is not on this link, differs, or the line is lent."""
        asked = None if self.line.borrower else self._once.ask(request)
        if asked:
            self._wake.set()
        return asked

    async def _lend(self, borrower: Borrower) -> None:
        """The port is closed: leave it to the borrower, and tell the IOC why nothing comes."""
        since_ns = self._clock.mono_ns()
        name, devices = self.link.name, [device.settings.name for device in self.devices]
        log.warning("link %s is lent to %s: it is not polled", name, borrower)
        self.up, self.error = False, f"lent to {borrower}"
        self._once.fail(f"{name} is {self.error}")
        self._on_event(events.lent(name, devices, borrower, since_ns))
        self._pulse.beat(LEASE_MAX_S)
        try:
            await self.line.hand_over()
        finally:
            now_ns = self._clock.mono_ns()
            lent_s = round((now_ns - since_ns) / NS_PER_S, 1)
            log.info("link %s is back from %s after %.1f s", name, borrower, lent_s)
            self._on_event(events.returned(name, devices, now_ns, lent_s))
        for device in self.devices:
            device.recognition.forget()

    async def _poll_counted(self, link: Link) -> None:
        self._link = link
        try:
            await self._poll(link)
        finally:
            self._before, self._link = self.stats, None

    async def _poll(self, link: Link) -> None:
        """Poll until the line is wanted."""
        while not self.line.borrower:
            if self._once:
                async with self._turn:
                    await self._serve(link)
            poll, due_ns = self.schedule.next()
            if await self._woken_before(due_ns):
                continue
            async with self._turn:
                if poll in self.schedule:  # it may have been taken out while somebody held the link
                    await self._do(link, poll)

    async def _do(self, link: Link, poll: Poll) -> None:
        if poll.plan is None:
            await self._take_picture(link, poll.device)
            self.schedule.done(poll, self._clock.mono_ns())
            return
        if self._is_full():
            self.schedule.done(poll, self._clock.mono_ns())
            self.schedule.missed += 1
            return
        started_ns = self._clock.mono_ns()
        try:
            answered = await self._read(link, poll)
        finally:
            self._count()
        self.schedule.done(poll, self._clock.mono_ns())
        if not answered:
            self._rest(poll, started_ns)

    async def _serve(self, link: Link) -> None:
        """What somebody asked for, one device at a time: polls that are due go between."""
        most_s = self.link.options.timeout_s + STUCK_S + PICTURE_S
        self._pulse.beat(most_s)
        try:
            await self._once.serve(link, most_s)
        finally:
            self._count()

    def _count(self) -> None:
        now_ns = self._clock.mono_ns()
        if self.recent.is_due(now_ns):
            self.recent.note(self.stats, now_ns)

    async def _woken_before(self, due_ns: int) -> bool:
        """Sleep until `due_ns`; True where the schedule changed meanwhile, or the line is wanted."""
        wait_ns = due_ns - self._clock.mono_ns()
        if wait_ns <= 0:
            await asyncio.sleep(0)  # the other links have their turn
            return False
        return bool(self._once) or await self._woken_within(wait_ns / NS_PER_S)

    async def _woken_within(self, wait_s: float) -> bool:
        self._wake.clear()
        self._pulse.beat(wait_s)
        return await self._wake.wait(wait_s)

    async def _take_picture(self, link: Link, device: DevicePolling) -> None:
        """One picture, or why there is none. It says nothing of whether the camera is up: its points do."""
        self._pulse.beat(PICTURE_S)
        try:
            await self._pictures.take(cast("PictureLink", link), device.settings)
        except PictureFailed as err:
            log.warning("no picture of %s: %s", device.settings.name, err)
            device.state.pictures_failed += 1
            device.state.error = str(err)
        else:
            device.state.pictures += 1

    def _rest(self, poll: Poll, started_ns: int) -> None:
        """Leave a device that is down alone, with all its polls: one of them is probe enough."""
        now_ns = self._clock.mono_ns()
        rest_s = poll.device.quarantine.rest_s(poll.interval_s, (now_ns - started_ns) / NS_PER_S)
        if rest_s:
            self.schedule.rest(poll.device.polls, now_ns + round(rest_s * NS_PER_S))

    async def _read(self, link: Link, poll: Poll) -> bool:
        """Read one plan and hand on what came; False where the device did not answer."""
        device = poll.device
        most_s = self.link.options.timeout_s + STUCK_S
        self._pulse.beat(most_s)
        try:
            with self._limit.of(most_s):
                if device.recognition.is_due(self._clock.mono_ns()):
                    await self._recognise(link, device)
                if device.recognition.mismatch:
                    device.state.error = device.recognition.mismatch
                    self._hand_on(device, device.misfit(poll.plan.points, self._clock.mono_ns()), poll)
                    return True
                readings = await link.read(device.settings.unit, poll.plan)
        except TimeoutError as err:
            raise LinkDown(f"{self.link.name}: a read of {device.settings.name} was stuck") from err
        except (NoReply, BadReply) as err:
            self._device_failed(device, poll, err)
            return False
        except DeviceRefused as err:
            self._answered(device)
            device.state.error = str(err)
            device.tally.failed(err, self._clock.mono_ns())
            self._hand_on(device, device.misfit(poll.plan.points, self._clock.mono_ns()), poll)
            return True
        self._answered(device)
        device.state.error = None
        device.tally.answered(readings, self._clock.mono_ns())
        self._hand_on(device, readings, poll)
        return True

    async def _recognise(self, link: Link, device: DevicePolling) -> None:
        """Ask who the device is; one that is another model is an alarm, once an episode."""
        identity = await link.identify(device.settings.unit, device.settings.profile)
        if identity.mismatch:
            self._answered(device)
        if device.recognition.found(identity, self._clock.mono_ns()):
            self._alarm(device, identity.mismatch)

    def _alarm(self, device: DevicePolling, mismatch: str) -> None:
        name = device.settings.name
        if mismatch:
            log.warning("device %s is not what its profile describes: %s", name, mismatch)
        else:
            log.info("device %s looks like its profile again", name)
        self._on_event(events.misfit(name, self._clock.mono_ns(), mismatch))

    def _answered(self, device: DevicePolling) -> None:
        self._opening.recovered()
        if device.quarantine.is_down:
            self.schedule.hurry(device.polls, self._clock.mono_ns())
        if device.quarantine.answered() or device.state.up is False:
            log.info("device %s answers again", device.settings.name)
            self._on_event(events.device_up(device.settings.name, self._clock.mono_ns()))
        device.state.up = True
        device.state.answered_mono_ns = self._clock.mono_ns()

    def _device_failed(self, device: DevicePolling, poll: Poll, err: DriverError) -> None:
        device.state.error = str(err)
        device.tally.failed(err, self._clock.mono_ns())
        self._hand_on(device, device.no_answer(poll.plan.points, self._clock.mono_ns()), poll)
        if device.quarantine.failed() and device.state.up is not False:
            log.warning("device %s is down: %s", device.settings.name, err)
            device.recognition.forget()
            self._device_down(device, "No reply")
        else:
            log.debug("device %s: %s", device.settings.name, err)

    def _link_down(self, err: LinkDown) -> None:
        self.up = False
        self.error = str(err)
        self._opening.failed(err)
        self._once.fail(str(err))
        now_ns = self._clock.mono_ns()
        for device in self.devices:
            device.recognition.forget()
            device.state.error = str(err)
            if device.state.up is not False:
                self._hand_on(device, device.no_answer([p.point for p in device.settings.points], now_ns), None)
                self._device_down(device, "The link is down")

    def _device_down(self, device: DevicePolling, english: str) -> None:
        device.state.up = False
        self._on_event(events.device_down(device.settings.name, self._clock.mono_ns(), english))

    def _hand_on(self, device: DevicePolling, readings: Sequence[Reading], poll: Poll | None) -> None:
        """One scan for each moment at which answers arrived, filtered; `poll` is what brought them."""
        device.state.note(readings, poll)
        passing = device.filter.passing(readings)
        times = {reading.mono_ns: None for reading in passing}
        for mono_ns in times:
            together = passing if len(times) == 1 else [one for one in passing if one.mono_ns == mono_ns]
            self._on_scan(Scan(device.settings.name, mono_ns, together))
