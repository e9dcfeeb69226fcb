"""One scenario, run: all that it needs stands up, the gateway starts, faults come and go, and what was seen is judged.

Promises: everything that was started ends with the call, also when it is cancelled; the gateway is told to end by
SIGTERM; what is still on its way is waited for.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from drivers.tomltext import toml_text
from simulators.brokers.broker import broker
from simulators.brokers.mosquitto import BrokerOptions
from simulators.endpoints import CannotServe
from simulators.host import HostCannot
from simulators.kinds import serve_site
from simulators.mqtt.address import parse_broker
from simulators.problems import SiteError
from simulators.processes import ChildFailed
from simulators.proxy.proxy import proxy
from simulators.scenario.doing import Doings
from simulators.scenario.evidence import Evidence
from simulators.scenario.ioc_process import IocProcess
from simulators.scenario.machine import machine_for
from simulators.scenario.placeholders import Places
from simulators.scenario.playing import Play, Stage
from simulators.scenario.reading import read_scenario
from simulators.scenario.recorder import Recorder
from simulators.scenario.report import ScenarioReport, outcome_of
from simulators.scenario.scenario import Scenario, Where
from simulators.scenario.timeline import Window, windows
from simulators.scenario.trust import make_show
from simulators.scenario.uplink import Uplink
from simulators.values import BadValue

TAIL_LINES = 20
_READY_S = 10.0
_EXPECTED = (HostCannot, ChildFailed, CannotServe, SiteError, BadValue)

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How scenarios are run: `seed` and `seconds` replace those of the file, `speed` divides its times.

    `short`: for the length that each file calls the shortest.
    """

    seed: int | None = None
    seconds: float | None = None
    speed: float = 1.0
    short: bool = False
    keep: bool = False


def read(file: Path, places: Places, options: Options) -> Scenario:
    """The scenario as it will be run; raises `SiteError`."""
    told = {"seed": options.seed, "speed": options.speed, "seconds": options.seconds, "short": options.short}
    return read_scenario(file, places, **told)  # type: ignore[arg-type] # as `Options` says


async def run_scenario(file: Path, command: Sequence[str], options: Options, say: Say) -> ScenarioReport:
    """Run COMMAND under a scenario, and judge it. Raises `SiteError` where the file is no scenario."""
    scenario = read(file, Places.nowhere(), options)
    with work_folder(keep=options.keep) as folder:
        kept = str(folder) if options.keep else ""
        try:
            evidence = await _run(file, command, options, say, folder)
        except (*_EXPECTED, ExceptionGroup) as err:
            known = _known(err)
            if known is None:
                raise
            return _not_run(scenario, known, kept)
        # In a thread: the devices of other scenarios that run beside this one must go on answering.
        return await asyncio.to_thread(judged, scenario, evidence, kept)


def judged(scenario: Scenario, evidence: Evidence, folder: str = "") -> ScenarioReport:
    """What each expectation says. Pure."""
    verdicts = [one.judge(evidence) for one in scenario.expect]
    return ScenarioReport(
        name=scenario.name,
        file=str(scenario.file),
        outcome=outcome_of(verdicts),
        seed=scenario.keys.seed,
        seconds=evidence.seconds,
        about=scenario.keys.about,
        field=scenario.keys.field,
        verdicts=verdicts,
        counts=_counts(evidence),
        done=evidence.done,
        folder=folder,
        output_tail=[line.text for line in evidence.output[-TAIL_LINES:]],
    )


def _counts(evidence: Evidence) -> dict[str, int]:
    """How much was looked at, and what could not be."""
    strange = [one for one in evidence.arrivals if one.device not in evidence.devices and one.device != "_gateway"]
    counts = {"values served": len(evidence.served), "values arrived": len(evidence.arrivals)}
    if strange:
        counts[f"of no device of the scenario, like {strange[0].device}.{strange[0].point}"] = len(strange)
    return counts | {f"not understood: {why}": count for why, count in evidence.malformed.items()}


def _known(err: Exception) -> Exception | None:
    """What the world is to blame for, also out of a group; None where there is something else too."""
    if not isinstance(err, ExceptionGroup):
        return err
    ours, others = err.split(_EXPECTED)
    if ours is None or others is not None:
        return None
    return _known(ours.exceptions[0])


def _not_run(scenario: Scenario, why: Exception, folder: str) -> ScenarioReport:
    keys = scenario.keys
    return ScenarioReport(
        name=scenario.name,
        file=str(scenario.file),
        outcome="skipped" if isinstance(why, HostCannot) else "broken",
        seed=keys.seed,
        about=keys.about,
        field=keys.field,
        why=str(why),
        folder=folder,
    )


async def _run(file: Path, command: Sequence[str], options: Options, say: Say, folder: Path) -> Evidence:
    scenario = read(file, Places.nowhere(), options)
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_for(scenario, folder))
        show = await asyncio.to_thread(make_show, scenario.broker, folder / "tls")
        mqtt = await stack.enter_async_context(broker(folder, BrokerOptions(lines=show.more)))
        way = await stack.enter_async_context(
            proxy(show.port or mqtt.port, seed=scenario.keys.seed, mqtt=not show.port)
        )
        places = Places(folder, machine.data, machine.run_dir, way.port, seed=scenario.keys.seed)
        places.protocol, places.ca_file = mqtt.protocol, show.ca_file
        scenario = read(file, places, options)
        places.addresses = scenario.addresses
        _write_files(scenario, places)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        recorder = Recorder(parse_broker(mqtt.url), mqtt.protocol, scenario.arrives)
        listening = tasks.create_task(recorder.run(), name="recorder")
        stack.callback(listening.cancel)
        ioc = None if scenario.arrives else IocProcess(folder, mqtt, scenario.ioc)
        if ioc is not None:
            stack.push_async_callback(ioc.stop)
            await ioc.start()
        await _listens(recorder)
        stage = Stage(scenario, places, machine, Uplink(way, mqtt, recorder, ioc), say)
        play = Play(stage, _timelines(scenario))
        await stack.enter_async_context(serve_site(scenario.site, play.world))
        play.direct()
        doings = Doings(machine, places.environment(), folder / "do.log")
        stack.push_async_callback(doings.end)
        await play.run(places.command(command), places.environment(), doings)
        await play.settle()
        if ioc is not None:
            await ioc.stop()
        return await asyncio.to_thread(play.evidence)


async def _listens(recorder: Recorder) -> None:
    """Raises `ChildFailed` where the broker does not let it."""
    try:
        async with asyncio.timeout(_READY_S):
            await recorder.ready.wait()
    except TimeoutError as err:
        raise ChildFailed(f"no subscription at the broker within {_READY_S:g} s") from err


def _timelines(scenario: Scenario) -> Mapping[Where, Sequence[Window]]:
    keys = scenario.keys
    return {
        "site": windows(scenario.on("site"), keys.length_s, keys.seed),
        "uplink": windows(scenario.on("uplink"), keys.seconds, keys.seed, heal=keys.heal),
        "host": windows(scenario.on("host"), keys.seconds, keys.seed, heal=keys.heal),
    }


def _write_files(scenario: Scenario, places: Places) -> None:
    (places.folder / "ports").mkdir(exist_ok=True)
    places.config.write_text(toml_text(scenario.agent), encoding="utf-8")
    for one in scenario.files:
        path = places.folder / places.fill(one.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(places.fill(one.text), encoding="utf-8")


@contextmanager
def work_folder(*, keep: bool) -> Iterator[Path]:
    """A private folder, removed at the end unless `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="oc-sim-check-")).resolve()
    try:
        yield folder
    finally:
        if not keep:
            with suppress(OSError):
                shutil.rmtree(folder)
