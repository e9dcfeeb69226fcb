"""Which driver kinds there are: ours by name, others through the entry-point group `oc_agent.drivers`.

A kind is loaded when it is asked for, so a gateway without cameras carries no camera driver.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property

from drivers.api import DriverSpec

ENTRY_POINT_GROUP = "oc_agent.drivers"


def _modbus() -> DriverSpec:
    from drivers.modbus.driver import SPEC

    return SPEC


def _serial() -> DriverSpec:
    from drivers.serial.driver import SPEC

    return SPEC


def _camera() -> DriverSpec:
    from drivers.camera.driver import SPEC

    return SPEC


_OURS: Mapping[str, Callable[[], DriverSpec]] = {"modbus": _modbus, "serial": _serial, "camera": _camera}


class _Kinds(Mapping[str, DriverSpec]):
    """A third party may add kinds; it may not replace ours."""

    def __getitem__(self, kind: str) -> DriverSpec:
        return (_OURS[kind] if kind in _OURS else self._others[kind])()

    def __iter__(self) -> Iterator[str]:
        return iter({**self._others, **_OURS})

    def __len__(self) -> int:
        return len({**self._others, **_OURS})

    @cached_property
    def _others(self) -> Mapping[str, Callable[[], DriverSpec]]:
        from importlib.metadata import entry_points  # 2 MB that a gateway with our kinds only does without

        return {entry.name: entry.load for entry in entry_points(group=ENTRY_POINT_GROUP)}


@cache
def driver_specs() -> Mapping[str, DriverSpec]:
    """Every kind by name."""
    return _Kinds()
