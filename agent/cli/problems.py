"""Problems of configurations and profiles in the language of the reader.

`drivers` and `agent.configuration` say them in English, and so do JSON and the journal.
"""

import msgspec

from agent.cli.translations import Translations
from drivers.tomlfile import Problem

_TEXTS = Translations("problems.vi.toml")


def in_words(problem: Problem) -> Problem:
    """The problem with its texts in the chosen language."""
    return msgspec.structs.replace(problem, what=worded(problem.what), fix=worded(problem.fix))


def worded(text: str) -> str:
    """One text of a problem in the chosen language."""
    return _TEXTS.of(text)
