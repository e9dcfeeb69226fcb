"""A draft as the text of a configuration with a comment at each key, in both languages. Pure.

Comments hold nothing that was answered, so no answer can end one and become a key.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.cli.init.comments import HEAD, KEYS, TABLES, UNUSED
from agent.cli.init.draft import Draft
from drivers.tomltext import toml_key, toml_value

_SINGLE = ("gateway", "site", "uplink")


def configuration_text(draft: Draft) -> str:
    """The whole file. Keys with nothing in them ("", {}) are left out, or stand as a comment."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    for pair in HEAD:
        yield from (f"# {text}" for text in pair)
    for name in _SINGLE:
        yield from ("", *_title(name), f"[{name}]", *_keys(name, getattr(draft, name)), *_unused(name, draft))
    for name, tables in (("link", draft.links), ("device", draft.devices)):
        if tables:
            yield from ("", *_title(name))
        explained: set[str] = set()
        for i, table in enumerate(tables):
            yield from (*([""] if i else []), f"[[{name}]]", *_keys(name, table, explained))


def _title(table: str) -> Iterator[str]:
    yield from (f"# ---- {text}" for text in TABLES[table])


def _keys(table: str, values: Mapping[str, Any], explained: set[str] | None = None) -> Iterator[str]:
    """The keys with values; of several tables the first that has a key explains it."""
    for key, value in values.items():
        if value in ("", {}, None):
            continue
        if explained is None or key not in explained:
            yield from _comment(table, key)
        if explained is not None:
            explained.add(key)
        yield f"{toml_key(key)} = {toml_value(value)}"


def _unused(table: str, draft: Draft) -> Iterator[str]:
    for key, example in UNUSED.get(table, ()):
        if not getattr(draft, table).get(key):
            yield from _comment(table, key)
            yield f"#{key} = {example}"


def _comment(table: str, key: str) -> Iterator[str]:
    """In both languages where they differ; nothing for a key that another program has added."""
    yield from (f"# {text}" for text in dict.fromkeys(KEYS.get(f"{table}.{key}", ())))
