"""Questions on a terminal: a default, an explanation for `?`, and again with the reason where an answer is wrong."""

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from agent.cli.init.notation import NotUnderstood
from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import Failed, say

ValueT = TypeVar("ValueT")
NONE = "-"
"""The answer that takes a default away."""


class Question(msgspec.Struct, frozen=True):
    """What is asked, why, and what an empty answer means. `needed`: an empty answer is no answer."""

    text: str
    why: str
    default: str = ""
    needed: bool = False


def ask(question: Question, parsed: Callable[[str], ValueT]) -> ValueT:
    """The answer as `parsed` makes it; raises `Failed` where the input ends."""
    while True:
        answer = _line(question)
        if answer == "?":
            explain(question.why)
            continue
        answer = "" if answer == NONE and not question.needed else answer or question.default
        if not answer and question.needed:
            explain(tr("an answer is needed here; ? explains"))
            continue
        try:
            return parsed(answer)
        except NotUnderstood as err:
            explain(str(err))


def ask_yes(text: str, why: str, *, default: bool) -> bool:
    """A question for yes or no; `y`, `c` (có), `n`, `k` (không)."""
    question = Question(text, why, tr("yes") if default else tr("no"), needed=True)
    return ask(question, _yes)


def choose(question: Question, options: Sequence[str], *, also: Callable[[str], ValueT]) -> int | ValueT:
    """The place in `options` whose number is answered (they count from 1), or what `also` makes of another answer."""
    for number, option in enumerate(options, 1):
        for line in wrapped(option, first=f"  {number:>2}  ", rest=" " * 6):
            say(line)

    def parsed(answer: str) -> int | ValueT:
        if answer.isascii() and answer.isdigit():
            if not 1 <= int(answer) <= len(options):
                raise NotUnderstood(tr("write a number from 1 to {last}", last=len(options)))
            return int(answer) - 1
        return also(answer)

    return ask(question, parsed)


def ask_secret(text: str, why: str) -> str:
    """A password, without echo; "" for none."""
    while True:
        try:
            answer = getpass.getpass(f"{text}: ", stream=sys.stderr)
        except EOFError as err:
            raise _ended() from err
        if answer != "?":
            return answer
        explain(why)


def explain(text: str) -> None:
    """Talk below a question."""
    for line in wrapped(text, first="    ", rest="    "):
        say(line)


def _line(question: Question) -> str:
    default = f" [{question.default}]" if question.default else ""
    print(f"{question.text}{default}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise _ended()
    return line.strip()


def _ended() -> Failed:
    say("")
    return Failed(tr("the input ended before the last question; nothing was written"))


def _yes(answer: str) -> bool:
    first = answer.casefold()[:1]
    if first not in "yckn":
        raise NotUnderstood(tr("write yes or no"))
    return first in "yc"
