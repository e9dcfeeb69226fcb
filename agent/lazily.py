"""Modules that others import and hardly ever use: loaded when something of them is used, or not seen.

Not `importlib.util.LazyLoader`: up to Python 3.11 the `import` of the others already loads what it has put off.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands in the place of a module until something of it is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)


def later(name: str) -> None:
    """Put off the loading of a module, where nobody has loaded it yet."""
    package, _, module = name.rpartition(".")
    if name not in sys.modules:
        sys.modules[name] = _Later(name)
        if package:
            setattr(import_module(package), module, sys.modules[name])


@contextmanager
def unseen(name: str) -> Iterator[None]:
    """Without a module that others can do without, while they are imported; where it is loaded already, it is seen."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # the import system's own way to say so (importlib)
    try:
        yield
    finally:
        del sys.modules[name]
