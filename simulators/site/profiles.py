"""Finding a profile by the name that a person writes."""

from difflib import get_close_matches
from pathlib import Path

from drivers.catalogue import find_profile, profile_folders, profile_names
from drivers.tomlfile import Problem
from simulators.problems import SiteError


def profile_file(name: str) -> Path:
    """The file of `vendor/model`, or of a path ending in .toml; raises `SiteError`, with those like it."""
    here = Path.cwd()
    folders = profile_folders(here)
    file = find_profile(name, here, folders)
    if file is None:
        near = get_close_matches(name, profile_names(folders), cutoff=0.3) or profile_names(folders)
        fix = f"write vendor/model, like {', '.join(near[:3])}, or a path ending in .toml"
        raise SiteError([Problem("oc-sim", 0, "PROFILE", f'there is no profile "{name}"', fix)])
    return file.resolve()
