"""The files of one connection: certificates, key, password. Are they other files now, and would the broker take them?

Promises: looking costs a `stat` a file where nothing has changed; files that were only written again, with the same
bytes, are not new; half a new pair, or one that the broker refuses, is never taken up: the connection that runs stays.
"""

import asyncio
import hashlib
import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from agent.uplink.mqtt.aside import aside
from agent.uplink.mqtt.options import MqttOptions
from agent.uplink.mqtt.tls.trial import trial

log = logging.getLogger(__name__)


class Credentials(msgspec.Struct, frozen=True):
    """The files as they were at one moment: what `stat` said of each, and a digest of their contents."""

    stamps: tuple[tuple[int, int, int], ...]
    digest: bytes


def credentials(options: MqttOptions, known: Credentials | None = None) -> Credentials:
    """The files as they are now; `known` where they have not been touched since. Blocks."""
    stamps = tuple(_stamp(file) for file in options.files)
    if known and known.stamps == stamps:
        return known
    digest = hashlib.sha256()
    for file in options.files:
        with suppress(OSError):
            digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
        digest.update(b"/")
    return Credentials(stamps, digest.digest())


async def renewed(options: MqttOptions, used: Credentials, every_s: float) -> None:
    """Wait until the files have new contents that the broker takes; look each `every_s` seconds."""
    seen, told = used, ""
    while True:
        await asyncio.sleep(every_s)
        seen = await aside(partial(credentials, options, seen), "certificates")
        if seen.digest == used.digest:
            continue
        refusal, _ = await aside(partial(trial, options), "certificates")
        if refusal is None and await aside(partial(credentials, options, seen), "certificates") == seen:
            return
        if refusal and refusal.reason != told:
            told = refusal.reason
            log.warning("new certificates on disk are not taken up yet, the connection stays: %s", told)


def _stamp(file: str) -> tuple[int, int, int]:
    try:
        found = Path(file).stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_ino, found.st_size
