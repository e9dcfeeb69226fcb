"""Somebody who follows the technician's guides in a `Cabinet`, as the user `pi`, command by command."""

import subprocess
import time

from cabinet import PATH, Cabinet
from dialogue import Dialogue
from guide_pages import Block, blocks, here, is_shown, questions

PATIENCE_S = 60.0
TIMEOUT_S = 180
STATE = "/home/pi/.terminal"
HOME = ("HOME=/home/pi", "USER=pi", "LOGNAME=pi", "COLUMNS=80", f"PATH={PATH}")


class Technician:
    """One terminal: folder and environment are kept from block to block."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self._shown = ""
        self._where = ""

    def follow(self, page: str, language: str) -> None:
        """A page from top to bottom; an AssertionError says where it is wrong."""
        todo = blocks(page, language)
        for number, block in enumerate(todo):
            self._where = f"{language}/{page}: {block.text}"
            later = todo[number + 1] if number + 1 < len(todo) else None
            self._do(block, later)

    def _do(self, block: Block, later: Block | None) -> None:
        for event in filter(None, block.value("before").split(", ")):
            self._cabinet.happens(event)
        if block.has("not run") or block.has("dialogue"):
            return
        if block.has("shows"):
            assert is_shown(block.text, self._shown), f"{self._where}\nis not what is shown:\n{self._shown}"
        elif file := block.value("file "):
            self._cabinet.machine.write(file, block.text)
        elif block.has("asks"):
            assert later
            self._talk(block.text, later.text)
        elif block.has("until it shows"):
            assert later
            self._again(block, later)
        else:
            assert block.language == "sh", f"what is to be done with {block}?"
            self._run(block)

    def _run(self, block: Block) -> None:
        code, self._shown = self._bash(here(block.text))
        wanted = int(block.value("exits ") or 0)
        assert code == wanted, f"{self._where}\nexit code {code}:\n{self._shown}"

    def _again(self, block: Block, shows: Block) -> None:
        """Until the next block is what is shown, or for long enough."""
        end = time.monotonic() + PATIENCE_S
        wanted = int(block.value("exits ") or 0)
        while True:
            code, self._shown = self._bash(here(block.text))
            if (code == wanted and is_shown(shows.text, self._shown)) or time.monotonic() > end:
                assert code == wanted, f"{self._where}\nexit code {code}:\n{self._shown}"
                return
            time.sleep(0.3)

    def _talk(self, script: str, dialogue: str) -> None:
        """Type what the page types, after the question that it shows; the whole must be what the page shows."""
        with Dialogue(self._entered(here(script))) as talk:
            for question, answer in questions(dialogue):
                talk.expect(question)
                talk.type(answer.strip() + "\n")
            assert talk.ends() == 0, f"{self._where}\n{talk.text}"
        self._shown = talk.text
        assert is_shown(dialogue, self._shown), f"{self._where}\nis not what is said:\n{dialogue}\nbut\n{self._shown}"

    def _bash(self, script: str) -> tuple[int, str]:
        done = subprocess.run(
            self._entered(script), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _entered(self, script: str) -> list[str]:
        keep = f"trap 'pwd >{STATE}.pwd; export -p >{STATE}.env' EXIT\n"
        before = f'cd "$(cat {STATE}.pwd 2>/dev/null || echo ~)"; test ! -e {STATE}.env || . {STATE}.env\n'
        user = ["setpriv", "--reuid=pi", "--regid=pi", "--init-groups"]
        bash = ["bash", "-eo", "pipefail", "-c", before + keep + script]
        return [*self._cabinet.machine.entered, "env", "-i", "--chdir=/", *HOME, *user, *bash]
