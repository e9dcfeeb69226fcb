"""A scene that fails is tried again, then named, and the rest of the bench goes on."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from gateways.__main__ import installed, measure
from gateways.results import Results
from gateways.scenes import Effort
from gateways.subjects import SUBJECTS, Missing, Place, Subject


class Scene:
    name, repeated = "scene", False

    def __init__(self, *outcomes: Exception | Mapping[str, float]) -> None:
        self._outcomes = list(outcomes)

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return True

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def measured(name: str, *outcomes: Exception | Mapping[str, float]) -> Results:
    results = Results()
    measure(Scene(*outcomes), SUBJECTS[name], Path("/nowhere"), Effort(), results, "1/1")
    return results


def test_what_failed_once_is_measured_and_noted() -> None:
    results = measured("oc-agent", OSError("no port"), {"cpu_s": 0.003})
    assert results.runs["oc-agent"]["cpu_s"] == [0.003]
    assert results.notes == ["oc-agent, scene: failed, no port"]
    assert results.problems == []


def test_what_fails_twice_is_a_problem_where_it_is_ours_and_a_note_where_it_is_not() -> None:
    assert measured("oc-agent", ZeroDivisionError(), ZeroDivisionError()).problems
    peer = measured("collectd", ZeroDivisionError(), ZeroDivisionError())
    assert (len(peer.notes), peer.problems) == (2, [])
    assert peer.seconds["scene"]["collectd"] >= 0


def test_a_reading_that_was_lost_is_a_problem_where_it_is_ours() -> None:
    assert measured("oc-agent", {"ramp_lost": 1}).problems == ["oc-agent, scene: ramp_lost 1"]
    assert measured("collectd", {"ramp_lost": 1}).problems == []


def test_a_gateway_that_cannot_be_had_is_named_and_is_a_problem_only_where_it_must_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_place: Place) -> str:
        raise Missing("not here")

    for name in ("oc-agent", "oc-agent-uvloop", "collectd"):
        monkeypatch.setattr(SUBJECTS[name], "install", missing)
    results = Results()
    assert installed(["oc-agent", "oc-agent-uvloop", "collectd"], Place(Path(), Path()), results) == []
    assert len(results.notes) == 3
    assert results.problems == ["oc-agent: not here"]
