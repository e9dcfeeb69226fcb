import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.tomlfile import Problem, Section, TomlProblem, key_text, load_toml, load_with_drop_ins, merge
from drivers.tomlplaces import key_places


class Inner(msgspec.Struct):
    size: int
    colour: str = "red"


class Outer(msgspec.Struct):
    name: str
    inner: Inner


def _load(tmp_path: Path, text: str, name: str = "a.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_toml(path)


TEXT = (
    '''\
# comment = 1
top = "a # not a comment"
[gateway]
id = """
three
lines"""
"quoted key" = 1
site.name = { vi = "Hải Châu" }
list = [
  1, # ] not the end
  2,
]
after = 'it'''
    + "''"
    + """
[[link]]
name = "one"
[[link]]
name = "two"
[link.options]
deep = true
"""
)


def test_every_key_knows_the_line_on_which_it_stands() -> None:
    text = TEXT.replace("after = 'it''", "after = 'it'")
    tomllib.loads(text)
    places = dict(key_places(text))
    lines = text.splitlines()
    expected = {
        ("top",): "top =",
        ("gateway",): "[gateway]",
        ("gateway", "id"): "id =",
        ("gateway", "quoted key"): '"quoted key"',
        ("gateway", "site", "name"): "site.name",
        ("gateway", "list"): "list =",
        ("gateway", "after"): "after =",
        ("link", 0, "name"): 'name = "one"',
        ("link", 1, "name"): 'name = "two"',
        ("link", 1, "options", "deep"): "deep =",
    }
    for key, start in expected.items():
        assert lines[places[key] - 1].startswith(start), key


_keys = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
_values = st.recursive(
    st.integers(-5, 5)
    | st.booleans()
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[\n" + ", # ]\n".join(_toml(item) for item in value) + "\n]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(st.dictionaries(_keys, _values, max_size=6))
def test_lines_are_found_whatever_the_values_look_like(data: dict[str, object]) -> None:
    text, expected = "", {}
    for key, value in data.items():
        expected[(key,)] = text.count("\n") + 1
        text += f"{_toml(key)} = {_toml(value)} # trailing\n"
    assert tomllib.loads(text) == data
    found = dict(key_places(text))
    assert {key: found[key] for key in expected} == expected


def test_all_problems_of_a_table_are_found_at_once(tmp_path: Path) -> None:
    tree = _load(tmp_path, 'nmae = "x"\n[inner]\nsize = "big"\ncolor = "blue"\n')
    problems: list[Problem] = []
    assert Section.root(tree, problems).convert(Outer) is None
    assert [(p.line, p.key) for p in sorted(problems)] == [
        (1, "name"),
        (1, "nmae"),
        (3, "inner.size"),
        (4, "inner.color"),
    ]
    assert "did you mean `colour`?" in str(problems)


def test_merged_files_keep_the_place_of_each_key(tmp_path: Path) -> None:
    base = _load(tmp_path, '[log]\nlevel = "info"\n[[link]]\nname = "a"\n')
    extra = _load(tmp_path, '\n[log]\nlevel = "debug"\nmore = 1\n[[link]]\nname = "b"\n', "b.toml")
    merge(base, extra)
    assert base.data == {"log": {"level": "debug", "more": 1}, "link": [{"name": "a"}, {"name": "b"}]}
    assert base.places["link", 0, "name"] == (str(tmp_path / "a.toml"), 4)
    assert base.places["link", 1, "name"] == (str(tmp_path / "b.toml"), 6)
    assert base.places["log", "level"] == (str(tmp_path / "b.toml"), 3)


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"a = 1\nb = \n", 2, "is not TOML"),
        (b"a = 1\na = 2\n", 2, "is not TOML"),
        (b"a = '\xff'", 1, "is not UTF-8"),
        (b"x = [1,\n2", 2, "TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path: Path, content: bytes, line: int, what: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(TomlProblem) as caught:
        load_toml(path)
    assert caught.value.problem.line == line
    assert what in caught.value.problem.what


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(TomlProblem, match="No such file"):
        load_toml(tmp_path / "none.toml")


def test_drop_ins_that_may_not_be_read_are_a_problem_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    _load(tmp_path, "a = 1")
    monkeypatch.setattr(Path, "iterdir", closed)
    problems: list[Problem] = []
    assert load_with_drop_ins(tmp_path / "a.toml", problems) is None
    assert [(one.file, one.fix) for one in problems] == [
        (str(tmp_path / "conf.d"), "use sudo, or check its permissions")
    ]


def test_positions_are_counted_from_one_as_people_do() -> None:
    assert key_text(("device", 1, "unit")) == "device[2].unit"
