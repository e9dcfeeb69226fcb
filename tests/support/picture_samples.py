"""Pictures for tests that do not look at them."""

from agent.model import Privacy
from drivers.api import Picture

PRIVACY = Privacy(class_="possible", purpose="flood-verification", keep_days=7)


def taken(data: bytes, mono_ns: int = 0) -> Picture:
    """A picture with these bytes."""
    return Picture(data, "image/jpeg", 640, 480, mono_ns)
