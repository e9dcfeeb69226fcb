"""The shipped profiles of the serial kind."""

from pathlib import Path

from drivers.catalogue import load_profile, profile_names, shipped_profiles
from drivers.serial.driver import SPEC
from drivers.serial.profile import SerialProfile


def shipped(name: str) -> SerialProfile:
    """The profile `vendor/model`."""
    profile = load_profile(profile_file(name), {"serial": SPEC})
    assert isinstance(profile, SerialProfile)
    return profile


def profile_file(name: str) -> Path:
    """Where the profile `vendor/model` is."""
    return shipped_profiles() / f"{name}.toml"


def shipped_names(*, asked: bool) -> list[str]:
    """Those that are asked, or those that send by themselves."""
    names = profile_names((shipped_profiles(),))
    serial = [name for name in names if 'kind = "serial"' in profile_file(name).read_text(encoding="utf-8")]
    return [name for name in serial if shipped(name).is_asked is asked]
