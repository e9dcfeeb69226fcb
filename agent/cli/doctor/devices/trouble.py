"""Why a link cannot be opened: the code of `agent.cli.doctor.devices.faults` for it, found by looking again.

A port is only looked at; to an address one connection is made and closed.
"""

import errno
import os
import socket
from pathlib import Path
from typing import Any


def why_down(options: Any, detail: str) -> str:
    """The code for a link with `options` that is down; `detail` is what the driver, or the agent, says of it."""
    if options.endpoint.startswith("/"):
        return _of_port(Path(options.endpoint), detail)
    if "ssl" in detail.lower() or "certificate" in detail.lower():
        return "tcp_tls"
    if options.endpoint.startswith("udp"):
        return "link_down"
    return _of_address(options.host, options.tcp_port, options.connect_timeout_s)


def _of_port(port: Path, detail: str) -> str:
    if not port.exists():
        return "port_missing"
    if not os.access(port, os.R_OK | os.W_OK):
        return "port_forbidden"
    return "port_gone" if "gone" in detail or "went away" in detail else "port_held"


def _of_address(host: str, port: int, timeout_s: float) -> str:
    try:
        with socket.create_connection((host, port), timeout_s):
            return "tcp_closed"
    except ConnectionRefusedError:
        return "tcp_refused"
    except socket.gaierror:
        return "host_unknown"
    except OSError as err:
        return "tcp_closed" if err.errno == errno.ECONNRESET else "tcp_unreachable"
