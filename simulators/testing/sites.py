"""A whole site in the hands of a test: a simulated device for each device of an agent's configuration."""

from collections.abc import Mapping

from simulators.testing.devices import SimulatedDevice


class SimulatedSite:
    """Its devices by name, and the real address of each link."""

    def __init__(self, devices: Mapping[str, SimulatedDevice], addresses: Mapping[str, str]) -> None:
        self.devices = devices
        self.addresses = addresses

    def __getitem__(self, device: str) -> SimulatedDevice:
        return self.devices[device]
