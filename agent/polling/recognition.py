"""Is a device the one that its profile describes? When to ask, and what was found. Pure.

A device is asked before its first readings of a session are handed on, and again after it was down or its link was
opened anew: somebody may have put another one there. One that does not fit is asked again each minute.
"""

from agent.clock import NS_PER_S
from drivers.api import Identity

AGAIN_S = 60.0


class Recognition:
    """What is known of who one device is."""

    def __init__(self) -> None:
        self.told = ""
        self.mismatch = ""
        self._due_ns: int | None = 0

    def is_due(self, now_ns: int) -> bool:
        """Should the device be asked before it is read?"""
        return self._due_ns is not None and now_ns >= self._due_ns

    def found(self, identity: Identity, now_ns: int) -> bool:
        """Note what the device said; True where a mismatch began or ended."""
        changed = bool(identity.mismatch) != bool(self.mismatch)
        self.told, self.mismatch = identity.told, identity.mismatch
        self._due_ns = now_ns + round(AGAIN_S * NS_PER_S) if identity.mismatch else None
        return changed

    def forget(self) -> None:
        """It may be another device when it answers again."""
        self._due_ns = 0
