"""What to say of a name that there is not: those like it."""

import difflib
from collections.abc import Iterable


def like(name: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or all that there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"write one of {', '.join(names)}" if names else "there is none"
