"""Write docs/devices.md from the profiles that are shipped and their captures.

Run it after a change in `config/profiles`: `python docs/make_devices.py`. A test compares.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from drivers.catalogue import load_profile, profile_names, shipped_profiles
from drivers.profile import Profile
from drivers.registry import driver_specs

FILE: Final = Path(__file__).with_name("devices.md")
_NAMED: Final = 6
_NUMBERED: Final = re.compile(r" L\d(?:-(?:N|L\d))?(?= |$)| \d+(?=[:,]|$)")
_HEAD: Final = """# Devices

Made by `docs/make_devices.py` from `config/profiles`: {profiles} profiles, of which {device} are verified with frames
of a device and {document} with frames in a document; {unverified} are unverified. The first column is what
a configuration says as `profile`.

"Verified" is what the profile was held against, in the capture beside it: the values of those frames come out as they
should. It does not say that each of its points was seen. A profile is unverified where no frame of that model was
found: its capture is of a sister model with the same registers, or was made after its documents. Compare the first
values of such a device with what it shows.

| Profile | Vendor | Model | Tên | Kind | What it tells | Verified | Source |
|---|---|---|---|---|---|---|---|
"""


def text() -> str:
    """The whole page."""
    folder = shipped_profiles()
    rows, counts = [], {"device": 0, "document": 0, "unverified": 0}
    for name in profile_names([folder]):
        profile = load_profile(folder / f"{name}.toml", driver_specs())
        verified = verification(_exchanges(folder / f"{name}.capture.toml"))
        counts[verified.split(":")[0]] += 1
        rows.append(_row(name, profile, verified))
    return _HEAD.format(profiles=len(rows), **counts) + "".join(rows)


def verification(exchanges: Sequence[dict[str, Any]]) -> str:
    """What a profile was held against: "device", "document", or "unverified" and what its capture is.

    Frames that must be refused (`error`), of another model (`of`), or `made` after a document verify nothing.
    """
    sound = [one for one in exchanges if not one.get("error")]
    own = {one["origin"] for one in sound if not one.get("of") and not one.get("made")}
    if own:
        return "device" if "device" in own else "document"
    others = sorted({one["of"] for one in sound if one.get("of")})
    return f"unverified: frames of {', '.join(others)}" if others else "unverified: frames made after a document"


def tells(labels: Sequence[str]) -> str:
    """The quantities, each once whatever phase, channel or region it is of; some, if there are many."""
    kinds = list(dict.fromkeys(_NUMBERED.sub("", label) for label in labels))
    more = f"; and {len(kinds) - _NAMED} more" if len(kinds) > _NAMED else ""
    return "; ".join(kinds[:_NAMED]) + more


def _exchanges(capture: Path) -> list[dict[str, Any]]:
    return list(tomllib.loads(capture.read_text(encoding="utf-8"))["exchange"])


def _row(name: str, profile: Profile, verified: str) -> str:
    quantities = tells([point.label["en"] for point in profile.point])
    what = (profile.vendor, profile.model, profile.label["vi"], profile.kind, quantities, verified, profile.source)
    return f"| `{name}` | {' | '.join(cell.replace('|', '/') for cell in what)} |\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
