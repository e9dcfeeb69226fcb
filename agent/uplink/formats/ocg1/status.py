"""Status, Will and health: what the gateway says of itself besides its births. Pure."""

from typing import Any

from agent.uplink.formats import Moment, Why


def status(gateway: str, config: str, moment: Moment, why: Why) -> dict[str, Any]:
    """Online or not, and why (contract, `up/status`): `will` is what the broker says for us."""
    return {
        "v": 1,
        "gateway": gateway,
        "online": why == "connect",
        "why": why,
        "epoch": moment.epoch,
        "boot": moment.boot,
        "connection": moment.connection,
        "time_ms": moment.time_ms,
        "config": config,
    }


def health(gateway: str, moment: Moment, figures: dict[str, Any]) -> dict[str, Any]:
    """The health message (contract, `up/health`): `figures` behind the envelope."""
    envelope = {"v": 1, "gateway": gateway, "epoch": moment.epoch, "boot": moment.boot, "time_ms": moment.time_ms}
    return {**envelope, **figures}
