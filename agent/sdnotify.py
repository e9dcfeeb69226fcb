"""Tell systemd how we are (sd_notify(3)): ready, alive, what we do, stopping. Silent where systemd is not there."""

import os
import socket
import time


class Notifier:
    """Sends states to the socket that systemd names in NOTIFY_SOCKET."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def send(self, *states: str) -> None:
        """Send states such as `READY=1` or `STATUS=text`; a socket that is gone is not our fault."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(states).encode(), self._address)
            except OSError:
                return


def reloading() -> tuple[str, str]:
    """What systemd wants to hear before a reload; READY=1 comes after it."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}"


def watchdog_interval_s() -> float | None:
    """How often systemd wants to hear WATCHDOG=1: half of WATCHDOG_USEC, None where it does not watch us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdigit() and int(text) > 0 else None
