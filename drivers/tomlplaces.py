"""On which line each key of a TOML file stands. `tomllib` forgets it; this finds it again. Pure.

Works on text that `tomllib` has already accepted, and tells nothing about values.
"""

import re
import tomllib
from collections.abc import Iterator, MutableMapping
from functools import cached_property

Key = tuple[str | int, ...]
"""A path of keys; the number is the index in an array of tables, from 0."""

_KEY_PART = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+)\s*')


class Places(MutableMapping[Key, tuple[str, int]]):
    """File and line of each key of a file, found when somebody asks: most files have no problem to tell of."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file

    @cached_property
    def _found(self) -> dict[Key, tuple[str, int]]:
        return {key: (self._file, line) for key, line in key_places(self._text)}

    def __getitem__(self, key: Key) -> tuple[str, int]:
        return self._found[key]

    def __setitem__(self, key: Key, place: tuple[str, int]) -> None:
        self._found[key] = place

    def __delitem__(self, key: Key) -> None:
        del self._found[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def key_places(text: str) -> Iterator[tuple[Key, int]]:
    """Each key path of valid TOML text with its line, from 1; an item of an array of tables has its index."""
    table: Key = ()
    counts: dict[Key, int] = {}
    at = 0
    line = 1
    while at < len(text):
        char = text[at]
        if char == "\n":
            line += 1
            at += 1
        elif char in " \t\r":
            at += 1
        elif char == "#":
            at = _line_end(text, at)
        elif char == "[":
            array = text.startswith("[[", at)
            names, at = _key(text, at + 1 + array)
            table = _resolve(names, counts, array=array)
            yield table, line
            at = _line_end(text, at)
        else:
            names, at = _key(text, at)
            for depth in range(1, len(names) + 1):
                yield (*table, *names[:depth]), line
            end = _value_end(text, at)
            line += text.count("\n", at, end)
            at = end


def _resolve(names: Key, counts: dict[Key, int], *, array: bool) -> Key:
    """The path of a table header, with the index of each array of tables on its way."""
    path: Key = ()
    for depth, name in enumerate(names, 1):
        path = (*path, name)
        if array and depth == len(names):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _key(text: str, at: int) -> tuple[Key, int]:
    parts: list[str] = []
    while found := _KEY_PART.match(text, at):
        raw = found[1]
        parts.append(tomllib.loads(f"{raw} = 0").popitem()[0])
        at = found.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


def _value_end(text: str, at: int) -> int:
    """Where the value that starts behind `=` ends: a newline outside of strings and brackets."""
    depth = 0
    while at < len(text):
        char = text[at]
        if char in "\"'":
            at = _string_end(text, at)
            continue
        if char == "#":
            at = _line_end(text, at)
            continue
        if char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "\n" and depth == 0:
            return at
        at += 1
    return at


def _string_end(text: str, at: int) -> int:
    quote = text[at]
    fence = quote * 3 if text.startswith(quote * 3, at) else quote
    at += len(fence)
    while not text.startswith(fence, at):
        at += 2 if quote == '"' and text[at] == "\\" else 1
    at += len(fence)
    while len(fence) == 3 and text.startswith(quote, at):
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
