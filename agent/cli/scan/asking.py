"""Asking units on an open path whether they are there, and what they are.

A slow device answers while the next one is asked: what spoils an answer makes the scan ask again with patience, so
that it is found all the same. Promises: reads only, never unit 0. Must not know: terminals.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.cli.scan.course import RegisterTable
from agent.cli.scan.fitting import Candidate, Registers, candidates, to_ask
from agent.cli.wiring import Symptom, symptom
from drivers.modbus.framing import rtu_replies
from drivers.modbus.identity import in_words, told_by
from drivers.modbus.pdu import Identify, Request
from drivers.modbus.profile import ModbusProfile
from drivers.modbus.scanning import Ear, Heard

PATIENCE_S = 1.0
"""The slowest devices that we know take a second to begin."""
PATIENT_MAX = 6
"""So often at one setting: a line that babbles would take for ever."""
SYMPTOMS_MAX = 2
"""A unit that was as odd so often is not asked again for the sake of its neighbour."""
PAUSE_S = 0.05
LONG_PAUSE_S = 0.2
"""Before a question and before its repetition: many devices want a pause between requests."""
SECOND_ANSWER_S = 0.1
BLOCKS_MAX = 60
SLOWER = 4
"""A device may take so many times as long for more registers."""
SILENT_MAX = 2
"""Some devices are silent on what they do not know: after so many silences each is believed at once."""
_GATEWAY = (10, 11)
"""Exceptions of a gateway that has no such unit (Application Protocol V1.1b3, section 7)."""
_SPOILT = (Symptom.GARBAGE, Symptom.CHECKSUM, Symptom.FOREIGN)


@dataclass(frozen=True, kw_only=True)
class There:
    """A unit that has answered."""

    unit: int
    answer: str
    reply_ms: int
    slow: bool
    first: Heard


@dataclass
class Asking:
    """Asks on one open path. `symptoms` are those of each unit so far, `requests` counts."""

    ear: Ear
    timeout_s: float
    framing: str
    symptoms: dict[int, list[Symptom]] = field(default_factory=lambda: defaultdict(list))
    own_echo: bool = False
    requests: int = 0
    _patient: int = 0
    _before: int = 0

    async def look(self, unit: int, table: RegisterTable) -> list[There]:
        """Is `unit` there? Also the one before it, where that was only slow. Raises `LinkDown`."""
        before, self._before = self._before, unit
        heard = await self._ask(Request(unit, table, 0, 1), self.timeout_s)
        seen = self._symptom(unit, heard)
        if seen not in _SPOILT or self._patient >= PATIENT_MAX:
            self.symptoms[unit].append(seen)
            return await self._there(heard, slow=False)
        self._patient += 1
        late = {one for one, _ in rtu_replies(heard.data)} if self.framing == "rtu" else set()
        suspects = dict.fromkeys(one for one in (before, *late, unit) if one)
        found: list[There] = []
        for one in suspects:
            if Symptom.ANSWER not in self.symptoms[one] and len(self.symptoms[one]) < SYMPTOMS_MAX:
                found += await self._again(one, table)
        return found

    async def what_is(self, there: There, profiles: Mapping[str, ModbusProfile]) -> tuple[str, list[Candidate]]:
        """What it says that it is (43/14), and every profile held against it. Raises `LinkDown`."""
        known = Registers()
        timeout_s = PATIENCE_S if there.slow else max(self.timeout_s, SLOWER * there.reply_ms / 1000)
        if there.first.answer and isinstance(there.first.request, Request):
            self._note(there.first.request, there.first, known)
        identity = await self._patiently(Identify(there.unit), timeout_s, again=True)
        if identity.answer and not identity.answer.refused:
            known.told = told_by(identity.answer.objects)
        for _ in range(BLOCKS_MAX):
            request = to_ask(profiles.values(), known, there.unit)
            if request is None:
                break
            self._note(request, await self._patiently(request, timeout_s, again=known.silences < SILENT_MAX), known)
        return in_words(known.told or {}), candidates(profiles, known)

    async def _again(self, unit: int, table: RegisterTable) -> list[There]:
        await asyncio.sleep(LONG_PAUSE_S)
        heard = await self._ask(Request(unit, table, 0, 1), PATIENCE_S)
        self.symptoms[unit].append(self._symptom(unit, heard))
        return await self._there(heard, slow=(heard.began_s or 0.0) > self.timeout_s)

    async def _there(self, heard: Heard, *, slow: bool) -> list[There]:
        found = heard.answer
        if found is None or found.refused in _GATEWAY:
            return []
        unit = heard.request.unit
        if self.framing == "rtu":
            self.own_echo = self.own_echo or heard.data.startswith(heard.sent)
            replies = rtu_replies(heard.data.replace(heard.sent, b"", 1) + await self.ear.listen(SECOND_ANSWER_S))
            if sum(one == unit for one, _ in replies) > 1:
                self.symptoms[unit].append(Symptom.TWICE)
        answer = f"exception {found.refused}" if found.refused else "values"
        return [There(unit=unit, answer=answer, reply_ms=round(1000 * (heard.began_s or 0)), slow=slow, first=heard)]

    def _symptom(self, unit: int, heard: Heard) -> Symptom:
        if heard.answer:
            return Symptom.ANSWER
        if self.framing == "rtu":
            return symptom(unit, heard.sent, heard.data)
        return Symptom.GARBAGE if heard.data and self.framing == "ascii" else Symptom.SILENT

    async def _patiently(self, request: Request | Identify, timeout_s: float, *, again: bool) -> Heard:
        """Ask after a pause; once more where nothing good came, and it was not only silent or it may be `again`."""
        await asyncio.sleep(PAUSE_S)
        heard = await self._ask(request, timeout_s)
        if heard.answer is None and (again or heard.began_s is not None):
            await asyncio.sleep(LONG_PAUSE_S)
            heard = await self._ask(request, timeout_s)
        return heard

    async def _ask(self, request: Request | Identify, timeout_s: float) -> Heard:
        self.requests += 1
        return await self.ear.ask(request, timeout_s)

    @staticmethod
    def _note(request: Request, heard: Heard, known: Registers) -> None:
        found = heard.answer
        if found is None or found.refused:
            known.failed(request, found.refused if found else 0)
        else:
            known.answered(request, found.words)
