"""Run the bench: `make bench`, or `python -m gateways` in the folder bench/."""

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from gateways.boards import BOARDS, here_s
from gateways.kernel import clock_is_set, file_system, machine
from gateways.plot import plot
from gateways.processes import cores
from gateways.quota import PERIOD_US, Unlimited, limited
from gateways.results import Results, faults
from gateways.rig import Unfit, build, mosquitto
from gateways.scenes import BOARD_SCENES, SCENES, Effort, Scene
from gateways.subjects import OURS, SUBJECTS, Missing, OnBoard, Place, Subject
from gateways.table import BOARD_COLUMNS, COLUMNS, goals, table

ROOT = Path(__file__).resolve().parents[2]
TRIES = 2
"""What does not come to an end is tried again: on a busy machine a gateway may start too late."""


def main() -> int:
    """0 whatever the figures; 1 where our agent lost something, told something wrong, or did not run."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended too
    prefix = arguments.prefix.resolve()
    prefix.mkdir(parents=True, exist_ok=True)
    results = Results()
    try:
        results.facts = machine() | _circumstances(prefix)
        build(prefix)
    except (Unfit, Missing) as err:
        print(err, file=sys.stderr)
        return 1
    print("\n".join(f"{name}: {value}" for name, value in results.facts.items()), flush=True)
    os.sched_setaffinity(0, {cores()[1]})
    effort, place = _effort(arguments), Place(prefix, arguments.wheel_venv)
    with ExitStack() as stack:
        subjects = installed(arguments.only, place, results)
        if arguments.boards:
            subjects += on_boards(subjects, arguments.boards, place, stack, results)
        for scene, run, subject in _plan(arguments, subjects, effort):
            measure(scene, subject, prefix, effort.of(subject), results, run)
    report(results, prefix, effort, boards=bool(arguments.boards))
    return 1 if results.problems else 0


def _plan(
    arguments: argparse.Namespace, subjects: list[Subject], effort: Effort
) -> Iterator[tuple[Scene, str, Subject]]:
    """What is measured, in turn: gateways beside each other, and all of them once before any of them again."""
    for name in arguments.scenes or (BOARD_SCENES if arguments.boards else SCENES):
        scene = SCENES[name]
        runs = effort.runs if scene.repeated else 1
        for number in range(runs):
            for subject in subjects:
                if arguments.boards or scene.fits(subject, effort):
                    yield scene, f"{number + 1}/{runs}", subject


def installed(names: list[str], place: Place, results: Results) -> list[Subject]:
    """Those that can be had here; the others are named, with the reason."""
    ready = []
    for name in names:
        subject = SUBJECTS[name]
        try:
            results.versions[name] = subject.install(place)
            ready.append(subject)
        except Missing as err:
            results.notes.append(f"{name}: skipped, {err}")
            if not subject.optional:
                results.problems.append(f"{name}: {err}")
    return ready


def on_boards(
    subjects: list[Subject], boards: list[str], place: Place, stack: ExitStack, results: Results
) -> list[Subject]:
    """Each gateway with what each board has of a core; what cannot be limited is named, with the reason."""
    here = here_s(place.wheel_venv / "bin" / "python")
    results.notes.append(f"the benchmark of boards.py takes {here:.1f} s here; quota in each {PERIOD_US / 1000:g} ms")
    found: list[Subject] = []
    for subject in subjects:
        results.add(subject.name, {"share": 1.0})
    for key in boards:
        board = BOARDS[key]
        share = board.share(here)
        try:
            group = stack.enter_context(limited(share, key))
        except Unlimited as err:
            results.notes.append(f"{board.name}: skipped, {err}")
            continue
        results.notes.append(f"{board.name}, {board.core}: {board.rounds_s:.1f} s there, so {share:.3f} of a core here")
        for subject in subjects:
            found.append(OnBoard(subject, board.name, group))
            results.add(found[-1].name, {"share": share})
    return found


def measure(scene: Scene, subject: Subject, prefix: Path, effort: Effort, results: Results, run: str) -> None:
    """One run of one scene; what fails with a peer is a note, with ours a problem; the rest goes on."""
    began_s = time.monotonic()
    ours = subject.name.startswith(OURS)
    figures = None
    for _ in range(TRIES):
        try:
            figures = scene.run(subject, prefix, effort)
            break
        except (Unfit, Missing, OSError, ValueError) as err:
            reason = str(err)
        except Exception as err:  # noqa: BLE001  # an hour of figures is not lost for a fault in one scene
            traceback.print_exc()
            reason = repr(err)
        results.notes.append(f"{subject.name}, {scene.name}: failed, {reason}")
        print(f"  {scene.name} {run} {subject.name}: failed, {reason}", flush=True)
    took_s = time.monotonic() - began_s
    results.seconds[scene.name][subject.name] += took_s
    if figures is None:
        if ours:
            results.problems.append(f"{subject.name}, {scene.name}: not measured, {reason}")
        return
    results.add(subject.name, figures)
    if ours:
        results.problems += faults(subject.name, scene.name, figures)
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"  {scene.name} {run} {subject.name}, {took_s:.0f} s: {told}", flush=True)


def report(results: Results, prefix: Path, effort: Effort, *, boards: bool) -> None:
    """Print the table and the goals; write JSON and the picture beside the installations."""
    figures = results.figures()
    name = "boards" if boards else "results"
    print(f"\n{table(figures, OURS, BOARD_COLUMNS if boards else COLUMNS)}\n")
    if not boards:
        print(f"{goals(results.verdicts())}\n")
    for subject, version in results.versions.items():
        print(f"{subject} {version}: {SUBJECTS[subject].note}")
    for line in [*results.notes, *(f"PROBLEM {problem}" for problem in results.problems)]:
        print(line)
    print(f"{results.took()}\nload average at the end {machine()['load']}")
    (prefix / f"{name}.json").write_text(results.as_json(asdict(effort)))
    (prefix / f"{name}.svg").write_text(plot(figures, OURS, BOARD_COLUMNS if boards else COLUMNS))
    print(f"written: {prefix / name}.json, {prefix / name}.svg")


def _circumstances(prefix: Path) -> dict[str, str]:
    subject, load = cores()
    pinned = f"gateway on core {subject}, everything else on core {load}"
    if subject == load:
        pinned += " (ONE core only: latency and highest rates say nothing)"
    said = subprocess.run([mosquitto(), "-h"], capture_output=True, text=True, check=False).stdout
    facts = {
        "pinned": pinned,
        "card": f"{file_system(prefix)}, {prefix}",
        "broker": (said.splitlines() or ["?"])[0],
        "compiler": subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[
            0
        ],
    }
    if not clock_is_set():
        facts["clock"] = "not set: hold_unsynced_s = 0 for our agent"
    return facts


def _effort(arguments: argparse.Namespace) -> Effort:
    effort = Effort.short() if arguments.quick else Effort()
    if arguments.boards:
        effort = effort.on_board()
    if arguments.seconds:
        effort = effort.scaled(arguments.seconds)
    return replace(effort, runs=arguments.runs) if arguments.runs else effort


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gateways", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some minutes: short windows, one run")
    parser.add_argument("--seconds", type=float, help="length of the windows of the plain work and of the outage")
    parser.add_argument("--runs", type=int, help="of the plain work; the table shows medians")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, metavar="GATEWAY")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, metavar="SCENE")
    parser.add_argument("--boards", nargs="+", choices=BOARDS, help="with as much of a core as these boards have")
    parser.add_argument("--prefix", type=Path, default=ROOT / ".bench", help="where gateways are installed")
    parser.add_argument("--wheel-venv", type=Path, default=ROOT / ".venv-wheel", help="where our wheel is installed")
    arguments = parser.parse_args()
    arguments.only = arguments.only or ([OURS] if arguments.boards else list(SUBJECTS))
    return arguments


if __name__ == "__main__":
    sys.exit(main())
