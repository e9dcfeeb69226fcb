"""Medians, percentiles and verdicts of the bench."""

import json
from math import isnan

import pytest
from gateways.figures import Figure, percentile, shown
from gateways.goals import GOALS, judged
from gateways.plot import plot
from gateways.results import Results, faults
from gateways.table import goals, table
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=200), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[int], percent: int) -> None:
    found = percentile(values, percent / 100)
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    below = [value for value in values if value < found]
    assert 100 * len(below) < percent * len(values)


def test_of_no_values_there_is_no_percentile() -> None:
    assert isnan(percentile([], 0.5))


def test_a_figure_says_how_far_its_runs_are_apart() -> None:
    assert Figure.of([3, 1, 2]) == (2, 1, 3)
    assert Figure.of([3, 1, 2]).spread == 3
    assert Figure.of([0, 0]).spread == 1
    with pytest.raises(ValueError, match="one run"):
        Figure.of([])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00456, "0.00456"), (4.5, "4.50"), (12.34, "12.3"), (250_000.4, "250,000"), (float("nan"), "-")],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert shown(value) == text


def verdicts(**figures: float) -> dict[str, str]:
    found = judged(lambda subject, figure: figures.get(f"{subject}.{figure}".replace("-", "_").replace(".", "__")))
    return {verdict.name: verdict.word for verdict in found}


def test_a_goal_without_figures_is_not_measured() -> None:
    assert set(verdicts().values()) == {"not measured"}


def test_a_goal_passes_at_its_limit_and_fails_behind_it() -> None:
    assert verdicts(oc_agent__cpu_s=0.0045)["P1"] == "pass"
    assert verdicts(oc_agent__cpu_s=0.0046)["P1"] == "FAIL"
    assert verdicts(oc_agent__sustained=250_000)["P2"] == "pass"
    assert verdicts(oc_agent__sustained=249_999)["P2"] == "FAIL"


def test_a_goal_that_is_a_ratio_needs_both_gateways_of_the_same_run() -> None:
    assert verdicts(oc_agent_uvloop__cpu_s=0.0021)["P12"] == "not measured"
    assert verdicts(oc_agent_uvloop__cpu_s=0.0021, oc_agent__cpu_s=0.003)["P12"] == "pass"
    assert verdicts(oc_agent_uvloop__cpu_s=0.0022, oc_agent__cpu_s=0.003)["P12"] == "FAIL"


def test_a_part_that_fails_fails_the_goal_and_a_part_that_was_not_measured_never_passes() -> None:
    assert verdicts(oc_agent__card_bytes=14)["P7"] == "FAIL"
    assert verdicts(oc_agent__card_bytes=3)["P7"] == "not measured"
    assert verdicts(oc_agent__card_bytes=3, oc_agent__offline_card_bytes=20)["P7"] == "pass"


def test_there_are_twelve_goals() -> None:
    assert [goal.name for goal in GOALS] == [f"P{n}" for n in range(1, 13)]


def test_the_table_shows_medians_their_spread_and_how_many_times_ours() -> None:
    results = Results()
    for cpu_s in (0.004, 0.005, 0.009):
        results.add("oc-agent", {"cpu_s": cpu_s, "lost_share": 0.0})
    results.add("other", {"cpu_s": 0.05, "lost_share": 1.0, "resume_s": float("inf")})
    lines = table(results.figures(), "oc-agent").splitlines()
    assert lines[2].startswith("| oc-agent | 0.00500 [0.00400-0.00900] | -")
    assert lines[3].startswith("| other | 0.0500 (x10.0) |")
    assert "| 100 | never |" in lines[3]


def test_the_report_ends_with_every_goal() -> None:
    results = Results()
    results.add("oc-agent", {"cpu_s": 1.0})
    text = goals(results.verdicts())
    assert "| P1 | processor | FAIL | cpu_s 1.00 s per 1,000 (<= 0.00450) ! |" in text
    assert "| P12 | uvloop | not measured | without cpu_s |" in text


def test_the_json_has_every_run_and_what_never_ended_is_null() -> None:
    results = Results()
    for resume_s in (1.5, float("inf")):
        results.add("oc-agent", {"resume_s": resume_s})
    results.facts = {"load": "0.1"}
    results.seconds["outage"]["oc-agent"] = 61.0
    written = json.loads(results.as_json({"runs": 2}), parse_constant=pytest.fail)
    assert (written["machine"], written["seconds"]) == ({"load": "0.1"}, {"outage": {"oc-agent": 61.0}})
    assert written["runs"] == {"oc-agent": {"resume_s": [1.5, None]}}
    assert written["goals"][7] == {
        "name": "P8",
        "result": "FAIL",
        "measured": "resume_s inf s (<= 1.00) !; without drain_s, live_p95_ms",
    }


def test_a_lost_reading_or_a_wrong_value_of_ours_is_a_fault_and_a_slow_one_is_not() -> None:
    assert faults("oc-agent", "steady", {"lost": 0, "wrong": 0, "cpu_s": 99}) == []
    assert faults("oc-agent", "outage", {"lost": 3, "wrong": 1}) == [
        "oc-agent, outage: lost 3",
        "oc-agent, outage: wrong 1",
    ]


def test_what_is_not_a_number_was_not_measured() -> None:
    results = Results()
    results.add("oc-agent", {"live_p95_ms": float("nan"), "drain_s": 5.0})
    assert list(results.runs["oc-agent"]) == ["drain_s"]


def test_how_long_each_scene_took_is_told() -> None:
    results = Results()
    results.seconds["steady"]["oc-agent"] = 70.4
    results.seconds["steady"]["other"] = 20.0
    assert results.took().splitlines() == ["1.5 minutes:", "  steady 90 s: oc-agent 70, other 20"]


def test_the_picture_has_a_bar_for_each_gateway() -> None:
    results = Results()
    results.add("oc-agent", {"cpu_s": 0.004, "rss_mb": 40})
    results.add("a <b>", {"cpu_s": 0.05})
    picture = plot(results.figures(), "oc-agent")
    assert "a &lt;b&gt;" in picture
    assert "CPU s per 1,000" in picture
    assert "RSS MB" not in picture


def test_the_picture_says_who_lost_nothing_and_who_never_came_back() -> None:
    results = Results()
    results.add("oc-agent", {"lost_share": 0.0, "resume_s": 0.5})
    results.add("other", {"lost_share": 1.0, "resume_s": float("inf")})
    picture = plot(results.figures(), "oc-agent")
    assert picture.count(">oc-agent</text>") == 2
    assert ">0</text>" in picture
    assert ">never</text>" in picture
