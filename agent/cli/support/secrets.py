"""What is secret on this gateway: read only so that it can be taken out of everything else.

Never goes anywhere itself. What may not be read is told, for then it cannot be looked for.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.support.scrubbing import is_secret_name, secrets_in

MAX_BYTES = 64 * 1024
_FILES = ("key_file", "password_file")
_NO_SECRETS = ("PWD", "SSH_AUTH_SOCK")
_SHORTEST = 6
"""A variable with less in it is a switch: to take each `1` out would leave nothing to read."""


class Secrets(msgspec.Struct):
    """What each known secret is, by its text; and the files that could not be read."""

    known: dict[str, str] = {}
    unread: list[str] = []


def secrets_of(files: list[Path], environment: Mapping[str, str] = os.environ) -> Secrets:
    """The secrets that the configuration in `files` names or holds, and those of the environment."""
    found = Secrets()
    for file in files:
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8", errors="surrogateescape"))
        except (OSError, tomllib.TOMLDecodeError):
            continue  # what looks like a secret is still taken out of its text
        for secret in secrets_in(data):
            found.known[secret] = "named"
        for key, path in _named_files(data):
            _read(found, key, files[0].parent / path)
        _user_name(found, data)
    for name, value in environment.items():
        if is_secret_name(name) and name not in _NO_SECRETS and len(value) >= _SHORTEST:
            found.known[value] = "environment"
    return found


def _named_files(data: Any) -> Iterator[tuple[str, str]]:
    """Every `key_file` and `password_file`, of the uplink and of links."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in _FILES and isinstance(value, str) and value:
                yield key, value
            else:
                yield from _named_files(value)
    elif isinstance(data, list):
        for one in data:
            yield from _named_files(one)


def _read(found: Secrets, key: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        found.unread.append(str(path))
        return
    if text.strip():
        found.known[text] = key


def _user_name(found: Secrets, data: dict[str, Any]) -> None:
    """The name at the broker, unless it is that of the gateway, which stands in every topic."""
    uplink, gateway = (table if isinstance(table := data.get(key), dict) else {} for key in ("uplink", "gateway"))
    name = uplink.get("username")
    if isinstance(name, str) and name and name != gateway.get("id"):
        found.known[name] = "username"
