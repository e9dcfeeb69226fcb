"""Borrowing a line of the running agent: it stops polling there, closes its port, and takes it back afterwards.

Promises: when the context is entered nobody of this gateway has the port open; the agent has it back when the context
ends, or this process does. Where the agent takes it back before, the work is ended by SIGINT, and `Failed` says why.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from agent.cli.asking import refusals_in_words
from agent.cli.messages import tr
from agent.cli.output import Failed, say
from agent.control import LEASE_MAX_S, AgentNotRunning, Borrowed, borrow_from_agent
from agent.polling.lending import VERB, LendAnswer, LendRequest
from agent.settings import LinkSettings, Settings


@contextmanager
def borrowed(settings: Settings, link: LinkSettings, purpose: str = "") -> Iterator[bool]:
    """Have the line of `link` to ourselves while the context is open; True where the running agent lent it.

    False where no agent runs, or where it has no such line: then there is nothing to borrow. `purpose` is what others
    are told, the name of the verb. Call it in the main thread. Raises `Failed` where the agent lends nothing.
    """
    with ExitStack() as stack:
        lease = _lease(stack, settings, LendRequest(link.options.endpoint, purpose))
        if lease is not None:
            say(tr("the running agent lends {endpoint}: it does not poll there now", endpoint=link.options.endpoint))
            stack.enter_context(_until_taken_back(lease))
        yield lease is not None


def _lease(stack: ExitStack, settings: Settings, request: LendRequest) -> Borrowed | None:
    runtime_dir = Path(settings.gateway.runtime_dir)
    try:
        with refusals_in_words():
            lease = stack.enter_context(borrow_from_agent(runtime_dir, VERB, msgspec.to_builtins(request)))
    except AgentNotRunning:
        return None
    answer = msgspec.convert(lease.answer, LendAnswer)
    _check(answer)
    return lease if answer.state == "lent" else None


def _check(answer: LendAnswer) -> None:
    """Raises `Failed` unless there is nothing to borrow."""
    if answer.state == "held":
        what = tr(
            "{link} is lent already: to {purpose}, pid {pid}, for {seconds} s",
            link=answer.link,
            purpose=answer.purpose or "?",
            pid=answer.pid,
            seconds=f"{answer.for_s:.0f}",
        )
        raise Failed(f"{what}\n  -> {tr('wait until it ends, or end it')}")
    if answer.state == "busy":
        what = tr("the running agent does not let go of {link}: it is stuck in its driver", link=answer.link)
        raise Failed(f"{what}\n  -> {tr('see its log; restart the service')}")


@contextmanager
def _until_taken_back(lease: Borrowed) -> Iterator[None]:
    """Interrupt the main thread where the agent takes the line back; its own end is no reason, nobody polls then."""
    main, taken_back = threading.get_ident(), threading.Event()

    def watch() -> None:
        if lease.ended():
            taken_back.set()
            signal.pthread_kill(main, signal.SIGINT)

    watcher = threading.Thread(target=watch, name="lease", daemon=True)
    watcher.start()
    told = tr("the agent took the line back after {minutes} minutes", minutes=f"{LEASE_MAX_S / 60:g}")
    try:
        yield
        if taken_back.is_set():  # and what was found until then was shown
            say(told)
    except KeyboardInterrupt as err:
        if taken_back.is_set():
            raise Failed(told) from err
        raise
    finally:
        lease.give_back()
        watcher.join()
