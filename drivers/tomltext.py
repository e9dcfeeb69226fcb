"""TOML for another program or a person to read: tables, arrays of tables, plain values. Pure.

Reading it back gives the same values.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(data: Mapping[str, Any]) -> str:
    """A TOML document. Tables within values are written inline; raises `TypeError` for what TOML does not have."""
    return "\n".join(_table((), data)) + "\n"


def toml_value(value: Any) -> str:
    """A text, number, bool, list or inline table; raises `TypeError` for anything else."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return "[" + ", ".join(map(toml_value, value)) + "]"
        case Mapping():
            return "{ " + ", ".join(f"{toml_key(key)} = {toml_value(one)}" for key, one in value.items()) + " }"
    raise TypeError(f"{type(value).__name__} is nothing that TOML has")


def toml_key(key: str) -> str:
    """A key, in quotes where it needs them."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else toml_value(key)


def _table(path: tuple[str, ...], data: Mapping[str, Any]) -> Iterator[str]:
    later: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) or _is_tables(value):
            later.append((key, value))
        else:
            yield f"{toml_key(key)} = {toml_value(value)}"
    for key, value in later:
        name = ".".join(map(toml_key, (*path, key)))
        if isinstance(value, Mapping):
            yield f"[{name}]"
            yield from _table((*path, key), value)
        else:
            for one in value:
                yield f"[[{name}]]"
                yield from (f"{toml_key(k)} = {toml_value(v)}" for k, v in one.items())


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Mapping) for one in value)
