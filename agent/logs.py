"""Logs for journald and for people: no time stamp where journald adds its own, levels as it reads them."""

import logging
import os
import sys

_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """Prefixes each line with its syslog priority (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        return _marked(super().format(record), record.levelno)


def set_up_logs(level: str) -> None:
    """Send logs to stderr at `level` (a name of `logging`, lower case)."""
    handler = logging.StreamHandler(sys.stderr)
    if journald_reads():
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Log from `level` on."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(logging.INFO, root.level))


def as_error(text: str) -> str:
    """`text` for stderr: an error to journald, and as it is to people."""
    return _marked(text, logging.ERROR) if journald_reads() else text


def _marked(text: str, level: int) -> str:
    prefix = f"<{_SYSLOG.get(level, 6)}>"
    return "\n".join(prefix + line for line in text.split("\n"))


def journald_reads() -> bool:
    """Whether stderr is the journal's: programs started in a terminal inherit JOURNAL_STREAM too (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or not a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
