"""A scan of one serial bus: legs of the course one after the other, the port opened anew for each setting.

Promises: what was found stands in the report at once, also when the scan is broken off. Must not know: terminals.
"""

import termios
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from agent.cli.scan.asking import Asking, There
from agent.cli.scan.course import Leg, LineSetting, first_round, second_round
from agent.cli.scan.finding import FoundUnit, HeardInstrument, ScanReport
from agent.cli.scan.hearing import heard_profiles
from agent.cli.scan.progress import Watcher
from agent.cli.wiring import Symptom, WiringHint, wiring_hints
from drivers.errors import LinkDown
from drivers.modbus.framing import NOISE
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusProfile
from drivers.modbus.scanning import Ear, open_ear
from drivers.profile import Profile
from drivers.serial.profile import SerialProfile

_SAMPLE_BYTES = 24


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a scan is made. `everything`: also where the first round says that it need not be."""

    settings: Sequence[LineSetting]
    units: Sequence[int]
    timeout_s: float
    listen_s: float
    everything: bool = False


class BusScan:
    """One bus. `options` say where it is; their line settings do not count. `devices` are names by unit."""

    def __init__(
        self,
        options: ModbusOptions,
        terms: Terms,
        profiles: Mapping[str, Profile],
        report: ScanReport,
        watcher: Watcher,
        devices: Mapping[int, str],
    ) -> None:
        self._options = options
        self._terms = terms
        self._modbus = {name: one for name, one in profiles.items() if isinstance(one, ModbusProfile)}
        self._serial = {name: one for name, one in profiles.items() if isinstance(one, SerialProfile)}
        self._report = report
        self._watcher = watcher
        self._devices = devices
        self._found: set[tuple[LineSetting, int]] = set()
        self._symptoms: dict[LineSetting, dict[int, list[Symptom]]] = {}
        self._echoes: set[LineSetting] = set()
        self._listened: set[int] = set()

    async def run(self) -> None:
        """Both rounds; raises `LinkDown`."""
        terms = self._terms
        await self._round(first_round(terms.settings, terms.units))
        if not self._understood or terms.everything:
            found = () if terms.everything else self._found
            await self._round(second_round(terms.settings, terms.units, found))

    def hints(self) -> list[WiringHint]:
        """What the bytes say of the wiring so far."""
        settings = {setting for setting, _ in self._found}
        if settings:
            return [hint for one in sorted(settings) for hint in self._hints_at(one)]
        everything: dict[int, list[Symptom]] = {}
        for seen in self._symptoms.values():
            for unit, symptoms in seen.items():
                everything.setdefault(unit, []).extend(symptoms)
        return wiring_hints(everything) if not self._understood else []

    @property
    def _understood(self) -> bool:
        """Was an instrument heard that sends by itself? It has the line for itself."""
        return any(one.profiles for one in self._report.heard)

    def _hints_at(self, setting: LineSetting) -> list[WiringHint]:
        return wiring_hints(self._symptoms.get(setting, {}), own_echo=setting in self._echoes)

    async def _round(self, legs: Iterable[Leg]) -> None:
        for leg in legs:
            if self._understood and not self._terms.everything:
                return
            if str(leg.setting) in self._report.refused_settings:
                continue
            try:
                await self._leg(leg)
            except LinkDown as err:
                if not isinstance(err.__cause__, termios.error | ValueError):
                    raise
                self._report.refused_settings.append(str(leg.setting))
        if len(self._report.refused_settings) == len(self._terms.settings):
            raise LinkDown(f"{self._options.port} takes none of the settings; is it a serial port?")

    async def _leg(self, leg: Leg) -> None:
        async with open_ear(self._at(leg.setting)) as ear:
            if leg.setting.baud not in self._listened:
                await self._listen(ear, leg.setting)
            await self._ask_all(ear, leg)

    def _at(self, setting: LineSetting) -> ModbusOptions:
        return msgspec.structs.replace(
            self._options, baud=setting.baud, parity=setting.parity, stop_bits=setting.stop_bits
        )

    async def _listen(self, ear: Ear, setting: LineSetting) -> None:
        self._listened.add(setting.baud)
        if not self._terms.listen_s:
            return
        self._watcher.at(str(setting))
        data = await ear.listen(self._terms.listen_s)
        self._watcher.passed(self._terms.listen_s)
        if data.strip(NOISE):
            heard = HeardInstrument(
                setting=setting,
                bytes=len(data),
                sample=data[:_SAMPLE_BYTES].hex(" "),
                profiles=heard_profiles(data, self._serial),
            )
            self._report.heard.append(heard)
            self._watcher.heard(heard)

    async def _ask_all(self, ear: Ear, leg: Leg) -> None:
        asking = Asking(ear, self._terms.timeout_s, self._options.framing)
        asking.symptoms.update(self._symptoms.get(leg.setting, {}))
        self._symptoms[leg.setting] = asking.symptoms
        one_s = leg.takes_s(self._terms.timeout_s) / len(leg.units)
        for unit in leg.units:
            if self._understood and not self._terms.everything:
                return
            self._watcher.at(f"{leg.setting}, {unit}")
            before = asking.requests
            if (leg.setting, unit) not in self._found:
                for there in await asking.look(unit, leg.table):
                    await self._note(asking, leg.setting, there)
            self._report.requests += asking.requests - before
            self._watcher.passed(one_s)
        if asking.own_echo:
            self._echoes.add(leg.setting)

    async def _note(self, asking: Asking, setting: LineSetting, there: There) -> None:
        if (setting, there.unit) in self._found:
            return
        self._found.add((setting, there.unit))
        found = FoundUnit(
            unit=there.unit,
            setting=setting,
            answer=there.answer,
            reply_ms=there.reply_ms,
            slow=there.slow,
            device=self._devices.get(there.unit, ""),
        )
        await self._report.add(found, asking.what_is(there, self._modbus))
        self._watcher.found(self._report.found[-1])
