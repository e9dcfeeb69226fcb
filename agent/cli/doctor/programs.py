"""What other programs of the system say: systemctl, journalctl, dmesg."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 5.0


def output_of(*command: str) -> str:
    """What a program prints on stdout; "" where there is no such program, or where it does not end in time."""
    path = shutil.which(command[0])
    if path is None:
        return ""
    try:
        found = subprocess.run(  # noqa: S603 # the commands stand in this package
            [path, *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout


def has_systemd() -> bool:
    """Was this machine booted by systemd (sd_booted(3)), and can it be asked?"""
    return Path("/run/systemd/system").exists() and shutil.which("systemctl") is not None
