"""The composition root: build everything from the settings, run the two loops around the store, stop in order.

*Core* (store writer, publisher, health, watchdog) crashes together: the process ends non-zero, systemd starts it
again, the data is in the journal. *Links* are isolated: one that crashes starts again, its neighbours do not notice.
"""

import asyncio
import logging
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

from agent import __version__
from agent.clock import NS_PER_S, Clock, ClockState, SystemClock
from agent.commands import Commands
from agent.control import control_server
from agent.forgetting import carry_out
from agent.model import Account, Scan
from agent.pictures import Pictures
from agent.polling import lending, once
from agent.polling.poller import LinkPoller
from agent.report import Reporter
from agent.sdnotify import Notifier
from agent.settings import Settings
from agent.store import Store, StoreConfig, open_store
from agent.store.pictures import PictureShelf
from agent.supervise import Backoff, keep_running
from agent.uplink.expiry import ExpiryWatch
from agent.uplink.formats.ocg1 import Ocg1, config_hash
from agent.uplink.publisher import Publisher
from agent.watchdog import Watchdog
from drivers.api import Reading

log = logging.getLogger(__name__)

HEALTH_INTERVAL_S = 60.0
QUIET_S = 600.0
"""A gateway that sealed nothing for so long seals its own health, so that `low` keeps moving at the IOC."""
STOP_S = 25.0
"""What a stop may take beside `drain_s`: sealing, and a slow card."""
GATEWAY_DEVICE = "_gateway"
LINK_RESTART_FIRST_S, LINK_RESTART_MAX_S = 1.0, 60.0
UPLINK_RETRY_FIRST_S, UPLINK_RETRY_MAX_S = 0.1, 1.0


async def run_agent(settings: Settings) -> Account:
    """Run until SIGTERM or SIGINT; returns the account of the store after a clean stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, log.warning, "SIGHUP: settings are read at start only: restart the service")
    notifier = Notifier()
    clock = SystemClock()
    async with open_store(store_config(settings), clock) as store:
        if not store.ram_disk:
            log.warning("%s is not on a RAM disk: each batch is committed", settings.gateway.runtime_dir)
        hold_s = settings.clock.hold_unsynced_s
        if hold_s and clock.state() is ClockState.UNSYNC:
            log.warning("the clock was not set in this boot yet: readings wait for it, at most %g s", hold_s)
        await _serve(settings, clock, store, notifier, stop)
        await store.flush()
        return store.account()


async def _serve(settings: Settings, clock: Clock, store: Store, notifier: Notifier, stop: asyncio.Event) -> None:
    random = Random()
    uplink_backoff = Backoff(UPLINK_RETRY_FIRST_S, UPLINK_RETRY_MAX_S, random)
    shelf = await _open_shelf(settings, clock, random)
    pictures = Pictures(shelf, store)
    takes_pictures = any(device.picture for device in settings.devices)
    commands = Commands({"snapshot": pictures.snapshot} if takes_pictures else {}, store, clock)
    ocg1 = Ocg1(settings, commands.names)
    publisher = Publisher(settings, store, clock, uplink_backoff.delays, format_=ocg1, shelf=shelf)
    store.on_sealed = publisher.on_sealed
    store.on_salvaged = publisher.on_salvaged
    publisher.notices.event = store.append_event
    publisher.notices.result = store.append_result
    publisher.notices.command = commands.heard
    publisher.notices.bad_command = commands.bad
    lender = lending.Lender(clock)
    pollers = _pollers(settings, clock, random, store, pictures, lender)
    lender.endpoints = lambda: {poller.link.options.endpoint: poller.link.name for poller in pollers}
    pictures.pollers = pollers
    if publisher.pictures:
        pictures.on_kept = publisher.pictures.poke
    expiry = ExpiryWatch(settings, clock, store.append_event)
    await expiry.read()  # before the first health message
    reporter = Reporter(settings, clock, store, publisher, pollers, shelf, expiry)
    watchdog = Watchdog({"store": store, "uplink": publisher}, pollers, clock)
    runtime_dir = Path(settings.gateway.runtime_dir)
    answers = {"status": reporter.status, "live": reporter.live, "outbox": reporter.outbox}
    orders = {"forget": partial(carry_out, store), once.VERB: partial(once.carry_out, lambda: pollers)}
    leases = {lending.VERB: lender.lend}
    async with control_server(runtime_dir, answers, orders, leases), asyncio.TaskGroup() as core:
        tasks = [
            core.create_task(store.run(), name="store"),
            core.create_task(publisher.run(), name="uplink"),
            core.create_task(pictures.run(), name="pictures"),
            core.create_task(expiry.run(), name="certificate"),
            core.create_task(_health(reporter, store, publisher, clock), name="health"),
            core.create_task(watchdog.run(notifier), name="watchdog"),
        ]
        links = core.create_task(_poll_links(pollers, clock, random), name="links")
        log.info("oc-agent %s: gateway %s, %d devices", __version__, settings.gateway.id, len(settings.devices))
        notifier.send("READY=1", f"STATUS={len(settings.devices)} devices on {len(settings.links)} links")
        await stop.wait()
        stop_us = round((settings.uplink.drain_s + STOP_S) * 1e6)
        notifier.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={stop_us}")
        log.info("stopping: polling ends, what was read is sealed and sent")
        await _cancel(links)
        await store.flush()
        await publisher.drain()
        for task in tasks:
            await _cancel(task)


def store_config(settings: Settings) -> StoreConfig:
    """What the store is told."""
    return StoreConfig(
        gateway=settings.gateway.id,
        data_dir=Path(settings.gateway.data_dir),
        runtime_dir=Path(settings.gateway.runtime_dir),
        outbox=settings.outbox,
        hold_unsynced_s=settings.clock.hold_unsynced_s,
        config_hash=config_hash(settings),
    )


async def _open_shelf(settings: Settings, clock: Clock, random: Random) -> PictureShelf:
    folder = Path(settings.gateway.data_dir) / "pictures"
    shelf = PictureShelf(folder, settings.outbox.picture_max_bytes, clock, random)
    if any(device.picture for device in settings.devices) or folder.is_dir():
        try:
            await asyncio.to_thread(shelf.open)
        except OSError as err:
            log.warning("there will be no pictures: %s", err)
    return shelf


def _pollers(
    settings: Settings, clock: Clock, random: Random, store: Store, pictures: Pictures, lender: lending.Lender
) -> list[LinkPoller]:
    def full() -> bool:
        return store.full

    return [
        LinkPoller(
            link,
            devices,
            clock,
            random,
            store.append,
            store.append_event,
            full,
            pictures.keep,
            lender.line(link.name),
        )
        for link in settings.links
        if (devices := settings.on_link(link.name))
    ]


async def _poll_links(pollers: Sequence[LinkPoller], clock: Clock, random: Random) -> None:
    async with asyncio.TaskGroup() as links:
        for poller in pollers:
            name = f"link {poller.link.name}"
            backoff = Backoff(LINK_RESTART_FIRST_S, LINK_RESTART_MAX_S, random)
            links.create_task(keep_running(name, poller.run, backoff, clock), name=name)


async def _health(reporter: Reporter, store: Store, publisher: Publisher, clock: Clock) -> None:
    """Send the health message each minute; seal a quiet batch where nothing was sealed for ten."""
    high, since_ns = store.high, clock.mono_ns()
    while True:
        await publisher.publish_health(await reporter.health())
        await asyncio.sleep(HEALTH_INTERVAL_S)
        now_ns = clock.mono_ns()
        if store.high != high:
            high, since_ns = store.high, now_ns
        elif now_ns - since_ns >= QUIET_S * NS_PER_S:
            readings = [Reading(point, value, now_ns) for point, value in (await reporter.health_values()).items()]
            store.append(Scan(GATEWAY_DEVICE, now_ns, readings))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
