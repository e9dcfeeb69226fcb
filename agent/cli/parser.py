"""The parser of the command line, whose help and errors are in the language of the reader.

Verbs write their help in English: their docstrings and `help=`. `help.vi.toml` has the Vietnamese, by paragraph.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from agent.cli.messages import tr
from agent.cli.translations import Translations

_TEXTS = Translations("help.vi.toml")


class _Formatter(argparse.HelpFormatter):
    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        super().add_usage(usage, actions, groups, tr("usage: ") if prefix is None else prefix)

    def add_text(self, text: str | None) -> None:
        for paragraph in paragraphs(text):
            super().add_text(paragraph)


class Parser(argparse.ArgumentParser):
    """Also the class of the parsers of its verbs."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"formatter_class": _Formatter, **settings})  # type: ignore[arg-type] # as argparse has them

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, tr("{prog}: error: {what}", prog=self.prog, what=_TEXTS.of(message)) + "\n")


def asked_language(argv: Sequence[str]) -> str | None:
    """What `--lang` says, before the parser is made that knows all the rest."""
    early = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    early.add_argument("--lang")
    try:
        found: str | None = early.parse_known_args(argv)[0].lang
    except argparse.ArgumentError:  # it will be said by the whole parser
        return None
    return found


def asked_verb(argv: Sequence[str]) -> str | None:
    """The verb, before the parser is made; None where something else than `--config` and `--lang` stands before it."""
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in {"--config", "--lang"}:
            next(words, None)
        elif not word.startswith(("--config=", "--lang=")):
            break
    return None


def translate(parser: argparse.ArgumentParser) -> None:
    """Put the help of a parser and of its verbs into the chosen language."""
    for one in parsers(parser):
        one.description = "\n\n".join(map(_TEXTS.of, paragraphs(one.description)))
        for group in one._action_groups:
            group.title = group.title and _TEXTS.of(group.title)
        for action in helped(one):
            action.help = action.help and _TEXTS.of(action.help)


def texts(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every text that the help of a parser and of its verbs has."""
    for one in parsers(parser):
        yield from paragraphs(one.description)
        yield from (group.title for group in one._action_groups if group.title)
        yield from (action.help for action in helped(one) if action.help)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of its verbs and of theirs."""
    yield parser
    for action in verbs_of(parser):
        for sub in dict.fromkeys(action.choices.values()):  # an alias is the same parser
            yield from parsers(sub)


def verbs_of(parser: argparse.ArgumentParser) -> Iterator["argparse._SubParsersAction[argparse.ArgumentParser]"]:
    """Its tables of verbs: none or one."""
    return (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def helped(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """What has a line in its help: options, arguments, verbs."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            yield from action._choices_actions


def paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a docstring, each in one line."""
    return [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n") if paragraph.strip()]
