"""docs/tester/example in CI: what both files say is run as it stands, for the gateway with its bug and for the mended one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree as Xml

import pytest
import yaml
from tester_desk import EXAMPLE, Desk, copy_of_the_example

pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="no checkout")
Service = Literal["github", "gitlab"]
FILES: dict[Service, str] = {"github": ".github/workflows/gateway.yml", "gitlab": ".gitlab-ci.yml"}
NOT_CANCELLED = "${{ !cancelled() }}"


def read(service: Service) -> dict[Any, Any]:
    return dict(yaml.safe_load((EXAMPLE / FILES[service]).read_text(encoding="utf-8")))


class Outcome(NamedTuple):
    """The exit codes of what was run, its output, and the JUnit reports that the service would take."""

    codes: Sequence[int]
    output: str
    reports: dict[str, Xml.Element]

    def failures(self) -> dict[str, int]:
        return {name: sum(1 for _ in root.iter("failure")) for name, root in self.reports.items()}


def run_github(desk: Desk, folder: Path) -> tuple[list[int], str]:
    """As its runner does: a bash -e for each step; after a failure only what says so."""
    codes, output = [], ""
    for step in read("github")["jobs"]["gateway"]["steps"]:
        if "run" in step and (not any(codes) or step.get("if") == NOT_CANCELLED):
            code, said = desk.run(step["run"], folder)
            codes.append(code)
            output += said
    return codes, output


def run_gitlab(desk: Desk, folder: Path) -> tuple[list[int], str]:
    """As its runner does: a job is one shell with `before_script` and `script`."""
    content, codes, output = read("gitlab"), [], ""
    for name in ("scenarios", "fixtures"):
        lines = [*content["default"]["before_script"], *content[name]["script"]]
        code, said = desk.run("\n".join(lines), folder)
        codes.append(code)
        output += said
    return codes, output


def taken(service: Service, folder: Path) -> Iterator[Path]:
    if service == "github":
        (upload,) = [
            one for one in read("github")["jobs"]["gateway"]["steps"] if "upload-artifact" in one.get("uses", "")
        ]
        yield from folder.glob(upload["with"]["path"])
    else:
        yield from (folder / read("gitlab")[job]["artifacts"]["reports"]["junit"] for job in ("scenarios", "fixtures"))


def run(service: Service, folder: Path, *, mended: bool) -> Outcome:
    desk = Desk(folder)
    repository = copy_of_the_example(desk, metadata.version("oc-agent"), mended=mended)
    codes, output = (run_github if service == "github" else run_gitlab)(desk, repository)
    return Outcome(codes, output, {file.name: Xml.parse(file).getroot() for file in taken(service, repository)})


def test_the_gateway_with_its_bug_fails_and_the_mended_one_passes(tmp_path: Path) -> None:
    cases = list(product(FILES, (False, True)))
    with ThreadPoolExecutor(len(cases)) as pool:
        runs = [pool.submit(run, one, tmp_path / f"{one}-{mended}", mended=mended) for one, mended in cases]
        found = {case: done.result() for case, done in zip(cases, runs, strict=True)}
    for (service, mended), outcome in found.items():
        install = [0] if service == "github" else []
        assert list(outcome.codes) == install + ([0, 0] if mended else [1, 1]), outcome.output
        assert set(outcome.reports) == {"scenarios.xml", "tests.xml"}
        expected = 0 if mended else 1
        assert outcome.failures() == {"scenarios.xml": expected, "tests.xml": expected}, outcome.output
        assert ("PASSED  Late answers" if mended else "FAILED  Late answers") in outcome.output


def test_the_github_file_is_a_workflow() -> None:
    content = read("github")
    assert set(content) == {"name", True, "jobs"}, "YAML 1.1 reads `on` as true"
    assert content[True] == ["push", "pull_request"]
    for job in content["jobs"].values():
        assert set(job) <= {"runs-on", "timeout-minutes", "steps"}
        assert job["runs-on"] == "ubuntu-24.04"
        assert isinstance(job["timeout-minutes"], int)
        for step in job["steps"]:
            assert set(step) <= {"name", "uses", "with", "run", "if"}
            assert ("run" in step) != ("uses" in step)
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert [one.partition("@")[0] for one in used] == [
            "actions/checkout", "actions/setup-python", "actions/upload-artifact",
        ]  # fmt: skip
        last = job["steps"][-1]
        assert (last["if"], set(last["with"])) == (NOT_CANCELLED, {"name", "path"})
        assert job["steps"][1]["with"] == {"python-version": "3.11"}


def test_the_gitlab_file_is_a_pipeline() -> None:
    content = read("gitlab")
    assert set(content) == {"stages", "default", "scenarios", "fixtures"}
    assert set(content["default"]) == {"image", "before_script"}
    for name in ("scenarios", "fixtures"):
        job = content[name]
        assert set(job) <= {"stage", "timeout", "script", "artifacts"}
        assert job["stage"] in content["stages"]
        assert all(isinstance(line, str) for line in (*job["script"], *content["default"]["before_script"]))
        assert job["artifacts"]["when"] == "always", "else a job that fails shows no report"
        assert job["artifacts"]["reports"]["junit"].endswith(".xml")
        assert job["artifacts"]["reports"]["junit"] in "".join(job["script"])
