"""oc-agent in this process, which counts what it has in memory when asked: `python -m counted_agent COUNTS ARGS…`.

Each SIGUSR1 adds a line of JSON to the file COUNTS: objects that Python looks through for garbage (without those that
were there before the agent began), blocks of Python's own allocator, bytes that the C library has given out, and the
commonest types. Nothing is collected for it, and nothing of the agent is changed. With the word given in `OC_TEST_LEAK`
it leaks, for the test of the test: "object" one object a device's answer, "file" one descriptor a connection.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from agent.cli import main as oc_agent

COMMONEST = 40
LEAK = "OC_TEST_LEAK"


class _Mallinfo(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def c_bytes() -> int:
    """What malloc has given out and not got back, Python's own arenas not among it; 0 where the library does not say."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:  # musl, glibc before 2.33
        return 0
    mallinfo2.restype = _Mallinfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def counts() -> dict[str, Any]:
    """What this process has in memory."""
    objects = gc.get_objects()
    types = Counter(type(one).__qualname__ for one in objects)
    return {
        "at_s": time.monotonic(),
        "objects": len(objects),
        "blocks": sys.getallocatedblocks(),
        "c_bytes": c_bytes(),
        "types": dict(types.most_common(COMMONEST)),
    }


def leak(what: str) -> None:
    """Keep what should go."""
    from agent.store.store import Store
    from agent.uplink.mqtt.dialing import Dialing

    kept: list[Any] = []
    append, run = Store.append, Dialing.run

    def appended(self: Store, scan: Any) -> None:
        kept.append([scan.mono_ns])
        append(self, scan)

    def dialled(self: Dialing) -> Any:
        kept.append(os.dup(0))
        return run(self)

    if what == "object":
        Store.append = appended  # type: ignore[method-assign]
    if what == "file":
        Dialing.run = dialled  # type: ignore[method-assign]


def main() -> None:
    file, *arguments = sys.argv[1:]

    def count(_number: int, _frame: object) -> None:
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(counts()) + "\n")

    signal.signal(signal.SIGUSR1, count)
    if what := os.environ.get(LEAK):
        leak(what)
    oc_agent(arguments)


if __name__ == "__main__":
    main()
