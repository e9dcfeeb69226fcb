"""The service under systemd: does it run, does it start at boot, how often did it start again, and how it ended.

The states and properties are those of `systemctl show` (org.freedesktop.systemd1(5)).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent import __version__
from agent.cli.doctor.finding import Case, Finding, fail, ok, warn
from agent.cli.doctor.programs import has_systemd, output_of
from agent.cli.messages import tr
from agent.control import AgentNotRunning, ask_agent

UNIT: Final = "oc-agent.service"
PROPERTIES: Final = (
    "LoadState", "ActiveState", "SubState", "UnitFileState", "NRestarts", "Result", "ExecMainStatus", "MemoryCurrent",
    "MemoryMax",
)  # fmt: skip
CONFIGURATION: Final = "78"
MEMORY_SHARE: Final = 0.9
_LINES: Final = 3


def examine(case: Case) -> Iterator[Finding]:
    """systemd's word, then that of the process on the control socket."""
    if has_systemd():
        shown = properties(output_of("systemctl", "show", UNIT, f"--property={','.join(PROPERTIES)}"))
        yield from judged(shown)
        if shown.get("ActiveState") == "failed":
            yield from last_words(output_of("journalctl", "-u", UNIT, "-p", "err", "-n", str(_LINES), "-o", "cat"))
    else:
        text = tr("there is no systemd here: nothing starts the agent again by itself")
        yield warn("systemd", text, tr("let something start `oc-agent run` at boot, and again when it ends"),
                   code="no_systemd")  # fmt: skip
    yield from _process(Path(case.configuration.settings.gateway.runtime_dir))


def properties(text: str) -> dict[str, str]:
    """The lines of `systemctl show`."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def judged(shown: Mapping[str, str]) -> Iterator[Finding]:
    """What `systemctl show` says of the unit."""
    if shown.get("LoadState") != "loaded":
        text = tr("the service {unit} is not installed", unit=UNIT)
        yield warn("service", text, tr("install it: docs/en/install.md"), code="not_installed")
        return
    yield _state(shown)
    if shown.get("UnitFileState") not in ("enabled", "enabled-runtime", "static"):
        text = tr("the service does not start at boot")
        yield fail("boot", text, tr("run: sudo systemctl enable oc-agent"), code="not_enabled")
    restarts = int(shown.get("NRestarts", "0") or 0)
    if restarts:
        text = tr("systemd had to start it again {count} times", count=restarts)
        yield warn("restarts", text, tr("why: `journalctl -u oc-agent -p warning`"), code="restarted")
    yield from _memory(shown)


def _state(shown: Mapping[str, str]) -> Finding:
    state, result = shown.get("ActiveState", ""), shown.get("Result", "")
    if state == "active":
        return ok("service", tr("the service is running"))
    if shown.get("ExecMainStatus") == CONFIGURATION:
        text = tr("the service has ended: its configuration has errors (78)")
        return fail("service", text, tr("run: sudo oc-agent check; mend it, then sudo systemctl start oc-agent"),
                    code="bad_configuration")  # fmt: skip
    if state == "failed" and result == "watchdog":
        text = tr("the service was ended by the watchdog: it made no progress")
        return fail("service", text, tr("see `journalctl -u oc-agent`: it shows where it hung"), code="watchdog")
    if state == "failed" and result == "oom-kill":
        text = tr("the service was ended: it took more memory than it may")
        return fail(
            "service", text, tr("see `journalctl -u oc-agent`; fewer devices, or a higher MemoryMax"), code="oom"
        )
    text = tr("the service does not run: {state}, {result}", state=state or "?", result=result or "?")
    advice = tr("run: sudo systemctl start oc-agent; then `journalctl -u oc-agent -n 50`")
    return fail("service", text, advice, code="not_running")


def _memory(shown: Mapping[str, str]) -> Iterator[Finding]:
    used, most = shown.get("MemoryCurrent", ""), shown.get("MemoryMax", "")
    if not used.isdigit() or not most.isdigit() or not int(most):
        return
    text = tr("it uses {used} of {most} MB", used=int(used) // 1_000_000, most=int(most) // 1_000_000)
    if int(used) > MEMORY_SHARE * int(most):
        advice = tr("soon it is ended for that: a higher MemoryMax with `systemctl edit oc-agent`")
        yield warn("service_memory", text, advice, code="service_memory")
    else:
        yield ok("service_memory", text)


def last_words(journal: str) -> Iterator[Finding]:
    """The last errors in the journal; nothing where it may not be read."""
    for line in journal.splitlines()[-_LINES:]:
        if line.strip():
            yield warn("log", line.strip()[:300], tr("from the journal: `journalctl -u oc-agent`"), code="log")


def _process(folder: Path) -> Iterator[Finding]:
    try:
        report: dict[str, Any] = ask_agent(folder, "status")
    except AgentNotRunning:
        text = tr("no agent answers at {folder}", folder=folder)
        advice = tr("if it should run: sudo systemctl start oc-agent")
        yield warn("agent", text, advice, code="no_agent", subject=str(folder))
        return
    except PermissionError:
        text = tr("the agent may be running, and you may not ask it")
        yield warn("agent", text, tr("use sudo, or join its group"), code="not_permitted")
        return
    version = str(report.get("version", "?"))
    if version != __version__:
        text = tr("version {running} is running, and {installed} is installed", running=version, installed=__version__)
        yield warn("version", text, tr("run: sudo systemctl restart oc-agent"), code="old_version")
    else:
        hours = f"{(report.get('running_s') or 0.0) / 3600:.1f}"
        yield ok("agent", tr("oc-agent {version} has been running for {hours} hours", version=version, hours=hours))
