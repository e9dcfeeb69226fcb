"""Memory that is left, and how busy the processor is."""

import os
import re
from collections.abc import Iterator
from typing import Final

from agent.cli.doctor.finding import Finding, fail, ok, warn
from agent.cli.doctor.machine.roots import Roots, line_of
from agent.cli.messages import tr

LEAST_MB: Final = 50
"""Less is left to the whole machine: the kernel is about to end programs. The agent itself may take 64."""
BUSY: Final = 2.0
_AVAILABLE: Final = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


def examined(roots: Roots) -> Iterator[Finding]:
    """`MemAvailable` of /proc/meminfo, and the load of the last five minutes for each processor."""
    if found := _AVAILABLE.search(line_of(roots.proc / "meminfo")):
        free_mb = int(found[1]) // 1000
        text = tr("{free} MB of memory are free", free=free_mb)
        if free_mb < LEAST_MB:
            advice = tr("what takes so much: `ps aux --sort=-rss | head`; a desktop is not needed here")
            yield fail("memory", text, advice, code="memory_low")
        else:
            yield ok("memory", text)
    loads = line_of(roots.proc / "loadavg").split()
    if len(loads) > 1:
        share = float(loads[1]) / (os.cpu_count() or 1)
        text = tr("the processor: load {load} in five minutes, {count} cores", load=loads[1], count=os.cpu_count() or 1)
        if share > BUSY:
            yield warn("processor", text, tr("what takes so much: `top`"), code="processor_busy")
        else:
            yield ok("processor", text)
