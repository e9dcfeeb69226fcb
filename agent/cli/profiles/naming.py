"""A profile by the name that somebody wrote on the command line."""

from pathlib import Path

from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.configuration import ConfigError
from drivers.catalogue import ProfileError, find_profile, load_profile, profile_folders, profile_names
from drivers.profile import Profile
from drivers.registry import driver_specs


def found_profile(name: str, beside: Path) -> tuple[Path, Profile]:
    """The profile and its file; raises `Failed` where there is none, `ConfigError` where it has problems."""
    folders = profile_folders(beside)
    path = Path(name) if name.endswith(".toml") else find_profile(name, beside, folders)
    if path is None:
        known = ", ".join(profile_names(folders))
        raise Failed(tr('there is no profile "{name}"; there are: {known}', name=name, known=known))
    try:
        return path, load_profile(path, driver_specs())
    except ProfileError as err:
        raise ConfigError(err.problems) from err
