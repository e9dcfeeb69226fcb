"""The shipped profiles of the serial kind."""

from drivers.catalogue import load_profile, shipped_profiles
from drivers.serial.driver import SPEC
from drivers.serial.profile import SerialProfile


def shipped(name: str) -> SerialProfile:
    """The profile `vendor/model`."""
    profile = load_profile(shipped_profiles() / f"{name}.toml", {"serial": SPEC})
    assert isinstance(profile, SerialProfile)
    return profile
