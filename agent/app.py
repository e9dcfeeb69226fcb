"""The composition root: build everything from the settings, run the two loops around the store, stop in order.

*Core* (store writer, publisher, health, reload, watchdog) crashes together: the process ends non-zero, systemd starts
it again, the data is in the journal. *Links* are isolated: one that crashes starts again, its neighbours do not notice.
"""

import asyncio
import logging
import signal
from functools import partial
from pathlib import Path
from random import Random

from agent import __version__
from agent.clock import NS_PER_S, Clock, ClockState, SystemClock
from agent.control import Order, control_server
from agent.event_loop import loop_name
from agent.forgetting import carry_out
from agent.model import Account, Scan
from agent.polling import lending, once
from agent.reload import Reload, extent
from agent.report import Reporter
from agent.running import Running, open_shelf, store_config
from agent.sdnotify import Notifier
from agent.settings import Settings
from agent.store import Store, open_store
from agent.store.pictures import PictureShelf
from agent.watchdog import Watchdog
from drivers.api import Reading

log = logging.getLogger(__name__)

HEALTH_INTERVAL_S = 60.0
QUIET_S = 600.0
"""A gateway that sealed nothing for so long seals its own health, so that `low` keeps moving at the IOC."""
STOP_S = 25.0
"""What a stop may take beside `drain_s`: sealing, and a slow card."""
GATEWAY_DEVICE = "_gateway"


async def run_agent(settings: Settings) -> Account:
    """Run until SIGTERM or SIGINT; returns the account of the store after a clean stop. SIGHUP reloads."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: the settings are being read just now")
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
    folder = Path(settings.gateway.data_dir) / "pictures"
    shelf = PictureShelf(folder, settings.outbox.picture_max_bytes, clock, random)
    await open_shelf(shelf, settings)
    running = Running(settings, clock, store, shelf, random)
    await running.expiry.read()  # before the first health message
    reporter = Reporter(running, clock, store, shelf)
    reload = Reload(running, store, clock, notifier)
    watchdog = Watchdog({"store": store, "uplink": running}, running.pollers, clock)
    answers = {"status": reporter.status, "live": reporter.live, "outbox": reporter.outbox}
    orders: dict[str, Order] = {
        "forget": partial(carry_out, store),
        "reload": reload.order,
        once.VERB: partial(once.carry_out, lambda: running.pollers),
    }
    leases = {lending.VERB: running.lender.lend}
    runtime_dir = Path(settings.gateway.runtime_dir)
    async with control_server(runtime_dir, answers, orders, leases), asyncio.TaskGroup() as core:
        tasks = [
            core.create_task(store.run(), name="store"),
            core.create_task(running.pictures.run(), name="pictures"),
            core.create_task(_health(reporter, store, running, clock), name="health"),
            core.create_task(watchdog.run(notifier), name="watchdog"),
        ]
        running.start(core)
        reloading = core.create_task(reload.run(), name="reload")
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.ask)
        gateway, count = settings.gateway.id, len(settings.devices)
        log.info("oc-agent %s on %s: gateway %s, %d devices", __version__, loop_name(), gateway, count)
        notifier.send("READY=1", f"STATUS={extent(settings)}")
        await stop.wait()
        await _cancel(reloading)
        stop_us = round((running.settings.uplink.drain_s + STOP_S) * 1e6)
        notifier.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={stop_us}")
        log.info("stopping: polling ends, what was read is sealed and sent")
        await running.stop()
        for task in tasks:
            await _cancel(task)


async def _health(reporter: Reporter, store: Store, running: Running, clock: Clock) -> None:
    """Send the health message each minute; seal a quiet batch where nothing was sealed for ten."""
    high, since_ns = store.high, clock.mono_ns()
    while True:
        await running.publish_health(await reporter.health())
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
