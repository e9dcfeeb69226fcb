"""Which devices have a birth at the broker, so that one that was taken out of the configuration is taken out there.

A small file beside the outbox. Losing it costs a birth that stays at the broker; it never stops the uplink.
"""

import logging
from collections.abc import Collection
from pathlib import Path

import msgspec

from agent.durable import write_durably

log = logging.getLogger(__name__)

FILE_NAME = "announced.json"


def read_announced(data_dir: Path) -> frozenset[str]:
    """The devices that were announced last; none where that is not known."""
    try:
        return frozenset(msgspec.json.decode((data_dir / FILE_NAME).read_bytes(), type=list[str]))
    except FileNotFoundError:
        return frozenset()
    except (OSError, msgspec.MsgspecError) as err:
        log.warning("%s cannot be read, births of removed devices may stay at the broker: %s", FILE_NAME, err)
        return frozenset()


def write_announced(data_dir: Path, devices: Collection[str]) -> None:
    """Keep the list, also over a power cut."""
    path = data_dir / FILE_NAME
    try:
        write_durably(path, msgspec.json.encode(sorted(devices)))
    except OSError as err:
        log.warning("%s cannot be written, births of removed devices may stay at the broker: %s", path, err)
