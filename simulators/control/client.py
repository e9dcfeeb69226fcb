"""The tester's end of the control socket."""

import socket
from pathlib import Path
from typing import Any, Final

import msgspec

TIMEOUT_S: Final = 10.0


class NobodyAnswers(Exception):
    """There is no run at this path; the message says what to try."""


class OrderRefused(Exception):
    """The run has not done it; the message says what to write."""


def order(path: Path, name: str, said: Any) -> Any:
    """What came of one order; raises `NobodyAnswers` or `OrderRefused`."""
    answer = _asked(path, {name: said})
    if name not in answer:
        raise OrderRefused(str(answer.get("error", "the answer is not understood")))
    return answer[name]


def _asked(path: Path, line: dict[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(str(path))
            sock.sendall(msgspec.json.encode(line) + b"\n")
            with sock.makefile("rb") as file:
                answer = file.readline()
        except OSError as err:
            why = f"nobody answers at {path}: {err.strerror or err}"
            raise NobodyAnswers(f"{why}. Start `oc-sim run` or `oc-sim device` with --control {path}") from err
    if not answer.strip():
        raise NobodyAnswers(f"the run at {path} has ended")
    return dict(msgspec.json.decode(answer))
