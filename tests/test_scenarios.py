"""The whole scenario library against our agent: short here, at full length and with several seeds in `make soak`.

Scenarios mostly wait, so one `oc-sim check` runs many at once, and each test looks at the verdicts of its own. Of
several xdist workers the first that needs them runs them, the others wait for what it finds.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from simulators.scenario.shipped import scenario_names

CHECK = (sys.executable, "-m", "simulators", "check")
AGENT = (sys.executable, "-m", "agent", "--config", "{config}", "run")
JOBS = 24
SHORT_S, LONG_S = 400, 3_600
SEEDS = (None, 1_954, 1_975)
"""None: that of the file."""

Library = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Give the report of one scenario; run it, together with all others that were chosen, where nobody has yet."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def report(name: str, label: str, arguments: Sequence[str], timeout_s: float) -> dict[str, Any]:
        found = folder / f"scenarios-{label}.json"
        with found.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not found.exists():
                run(found, [*arguments, *chosen(request.session, name)], timeout_s)
        reports = json.loads(found.read_bytes())["scenarios"]
        return next(one for one in reports if Path(one["file"]).stem == name)

    return report


def run(found: Path, arguments: Sequence[str], timeout_s: float) -> None:
    """Write the report to `found`; where there is none, say what `oc-sim check` has said."""
    argv = (*CHECK, "--jobs", str(JOBS), "--report", "json", str(found), *arguments, "--", *AGENT)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s)
    assert found.exists(), f"exit code {done.returncode}: {done.stderr[-4_000:]}"


def chosen(session: pytest.Session, name: str) -> list[str]:
    """The scenarios of all tests here that are to be run in this session."""
    tests = [item for item in session.items if isinstance(item, pytest.Function) and item.path == Path(__file__)]
    names = {item.callspec.params["name"] for item in tests if hasattr(item, "callspec")}
    return sorted(names & set(scenario_names()) | {name})


def passes(report: dict[str, Any]) -> None:
    if report["outcome"] == "skipped":
        pytest.skip(report["why"])
    failed = [one for one in report["verdicts"] if not one["passed"]]
    said = {key: report[key] for key in ("outcome", "why", "seed", "done", "output_tail")}
    assert report["outcome"] == "passed", json.dumps({"failed": failed, **said}, indent=1)
    assert not report["done"] or any(report["done"].values()), "no fault has met anything"


@pytest.mark.parametrize("name", scenario_names())
def test_our_agent_holds_in(name: str, library: Library) -> None:
    passes(library(name, "short", ["--short"], SHORT_S))


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", scenario_names())
def test_our_agent_holds_at_full_length_in(name: str, seed: int | None, library: Library) -> None:
    passes(library(name, f"long-{seed}", [] if seed is None else ["--seed", str(seed)], LONG_S))
