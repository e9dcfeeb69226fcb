"""TOML for another program to read: tables, arrays of tables, and plain values. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


def toml_text(data: Mapping[str, Any]) -> str:
    """A TOML document. Tables within values are written inline."""
    return "\n".join(_table((), data)) + "\n"


def _table(path: tuple[str, ...], data: Mapping[str, Any]) -> Iterator[str]:
    later: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) or _is_tables(value):
            later.append((key, value))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in later:
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            yield f"[{name}]"
            yield from _table((*path, key), value)
        else:
            for one in value:
                yield f"[[{name}]]"
                yield from (f"{_key(k)} = {_value(v)}" for k, v in one.items())


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _quoted(key)


def _quoted(text: str) -> str:
    """JSON strings are TOML strings, but for DEL."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
