"""The report of scenarios as text, JSON and JUnit XML."""

from typing import Any
from xml.etree import ElementTree as Xml

import msgspec

from simulators.scenario.expectations import Verdict
from simulators.scenario.junit import as_junit
from simulators.scenario.report import CheckReport, ScenarioReport, as_json, as_text, outcome_of

GOOD = Verdict(that="runs", passed=True, expected="it runs", seen="30.0 s")
LENIENT = Verdict(that="nothing_missing", passed=True, expected="all of it", seen="9 of 10", excused={"at the end": 1})
BAD = Verdict(
    that="output",
    passed=False,
    expected="lines like /<a>/",
    seen="2",
    examples=("at 3.0 s: <a> \x00&",),
    excused={"x": 3},
)


def one(**keys: Any) -> ScenarioReport:
    given: dict[str, Any] = {
        "name": "Tên tiếng Việt",
        "file": "a.toml",
        "outcome": "passed",
        "seconds": 30.0,
        "seed": 7,
    }
    return ScenarioReport(**given | keys)


def report() -> CheckReport:
    return CheckReport(
        command=["gateway", "--config", "{config}"],
        scenarios=[
            one(verdicts=[GOOD, LENIENT], done={"no_reply": 3}),
            one(
                name="bad", outcome="failed", verdicts=[GOOD, BAD], output_tail=["last \x1b[31mwords"], field="peer#474"
            ),
            one(name="elsewhere", outcome="skipped", why="user namespaces are not allowed: try it as root"),
            one(name="odd", outcome="broken", why="cannot start gateway:\nno such program"),
        ],
    )


def test_what_failed_or_is_broken_fails_the_check_and_what_is_skipped_only_where_it_is_strict() -> None:
    passed, failed, skipped, broken = report().scenarios
    outcomes = [
        ([passed], True, True),
        ([passed, skipped], True, False),
        ([failed], False, False),
        ([broken], False, False),
    ]
    for scenarios, good, strictly in outcomes:
        check = CheckReport(command=[], scenarios=scenarios)
        assert (check.good(), check.good(strict=True)) == (good, strictly)
    assert (outcome_of([GOOD, LENIENT]), outcome_of([GOOD, BAD])) == ("passed", "failed")


def test_the_text_says_what_was_expected_what_was_seen_and_what_was_left_out() -> None:
    text = as_text(report())
    assert "FAIL output: lines like /<a>/\n         seen: 2\n         at 3.0 s: <a>" in text
    assert "left out: 1 at the end" in text
    assert "as in peer#474" in text
    assert "SKIPPED  elsewhere" in text
    assert "user namespaces are not allowed" in text
    assert text.splitlines()[-1] == "1 of 4 scenarios passed, 1 failed, 1 broken, 1 skipped"


def test_the_json_has_everything_and_the_counts() -> None:
    data = msgspec.json.decode(as_json(report()))
    assert (data["ok"], data["passed"], data["failed"], data["skipped"], data["broken"]) == (False, 1, 1, 1, 1)
    assert data["scenarios"][1]["verdicts"][1]["examples"] == ["at 3.0 s: <a> \x00&"]
    assert data["scenarios"][0]["verdicts"][1]["excused"] == {"at the end": 1}


def test_the_junit_xml_can_be_parsed_whatever_a_gateway_prints_and_its_counts_are_those_of_its_cases() -> None:
    root = Xml.fromstring(as_junit(report()))
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["Tên tiếng Việt", "bad", "elsewhere", "odd"]
    assert [[suite.get(key) for key in ("tests", "failures", "errors", "skipped")] for suite in suites] == [
        ["2", "0", "0", "0"], ["2", "1", "0", "0"], ["1", "0", "0", "1"], ["1", "0", "1", "0"],
    ]  # fmt: skip
    assert [root.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["6", "1", "1", "1"]
    failure = suites[1].find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "2"
    assert failure.text is not None
    assert "at 3.0 s: <a> ?&" in failure.text
    skipped = suites[2].find("testcase/skipped")
    assert skipped is not None
    assert "try it as root" in str(skipped.get("message"))
    assert {one.get("name"): one.get("value") for one in suites[1].iter("property")} == {
        "seed": "7",
        "field": "peer#474",
    }
