"""The default format: the contract in `docs/contract`, version 1."""

from agent.uplink.formats.ocg1.birth import config_hash
from agent.uplink.formats.ocg1.format import Ocg1

__all__ = ["Ocg1", "config_hash"]
