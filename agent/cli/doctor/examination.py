"""One group of checks after the other, each within its time: none of them stops the others.

A group runs in a thread of its own. One that crashes, or hangs (a bad card, a dead name server), becomes a finding;
what it had found by then stays.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

from agent.cli.doctor.finding import Case, Finding, Group, fail
from agent.cli.messages import tr

log = logging.getLogger(__name__)

LIMIT_S: Final = 20.0
"""What a group may take that has no limit of its own."""
_DONE: Final = None


def examined(case: Case, groups: Mapping[str, Group], limits_s: Mapping[str, float]) -> Iterator[tuple[str, Finding]]:
    """The findings of all groups with the name of their group, each as soon as it is made."""
    for name, examine in groups.items():
        for finding in _within(case, name, examine, limits_s.get(name, LIMIT_S)):
            yield name, finding


def _within(case: Case, name: str, examine: Group, limit_s: float) -> Iterator[Finding]:
    found: queue.Queue[Finding | None] = queue.Queue()
    threading.Thread(target=_run, args=(case, name, examine, found), name=f"doctor {name}", daemon=True).start()
    until = time.monotonic() + limit_s
    while True:
        try:
            finding = found.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            text = tr("the examination of {group} took longer than {seconds} s and was given up", group=name,
                      seconds=f"{limit_s:g}")  # fmt: skip
            yield fail("examination", text, tr("something hangs: a card, an adapter or a name server"), code="timeout")
            return
        if finding is _DONE:
            return
        yield finding


def _run(case: Case, name: str, examine: Group, found: "queue.Queue[Finding | None]") -> None:
    try:
        for finding in examine(case):
            found.put(finding)
    except Exception as err:  # whatever it is: the other groups are examined all the same
        log.debug("the examination of %s crashed", name, exc_info=True)
        text = tr("the examination of {group} crashed: {why}", group=name, why=f"{type(err).__name__}: {err}")
        found.put(fail("examination", text, tr("the others go on; send this line to the makers"), code="crash"))
    finally:
        found.put(_DONE)
