"""Faults of the uplink in the language of the reader. Their English is the log's, in `agent.uplink.faults`."""

from collections.abc import Mapping
from typing import Any

from agent.cli.messages import translated
from agent.uplink.faults import FAULTS, FaultText, filled


def said(fault: Mapping[str, Any] | None) -> FaultText | None:
    """A fault as JSON (`code`, `values`); None for none, and for one that another version of the agent knows."""
    text = FAULTS.get(fault["code"]) if fault else None
    if fault is None or text is None:
        return None
    values = fault["values"]
    return FaultText(filled(translated(text.what), values), filled(translated(text.advice), values))


def said_at_once(fault: Mapping[str, Any] | None, error: str) -> str:
    """A fault with what to try in one sentence; `error` where it has no name."""
    text = said(fault)
    return f"{text.what}: {text.advice}" if text else error
