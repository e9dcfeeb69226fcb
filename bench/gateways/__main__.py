"""Run the bench: `make bench`, or `python -m gateways` in the folder bench/."""

import argparse
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from gateways.kernel import clock_is_set, file_system, machine
from gateways.plot import plot
from gateways.processes import cores
from gateways.results import Results, faults
from gateways.rig import Unfit, build
from gateways.scenes import SCENES, Effort, Scene
from gateways.subjects import OURS, SUBJECTS, Missing, Place, Subject
from gateways.table import goals, table

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """0 whatever the figures; 1 where our agent lost something, told something wrong, or did not run."""
    arguments = _arguments()
    prefix = arguments.prefix.resolve()
    prefix.mkdir(parents=True, exist_ok=True)
    results = Results()
    print(_head(prefix), flush=True)
    try:
        build(prefix)
    except Unfit as err:
        print(err, file=sys.stderr)
        return 1
    os.sched_setaffinity(0, {cores()[1]})
    effort = _effort(arguments)
    subjects = installed(arguments.only, Place(prefix, arguments.wheel_venv), results)
    for scene in (SCENES[name] for name in arguments.scenes):
        runs = effort.runs if scene.repeated else 1
        for number in range(runs):
            for subject in subjects:
                if scene.fits(subject, effort):
                    measure(scene, subject, prefix, effort, results, f"{number + 1}/{runs}")
    report(results, prefix, effort)
    return 1 if results.problems else 0


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
            if name.startswith(OURS):
                results.problems.append(f"{name}: {err}")
    return ready


def measure(scene: Scene, subject: Subject, prefix: Path, effort: Effort, results: Results, run: str) -> None:
    """One run of one scene; what fails with a peer is a note, with ours a problem."""
    began_s = time.monotonic()
    ours = subject.name.startswith(OURS)
    try:
        figures = scene.run(subject, prefix, effort)
    except (Unfit, Missing, OSError, ValueError) as err:
        results.notes.append(f"{subject.name}, {scene.name}: not measured, {err}")
        if ours:
            results.problems.append(f"{subject.name}, {scene.name}: {err}")
        print(f"  {scene.name} {run} {subject.name}: {err}", flush=True)
        return
    results.add(subject.name, figures)
    if ours:
        results.problems += faults(subject.name, scene.name, figures)
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"  {scene.name} {run} {subject.name}, {time.monotonic() - began_s:.0f} s: {told}", flush=True)


def report(results: Results, prefix: Path, effort: Effort) -> None:
    """Print the table and the goals; write JSON and the picture beside the installations."""
    figures = results.figures()
    print(f"\n{table(figures, OURS)}\n\n{goals(results.verdicts())}\n")
    for name, version in results.versions.items():
        print(f"{name} {version}: {SUBJECTS[name].note}")
    for line in [*results.notes, *(f"PROBLEM {problem}" for problem in results.problems)]:
        print(line)
    print(f"load average at the end {machine()['load']}")
    (prefix / "results.json").write_text(results.as_json(machine(), asdict(effort)))
    (prefix / "results.svg").write_text(plot(figures, OURS))
    print(f"written: {prefix / 'results.json'}, {prefix / 'results.svg'}")


def _head(prefix: Path) -> str:
    facts = machine()
    subject, load = cores()
    pinned = f"gateway on core {subject}, everything else on core {load}"
    if subject == load:
        pinned += " (ONE core only: latency and highest rates say nothing)"
    clock = "" if clock_is_set() else "; the clock of this machine is not set: hold_unsynced_s = 0 for our agent"
    return (
        "\n".join(f"{name}: {value}" for name, value in facts.items())
        + f"\npinned: {pinned}\ncard: {file_system(prefix)}, {prefix}{clock}\n"
    )


def _effort(arguments: argparse.Namespace) -> Effort:
    effort = Effort.short() if arguments.quick else Effort()
    if arguments.seconds:
        effort = effort.scaled(arguments.seconds)
    return replace(effort, runs=arguments.runs) if arguments.runs else effort


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gateways", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about five minutes: short windows, one run")
    parser.add_argument("--seconds", type=float, help="length of the windows of the plain work and of the outage")
    parser.add_argument("--runs", type=int, help="of each scene; the table shows medians")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), metavar="GATEWAY")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES), metavar="SCENE")
    parser.add_argument("--prefix", type=Path, default=ROOT / ".bench", help="where gateways are installed")
    parser.add_argument("--wheel-venv", type=Path, default=ROOT / ".venv-wheel", help="where our wheel is installed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
