"""Files of a tester that cannot be understood: every problem that was found, at once."""

from collections.abc import Iterable

from drivers.tomlfile import Problem


class SiteError(Exception):
    """The files do not say what to simulate; `problems` holds everything that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))
