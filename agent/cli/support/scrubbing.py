"""Taking secrets out of text: those that are known by what they are, and those that look like one. Pure.

Promises: a known secret is taken out wherever it stands, also quoted for an address, in base64 or escaped for JSON.
What is kept: names of hosts and devices, addresses, places, serial numbers: without them nobody can help.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

REDACTED = "[REDACTED]"
_TELLING = (
    r"(?:password|passwd|passphrase|passcode|secret|token|credential|(?:api|access|private)[_-]?key"
    r"|(?<![a-z])(?:pass|pwd|pw|psk|pin|auth)(?![a-z]))"
)
_NAMED = re.compile(
    rf"""(?ix) (?P<key> ["']? [\w.-]*? (?:{_TELLING}|user_?name) (?!\w*_?file\b) [\w-]* ["']? \s* [=:] \s*)
    (?: \"\"\".*?(?:\"\"\"|\Z) | '''.*?(?:'''|\Z) | "(?:\\.|[^"\\\n])*"? | '[^'\n]*'? | [^\s,;}}&"']+ )""",
    re.DOTALL,
)
_IN_ADDRESS = re.compile(r"(?i)(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@\"']*(?:@[^/\s@\"']*)*@")
_OF_UNIT = re.compile(r"(?m)(?P<key>^\s*(?:Environment|SetCredential(?:Encrypted)?|PassEnvironment)\s*=).*$")
_BEARER = re.compile(r"(?i)(?P<key>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}")
_PEM = re.compile(r"-----BEGIN [^-]*-----.*?-----END [^-]*-----", re.DOTALL)
_PEM_MARK = re.compile(r"-----(?:BEGIN|END) [^-]*-----")
_BASE64 = re.compile(
    r"(?<![\w+/])(?=[A-Za-z0-9+/]*[g-z])(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/]{60,}={0,2}"
)
_TAIL_OF_BLOCK = re.compile(r"[A-Za-z0-9+/]{2,}={0,2}$")
_SHORT = 4
"""A secret of fewer characters is taken out as a whole word only, as names are: else every `1` would go."""


class Scrubber:
    """Takes the `secrets` (what each is, by its text) and all that looks like one out of lines; counts what it took."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.taken: Counter[str] = Counter()
        self._kinds: dict[str, str] = {}
        for secret, kind in secrets.items():
            for form in _forms(secret):
                self._kinds.setdefault(form, kind)
        words = sorted(self._kinds, key=len, reverse=True)
        self._known = re.compile("|".join(_wanted(word, self._kinds[word]) for word in words)) if words else None
        self._in_block = False

    def text(self, text: str) -> str:
        """A line, or several that belong together; a block of PEM may also come line by line, forwards or backwards."""
        if self._known:
            text = self._known.sub(lambda found: self._took(self._kinds[found[0]]), text)
        text = _PEM.sub(lambda _: self._took("pem"), text)
        text = self._block(text)
        text = _IN_ADDRESS.sub(lambda found: f"{found['scheme']}{self._took('address')}@", text)
        for pattern, kind in ((_OF_UNIT, "environment"), (_NAMED, "named"), (_BEARER, "named")):
            text = pattern.sub(partial(self._after_key, kind), text)
        return _BASE64.sub(lambda _: self._took("base64"), text)

    def _block(self, line: str) -> str:
        """What stands between two marks of PEM; it ends where a line is nothing of the kind."""
        if _PEM_MARK.search(line):
            self._in_block = not self._in_block
            return line
        found = _TAIL_OF_BLOCK.search(line.rstrip()) if self._in_block else None
        if found is None:
            self._in_block = False
            return line
        return line[: found.start()] + self._took("pem") + line[len(line.rstrip()) :]

    def _after_key(self, kind: str, found: re.Match[str]) -> str:
        return found["key"] + self._took(kind)

    def _took(self, kind: str) -> str:
        self.taken[kind] += 1
        return REDACTED


def secrets_in(value: Any, name: str = "") -> Iterator[str]:
    """The texts in parsed data whose key says that they are secret."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from secrets_in(one, str(key))
    elif isinstance(value, list):
        for one in value:
            yield from secrets_in(one, name)
    elif isinstance(value, str) and is_secret_name(name) and value:
        yield value


def is_secret_name(name: str) -> bool:
    """Whether the value of a key or variable of this name is to be taken out: `password` is, `password_file` is not."""
    return re.search(rf"(?i){_TELLING}", name) is not None and not re.search(r"(?i)file$", name)


def _forms(secret: str) -> Iterable[str]:
    """How a secret may be written; of several lines each by itself as well."""
    lines = [line.strip() for line in secret.splitlines()]
    for text in {
        secret,
        secret.strip(),
        *(line for line in lines if len(line) >= _SHORT and not _PEM_MARK.match(line)),
    } - {""}:
        coded = text.encode("utf-8", "surrogateescape")
        yield from (text, quote(coded, safe=""), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        if len(text) >= _SHORT:
            yield base64.b64encode(coded).decode("ascii").rstrip("=")


def _wanted(word: str, kind: str) -> str:
    whole = len(word) < _SHORT or kind == "username"
    return rf"(?<!\w){re.escape(word)}(?!\w)" if whole else re.escape(word)
