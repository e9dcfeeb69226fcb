"""What a device says of itself: function 43/14, read device identification. Pure.

Source: MODBUS Application Protocol Specification V1.1b3, section 6.21.
"""

from collections.abc import Iterable, Mapping

from simulators.modbus.device import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Refused

VENDOR, PRODUCT, REVISION = range(3)
MAX_OBJECT_BYTES = 244
"""One object with its head, in an answer of 253 bytes."""
_MAX_BYTES = MAX_OBJECT_BYTES + 2
_LAST_OF_LEVEL = {1: 0x02, 2: 0x7F, 3: 0xFF}
"""Basic, regular, extended: each has the objects of the one before."""
_ONE_BY_ONE = 4
_ONE_BY_ONE_TOO = 0x80


class Identification:
    """The objects of one device: 0 vendor, 1 product, 2 revision, up to 127 the standard's, from 128 on the maker's."""

    def __init__(self, objects: Mapping[int, str | bytes], conformity: int | None = None) -> None:
        """`conformity` is 1 to 3, plus 0x80 where single objects can be asked for; default: what the objects are.

        Raises `ValueError` where one does not fit an answer.
        """
        self.objects = {n: o.encode() if isinstance(o, str) else o for n, o in sorted(objects.items())}
        for number, value in self.objects.items():
            if not 0 <= number <= 0xFF or len(value) > MAX_OBJECT_BYTES:
                raise ValueError(f"object {number}: numbers are 0 to 255, values at most {MAX_OBJECT_BYTES} bytes")
        highest = max(self.objects, default=0)
        level = next(level for level, last in _LAST_OF_LEVEL.items() if highest <= last)
        self.conformity = _ONE_BY_ONE_TOO | level if conformity is None else conformity

    def answer(self, access: int, number: int) -> bytes:
        """From the conformity level on; raises `Refused`.

        A stream begins at object `number`, or at the first one where that is not there, and goes on in another answer
        where it is too long. A device that is asked for more than its level gives what it has.
        """
        if access == _ONE_BY_ONE and self.conformity & _ONE_BY_ONE_TOO:
            if number not in self.objects:
                raise Refused(ILLEGAL_ADDRESS)
            return self._laid_out((number,), following=None)
        if access not in _LAST_OF_LEVEL:
            raise Refused(ILLEGAL_VALUE)
        last = _LAST_OF_LEVEL[min(access, self.conformity & 3)]
        asked = [n for n in self.objects if n <= last]
        wanted = [n for n in asked if n >= number] if number in asked else asked
        fitting = self._fitting(wanted)
        return self._laid_out(wanted[:fitting], following=wanted[fitting] if fitting < len(wanted) else None)

    def _fitting(self, numbers: list[int]) -> int:
        """How many of these have room in one answer."""
        room = _MAX_BYTES
        for index, number in enumerate(numbers):
            room -= 2 + len(self.objects[number])
            if room < 0:
                return index
        return len(numbers)

    def _laid_out(self, numbers: Iterable[int], following: int | None) -> bytes:
        objects = [bytes((n, len(self.objects[n]))) + self.objects[n] for n in numbers]
        more = 0xFF if following is not None else 0x00
        return bytes((self.conformity, more, following or 0, len(objects))) + b"".join(objects)
