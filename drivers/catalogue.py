"""The catalogue of profiles: where the files are, and reading one. Errors name file, line and key, all at once.

Knows no kind: what a file may say is in its `DriverSpec`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from drivers.api import DriverSpec
from drivers.profile import Language, Profile
from drivers.tomlfile import Problem, Section, TomlProblem, Tree, load_toml, nfc


class ProfileError(Exception):
    """A profile file with problems; `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def shipped_profiles() -> Path:
    """The folder of the profiles that came with the agent: the installed one, or that of a checkout."""
    checkout = Path(__file__).resolve().parent.parent / "config" / "profiles"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "oc-agent" / "config" / "profiles"


def profile_folders(beside: Path) -> tuple[Path, ...]:
    """Where `vendor/model` is looked for: `profiles/` beside the configuration first, then what was shipped.

    Without what may not be looked into: everybody may see what was shipped, and not everybody the configuration.
    """
    return tuple(folder for folder in (beside / "profiles", shipped_profiles()) if not _is_closed(folder))


def _is_closed(folder: Path) -> bool:
    try:
        return folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:
        return True


def find_profile(name: str, beside: Path, folders: Sequence[Path]) -> Path | None:
    """The file of profile `name`: `vendor/model` in one of `folders`, or a `.toml` path relative to `beside`."""
    if name.endswith(".toml"):
        path = beside / name
        return path if path.is_file() else None
    candidates = (folder / f"{name}.toml" for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


def profile_names(folders: Sequence[Path]) -> list[str]:
    """The names of all profiles in `folders`, sorted."""
    paths = ((path, folder) for folder in folders for path in folder.glob("*/*.toml"))
    return sorted({p.relative_to(f).with_suffix("").as_posix() for p, f in paths if not p.stem.endswith(".capture")})


def load_profile(path: Path, specs: Mapping[str, DriverSpec]) -> Profile:
    """Read one profile; raises `ProfileError` with every problem of the file."""
    try:
        tree = load_toml(path)
    except TomlProblem as err:
        raise ProfileError([err.problem]) from err
    return parse_profile(tree, specs)


def parse_profile(tree: Tree, specs: Mapping[str, DriverSpec]) -> Profile:
    """Check a profile that was read; raises `ProfileError` with every problem of the file."""
    problems: list[Problem] = []
    root = Section.root(tree, problems)
    spec = specs.get(str(root.data.get("kind")))
    if spec is None:
        root.problem("kind", "is missing or unknown", f"write one of: {', '.join(sorted(specs))}")
        raise ProfileError(problems)
    sections = root.children("point")
    points = [section.convert(spec.point_type) for section in sections]
    profile = root.convert(spec.profile_type, ignore=("point",))
    _check_points(root, sections)
    if profile is not None and not problems:
        profile = msgspec.structs.replace(profile, point=tuple(points), label=_nfc_values(profile.label))
        spec.check_profile(profile, root)
    if profile is None or problems:
        raise ProfileError(sorted(problems))
    return profile


def _check_points(root: Section, sections: Sequence[Section]) -> None:
    if not sections:
        root.problem("point", "there are no points", "add a `[[point]]` for each quantity")
    seen: set[str] = set()
    for section in sections:
        name = str(section.data.get("name"))
        if name in seen:
            section.problem("name", f"`{name}` stands twice", "give each point its own name")
        seen.add(name)
        match section.data.get("range"):
            case [int() | float() as lowest, int() | float() as highest] if not lowest < highest:
                section.problem("range", "has no values in it", "write `range = [lowest, highest]`")
        if section.data.get("scale") == 0:
            section.problem("scale", "is 0: every value would be the same", "write the factor of the device's table")


def _nfc_values(label: dict[Language, str]) -> dict[Language, str]:
    return {language: nfc(text) for language, text in label.items()}
