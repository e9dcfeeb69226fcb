"""Whether this computer can carry a machine of `simulators.host`, found out without its code."""

import shutil
import subprocess
from pathlib import Path

_TOOLS = ("unshare", "nsenter", "strace", "cc")


def lacking() -> str:
    """What is missing here; empty where all is there."""
    if missing := [name for name in _TOOLS if not shutil.which(name)]:
        return f"missing: {', '.join(missing)}"
    mount = ("mount", "-t", "tmpfs", "probe", str(Path(__file__).parent))
    for user in ((), ("--user", "--map-root-user")):
        if subprocess.run(["unshare", "--mount", *user, "--", *mount], stderr=subprocess.DEVNULL).returncode == 0:
            return ""
    return "neither root's mounts nor user namespaces are allowed here"
