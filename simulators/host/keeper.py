"""A program that keeps a mount namespace: whoever holds its stdin keeps it, also one who is killed.

When its stdin ends, it kills every process that is left in its namespace, and ends. With the last of them the kernel
takes the mounts away.
"""

import os
import signal
import sys
import time
from contextlib import suppress

from simulators.host.proc import mount_namespace, pids_in

_PAUSE_S = 0.01


def main() -> None:
    """Say that it is there, and keep."""
    own = os.getpid()
    sys.stdout.write('{"ready":true}\n')
    sys.stdout.flush()
    sys.stdin.buffer.read()
    while others := [pid for pid in pids_in(mount_namespace(own)) if pid != own]:
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
