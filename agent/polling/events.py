"""What a poller tells the IOC at once, in both languages. Pure."""

from collections.abc import Sequence

from agent.model import Event, Severity
from agent.polling.lending import Borrower


def device_up(device: str, mono_ns: int) -> Event:
    """It answers again."""
    return _of_device("device.up", "info", device, mono_ns, "Đã có liên lạc trở lại", "Answers again")


def device_down(device: str, mono_ns: int, english: str) -> Event:
    """It does not answer, for the reason that is given."""
    return _of_device("device.down", "major", device, mono_ns, "Mất liên lạc", english)


def misfit(device: str, mono_ns: int, mismatch: str) -> Event:
    """It is not what its profile describes; "": it is again."""
    if not mismatch:
        texts = ("Thiết bị đã khớp với profile", "The device fits its profile again")
        return _of_device("alarm.clear", "info", device, mono_ns, *texts)
    texts = (f"Thiết bị không khớp với profile: {mismatch}", f"Not the device expected: {mismatch}")
    return _of_device("alarm.raise", "major", device, mono_ns, *texts)


def lent(link: str, devices: Sequence[str], borrower: Borrower, mono_ns: int) -> Event:
    """The line is lent, and its devices are not read."""
    message = {
        "vi": f"Đường truyền {link} đang cho {borrower} mượn, không được đọc",
        "en": f"Link {link} is lent to {borrower} and not read",
    }
    return Event(type="alarm.raise", severity="minor", mono_ns=mono_ns, message=message, reason="lent", devices=devices)


def returned(link: str, devices: Sequence[str], mono_ns: int, lent_s: float) -> Event:
    """The line is back."""
    message = {
        "vi": f"Đường truyền {link} đã được trả lại sau {lent_s} s",
        "en": f"Link {link} is back after {lent_s} s",
    }
    return Event(
        type="alarm.clear",
        severity="info",
        mono_ns=mono_ns,
        message=message,
        reason="lent",
        devices=devices,
        held_s=lent_s,
    )


def _of_device(type_: str, severity: Severity, device: str, mono_ns: int, vi: str, en: str) -> Event:
    return Event(type=type_, severity=severity, mono_ns=mono_ns, message={"vi": vi, "en": en}, device=device)
