"""TOML files that people write: read them, say where each key stands, and find every problem at once.

`Section.convert` checks each key by itself, so that one mistake never hides the next. Where a key stands is found
by `drivers.tomlplaces`.
"""

import os
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from drivers.tomlplaces import Key, Places

StructT = TypeVar("StructT", bound=msgspec.Struct)

_TYPE_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_KINDS = {bool: "true/false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing to mend in a file: where it is, what is wrong, what to write instead."""

    file: str
    line: int
    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.what}\n    {self.fix}"


class TomlProblem(Exception):
    """One file that cannot be read at all, as a `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Tree(msgspec.Struct):
    """The data of one or more merged TOML files, and the file and line of each key."""

    data: dict[str, Any]
    places: MutableMapping[Key, tuple[str, int]]
    file: str


def load_toml(path: Path) -> Tree:
    """Read one file; raises `TomlProblem` where it is missing, not UTF-8 or not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise TomlProblem(Problem(str(path), 1, "(file)", f"is not UTF-8 text: {err}", "save it as UTF-8")) from err
    except OSError as err:
        raise TomlProblem(_unreadable(path, err)) from err
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        found = re.search(r"at line (\d+)", str(err))
        line = int(found[1]) if found else text.count("\n") + 1
        fix = 'TOML wants `key = value`, text in "quotes", and each key once'
        raise TomlProblem(Problem(str(path), line, "(syntax)", f"is not TOML: {err}", fix)) from err
    file = str(path)
    return Tree(data, Places(text, file), file)


def load_with_drop_ins(file: Path, problems: list[Problem]) -> Tree | None:
    """Read `file` and lay the `conf.d/*.toml` beside it over it, in order of name; None when problems were added."""
    trees: list[Tree] = []
    for path in (file, *_drop_ins(file.parent / "conf.d", problems)):
        try:
            trees.append(load_toml(path))
        except TomlProblem as err:
            problems.append(err.problem)
    for extra in trees[1:]:
        merge(trees[0], extra)
    return None if problems else trees[0]


def _drop_ins(folder: Path, problems: list[Problem]) -> list[Path]:
    """A folder that may not be looked into is a problem; where all above it is closed, the main file says so."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as err:
        if os.access(folder.parent, os.X_OK):
            problems.append(_unreadable(folder, err))
    return []


def _unreadable(path: Path, err: OSError) -> Problem:
    closed = isinstance(err, PermissionError)
    fix = "use sudo, or check its permissions" if closed else "check the path and its permissions"
    return Problem(str(path), 1, "(file)", f"cannot be read: {err.strerror}", fix)


def merge(base: Tree, extra: Tree) -> None:
    """Lay `extra` over `base`: tables by key, arrays of tables appended, any other value replaced."""
    _merge_table(base.data, extra.data, (), base.places, extra.places)


class Section:
    """One table of a file, with its place. Problems go to a list that all sections of a file share."""

    def __init__(self, data: Mapping[str, Any], tree: Tree, path: Key, problems: list[Problem]) -> None:
        self.data = data
        self.path = path
        self._tree = tree
        self._problems = problems

    @classmethod
    def root(cls, tree: Tree, problems: list[Problem]) -> "Section":
        return cls(tree.data, tree, (), problems)

    def with_data(self, data: Mapping[str, Any]) -> "Section":
        """The same place with other data, for a table whose keys have two owners."""
        return Section(data, self._tree, self.path, self._problems)

    def sharing(self, problems: list[Problem]) -> "Section":
        """The same section reporting to another list, for warnings."""
        return Section(self.data, self._tree, self.path, problems)

    def report(self, problems: Iterable[Problem]) -> None:
        """Pass on problems that were found in another file."""
        self._problems.extend(problems)

    @property
    def problem_count(self) -> int:
        return len(self._problems)

    def problem(self, key: str, what: str, fix: str) -> None:
        """Report one problem with `key` of this section (empty: the section itself)."""
        parts = (int(part) if part.isdigit() else part for part in key.split("."))
        path = (*self.path, *parts) if key else self.path
        place = path
        while place and place not in self._tree.places:
            place = place[:-1]
        file, line = self._tree.places.get(place, (self._tree.file, 1))
        self._problems.append(Problem(file, line, key_text(path) or "(file)", what, fix))

    def child(self, key: str) -> "Section":
        """The table under `key`, empty where there is none; a value that is no table is reported."""
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            self.problem(key, f"must be a table, not {_kind(value)}", f"write `[{key_text((*self.path, key))}]`")
            value = {}
        return Section(value, self._tree, (*self.path, key), self._problems)

    def children(self, key: str) -> list["Section"]:
        """The array of tables under `key`; anything else there is reported."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.problem(key, f"must be a list of tables, not {_kind(value)}", f"write `[[{key}]]` for each")
            return []
        return [Section(item, self._tree, (*self.path, key, i), self._problems) for i, item in enumerate(value)]

    def convert(self, cls: type[StructT], *, ignore: Collection[str] = ()) -> StructT | None:
        """Make a `cls` of this table, or report every key that is unknown, missing or of the wrong type."""
        before = len(self._problems)
        fields = _fields(cls)
        self.only(fields.keys() | set(ignore))
        values: dict[str, Any] = {}
        for key, field in fields.items():
            if key in ignore:
                continue
            if key in self.data:
                values[field.name] = self._value(key, field)
            elif field.required:
                self.problem(key, "is missing", f"add `{key} = {_example(field)}`")
        return cls(**values) if len(self._problems) == before else None

    def only(self, known: Collection[str]) -> None:
        """Report every key that is not one of `known`."""
        for key in self.data:
            if key not in known:
                from difflib import get_close_matches  # for a mistake only

                close = get_close_matches(key, known, 1)
                fix = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(sorted(known))}"
                self.problem(key, "is not a known key", fix)

    def _value(self, key: str, field: msgspec.structs.FieldInfo) -> Any:
        value = self.data[key]
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            return self.child(key).convert(field.type)
        try:
            return msgspec.convert(value, type=field.type)
        except msgspec.ValidationError as err:
            self.problem(key, f"is {_shown(value)}: {_wanted(field, err)}", f"write `{key} = {_example(field)}`")
            return None


def wrong_value(cls: type[msgspec.Struct], key: str, value: object) -> str:
    """What is wrong with one value for `key` of a table, before there is a table; "" where nothing is."""
    problems: list[Problem] = []
    Section.root(Tree({key: value}, {}, ""), problems)._value(key, _fields(cls)[key])
    return "; ".join(problem.what for problem in problems)


def nfc(text: str) -> str:
    """Vietnamese text in one form: a key typed on a Mac (NFD) equals the same key typed elsewhere (NFC)."""
    return unicodedata.normalize("NFC", text)


def key_text(path: Key) -> str:
    """A key path as a person writes it: `device[2].unit` counts from 1, as one counts in a file."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@lru_cache(maxsize=256)
def _fields(cls: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """The keys of a table; msgspec works out the types of a class anew each time that it is asked."""
    return {field.encode_name: field for field in msgspec.structs.fields(cls)}


def _merge_table(base: dict[str, Any], extra: dict[str, Any], at: Key, places: Any, more: Any) -> None:
    for key, value in extra.items():
        old = base.get(key)
        here = (*at, key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge_table(old, value, here, places, more)
        elif isinstance(old, list) and isinstance(value, list):
            _move_places(here, len(old), places, more)
            old.extend(value)
        else:
            base[key] = value
            _move_places(here, 0, places, more)


def _move_places(at: Key, shift: int, places: Any, more: Any) -> None:
    depth = len(at)
    for key, place in more.items():
        if key[:depth] != at:
            continue
        if shift and len(key) > depth and isinstance(key[depth], int):
            key = (*at, key[depth] + shift, *key[depth + 1 :])
        elif shift:
            continue
        places[key] = place


def _wanted(field: msgspec.structs.FieldInfo, err: msgspec.ValidationError) -> str:
    """What a value ought to be, in the words of people."""
    described = next((meta.description for meta in _metas(field.type) if meta.description), None)
    if described:
        return f"must be {described}"
    text = _lower_first(str(err).removesuffix(" - at `$`"))
    return re.sub(r"`([\w |]+)`", lambda found: _type_names(found[1]), text)


def _type_names(types: str) -> str:
    """`int | null` as people say it; null cannot be written in TOML."""
    return " or ".join(_TYPE_NAMES.get(name, name) for name in types.split(" | ") if name != "null")


def _metas(type_: Any) -> Iterator[msgspec.Meta]:
    """The constraints of a type, also of the members of a union."""
    yield from (meta for meta in getattr(type_, "__metadata__", ()) if isinstance(meta, msgspec.Meta))
    for member in get_args(type_):
        if get_origin(member) is Annotated or get_origin(member) is UnionType:
            yield from _metas(member)


def _example(field: msgspec.structs.FieldInfo) -> str:
    for meta in _metas(field.type):
        if meta.examples:
            return _shown(meta.examples[0])
    if not field.required and field.default is not msgspec.NODEFAULT and field.default is not None:
        return _shown(field.default)
    return "…"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        text = "{ " + ", ".join(f"{key} = {_shown(one)}" for key, one in value.items()) + " }"
        return text if len(text) <= 120 else text[:117] + "…"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
