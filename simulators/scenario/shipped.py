"""The scenarios that came with oc-sim, by name."""

from difflib import get_close_matches
from pathlib import Path

import simulators
from drivers.tomlfile import Problem
from simulators.problems import SiteError


def scenario_names() -> list[str]:
    """Their names, sorted."""
    return sorted(file.stem for file in _folder().glob("*.toml"))


def scenario_file(name: str) -> Path:
    """A path that ends in .toml, or the file of one that came with oc-sim; raises `SiteError` with those like it."""
    if name.endswith(".toml"):
        return Path(name)
    if name in scenario_names():
        return _folder() / f"{name}.toml"
    near = get_close_matches(name, scenario_names(), cutoff=0.3) or scenario_names()
    fix = f"write a path ending in .toml, or a name like {', '.join(near[:3])}"
    raise SiteError([Problem("oc-sim", 0, "SCENARIO", f'there is no scenario "{name}"', fix)])


def _folder() -> Path:
    return Path(simulators.__file__).parent / "scenarios"
