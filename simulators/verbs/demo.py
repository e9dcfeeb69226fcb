"""Show everything at work: broker, devices, IOC and agent on this machine, an outage of the broker, and the account.

Seven simulated devices, a camera among them, are read by the real agent. In the middle the broker is killed for 10 s.
At the end the agent is stopped, and what it read is compared with what the IOC has and with what the devices served.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from simulators.brokers.broker import Broker, broker
from simulators.demo.account import Account, AgentAccount, account, as_text
from simulators.demo.display import Display, display
from simulators.demo.files import DemoFolder, demo_folder
from simulators.ioc.report import Report
from simulators.output import show_line, show_text, stop_signal
from simulators.processes import Child, ChildFailed, child

CUT_S = 10.0
LOOK_EVERY_S = 0.5
FIRST_READING_S = 20.0
ARRIVE_S = 15.0
AGENT_STOP_S = 30.0
INTERRUPTED = 130
_NOTHING = Report([], 0, 0, 0, 0, {}, "", [], None, None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=_seconds, default=45.0, metavar="N", help="how long to read; default 45")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other values for another seed; default 0")
    parser.add_argument("--json", action="store_true", help="only the account, as one JSON line")
    parser.add_argument("--embedded", action="store_true", help="the embedded broker, even where mosquitto is there")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configuration, logs and databases")


def main(args: argparse.Namespace) -> int:
    with demo_folder(keep=args.keep) as folder:
        result = asyncio.run(_until_stopped(folder, args))
    if args.keep:
        print(f"kept: {folder.folder} and {folder.runtime}", file=sys.stderr)
    if result is None:
        return INTERRUPTED
    if args.json:
        show_line(msgspec.structs.asdict(result) | {"ok": result.good})
    else:
        show_text(as_text(result))
    return 0 if result.good else 1


async def _until_stopped(folder: DemoFolder, args: argparse.Namespace) -> Account | None:
    async with stop_signal() as stop:
        demo = asyncio.create_task(_demo(folder, args), name="demo")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait((demo, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not demo.done():
            demo.cancel()
            await asyncio.wait((demo,))
        return None if demo.cancelled() else demo.result()


async def _demo(folder: DemoFolder, args: argparse.Namespace) -> Account:
    python = (sys.executable, "-m")
    async with broker(folder.folder, embedded=args.embedded) as mqtt:
        folder.write_config(mqtt)
        config = str(folder.config)
        ioc_argv = [*python, "simulators", "ioc", "--broker", mqtt.url, "--db", str(folder.database)]
        ioc_argv += ["--pictures", str(folder.pictures)]
        ioc_argv += ["--protocol", mqtt.protocol, "--json", "--every", str(LOOK_EVERY_S)]
        site_argv = [*python, "simulators", "run", "--config", config, "--seed", str(args.seed)]
        site_argv += ["--truth", str(folder.truth)]
        async with (
            child("ioc", ioc_argv, folder.log("ioc")) as ioc,
            child("devices", site_argv, folder.log("devices")) as devices,
        ):
            await ioc.ready()
            await devices.ready()
            async with child("agent", (*python, "agent", "--config", config, "run"), folder.log("agent")) as agent:
                with display(silent=args.json) as screen:
                    await _watch(Scene(mqtt, ioc, (ioc, devices, agent), screen), args.seconds)
                agent_account = await _stop_agent(agent)
            await _wait_for_all(ioc, agent_account.accepted)
            await ioc.stop()
        return account(agent_account, _report(ioc), folder.truth, folder.database, folder.pictures)


@dataclass(frozen=True)
class Scene:
    """What is running, and where it is shown."""

    mqtt: Broker
    ioc: Child
    children: Sequence[Child]
    screen: Display

    async def watch(self, phase: str, seconds: float, until_readings: int = 0) -> None:
        """Show what arrives for so long; raises `ChildFailed` where something has ended."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        while loop.time() < end_s:
            for one in self.children:
                if not one.running:
                    raise ChildFailed(f"{one.name} ended with exit code {one.process.returncode}:\n{one.log_tail()}")
            report = _report(self.ioc)
            self.screen.show(phase, report)
            if until_readings and report.readings >= until_readings:
                return
            await asyncio.sleep(min(LOOK_EVERY_S, max(0.0, end_s - loop.time())))


async def _watch(scene: Scene, seconds: float) -> None:
    cut_s = min(CUT_S, seconds / 3)
    around_s = (seconds - cut_s) / 2
    await scene.watch(f"Starting, broker {scene.mqtt.name}", FIRST_READING_S, until_readings=1)
    await scene.watch("Everything is up", around_s)
    await scene.mqtt.kill()
    await scene.watch(f"THE BROKER IS CUT for {cut_s:.0f} s, the agent stores", cut_s)
    await scene.mqtt.start()
    await scene.watch("The broker is back", around_s)


async def _stop_agent(agent: Child) -> AgentAccount:
    """Stop the agent as systemd would; its account is the last line on its stdout."""
    code = await agent.stop(timeout_s=AGENT_STOP_S)
    if code != 0 or not agent.lines:
        raise ChildFailed(f"the agent ended with exit code {code} and no account:\n{agent.log_tail()}")
    return msgspec.convert(agent.lines[-1], AgentAccount)


async def _wait_for_all(ioc: Child, readings: int) -> None:
    """Until the IOC has reported that many readings; what is missing then shows in the account."""
    arrived = asyncio.Event()
    ioc.on_line = lambda _line: arrived.set() if _report(ioc).readings >= readings else None
    with suppress(TimeoutError):
        async with asyncio.timeout(ARRIVE_S):
            await arrived.wait()


def _report(ioc: Child) -> Report:
    """The newest report that the IOC has printed."""
    newest = ioc.lines[-1] if ioc.lines else {}
    return msgspec.convert(newest["report"], Report) if "report" in newest else _NOTHING


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 9 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("write 9 or more: the broker is away for a third of it, at most 10 s")
    return seconds
