"""The same report as JUnit XML, which CI servers show: a suite for a scenario, a case for an expectation. Pure."""

import re
from xml.etree import ElementTree as Xml

from simulators.scenario.expectations import Verdict
from simulators.scenario.report import CheckReport, ScenarioReport

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot have; a gateway's output may."""


def as_junit(report: CheckReport) -> bytes:
    """One `<testsuites>` document in UTF-8."""
    root = Xml.Element("testsuites", name="oc-sim check")
    for one in report.scenarios:
        root.append(_suite(one))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(one: ScenarioReport) -> Xml.Element:
    suite = Xml.Element("testsuite", name=_clean(one.name), file=_clean(one.file), time=f"{one.seconds:.3f}")
    properties = Xml.SubElement(suite, "properties")
    for name, value in (("seed", str(one.seed)), ("field", one.field), ("about", one.about)):
        if value:
            Xml.SubElement(properties, "property", name=name, value=_clean(value))
    cases = [_case(one, verdict) for verdict in one.verdicts] or [_whole(one)]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    if one.output_tail:
        Xml.SubElement(suite, "system-out").text = _clean("\n".join(one.output_tail))
    return suite


def _case(one: ScenarioReport, verdict: Verdict) -> Xml.Element:
    case = Xml.Element("testcase", classname=_clean(one.name), name=_clean(f"{verdict.that}: {verdict.expected}"))
    rules = [f"left out: {count} {rule}" for rule, count in verdict.excused.items()]
    if not verdict.passed:
        failure = Xml.SubElement(case, "failure", message=_clean(verdict.seen))
        failure.text = _clean(
            "\n".join((f"expected: {verdict.expected}", f"seen: {verdict.seen}", *verdict.examples, *rules))
        )
    elif rules:
        Xml.SubElement(case, "system-out").text = _clean("\n".join((f"seen: {verdict.seen}", *rules)))
    return case


def _whole(one: ScenarioReport) -> Xml.Element:
    """A scenario without verdicts: it was skipped, or it is broken."""
    case = Xml.Element("testcase", classname=_clean(one.name), name="scenario")
    if one.outcome == "skipped":
        Xml.SubElement(case, "skipped", message=_clean(one.why))
    elif one.outcome != "passed":
        Xml.SubElement(case, "error", message=_clean(one.why.partition("\n")[0])).text = _clean(one.why)
    return case


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
