"""The end of a scan for people: how long, how many, what the wiring looks like, and what to paste."""

from collections.abc import Iterator

from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.scan.finding import ScanReport, asked_lines
from agent.cli.scan.progress import duration, wrapped_lines


def end_lines(report: ScanReport) -> Iterator[str]:
    """Everything that is said after the last device."""
    if report.silent_hosts:
        hosts = ", ".join(report.silent_hosts)
        yield from wrapped(tr("the port is open, but no Modbus answer: {hosts}", hosts=hosts), rest="  ")
    for asked in report.asked:
        yield from wrapped_lines(asked_lines(asked))
    if report.refused_settings:
        yield tr("the port refuses {settings}", settings=", ".join(report.refused_settings))
    yield tr(
        "{count} found in {time}, {requests} requests",
        count=len(report.found) + len(report.asked) + sum(bool(one.profiles) for one in report.heard),
        time=duration(report.took_s),
        requests=report.requests,
    )
    if not report.complete:
        yield tr("broken off: what was not asked yet is not known")
    for hint in report.hints:
        yield from wrapped(hint.what, rest="  ")
        yield from wrapped(hint.advice, first="  -> ", rest="     ")
    if report.toml:
        yield ""
        yield tr("# for agent.toml:")
        yield from report.toml.rstrip().splitlines()
