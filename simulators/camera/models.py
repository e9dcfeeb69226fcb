"""What simulated cameras answer, byte by byte as in the makers' documents. Pure but for the pictures they keep.

Written apart from the driver, so that a mistake of the driver does not hide in them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from drivers.api import Value
from simulators.camera.picture import jpeg
from simulators.values import Waveform

Said = tuple[bytes, bytes]
"""A request, and the answer to it."""


class Camera(Protocol):
    """Cameras on one line, seen from the wire."""

    def hear(self, data: bytes, elapsed_s: float) -> Iterator[Said]:
        """What they answer to these bytes."""


class ViscaChain:
    """Cameras 1 to n. They take inquiries, and refuse commands: nobody may move them."""

    def __init__(self, cameras: Mapping[int, Mapping[str, Waveform]]) -> None:
        self._cameras = cameras
        self._heard = b""

    def hear(self, data: bytes, elapsed_s: float) -> Iterator[Said]:
        self._heard += data
        while b"\xff" in self._heard:
            message, _, self._heard = self._heard.partition(b"\xff")
            message += b"\xff"
            if message == b"\x88\x30\x01\xff":
                yield message, bytes([0x88, 0x30, len(self._cameras) + 1, 0xFF])
            elif message[:1] and message[0] & 0xF0 == 0x80 and message[0] & 0x0F in self._cameras:
                unit = message[0] & 0x0F
                yield message, self._answer(unit, message, elapsed_s)

    def _answer(self, unit: int, message: bytes, elapsed_s: float) -> bytes:
        head = bytes([0x80 | unit << 4])
        tells = {name: wave(elapsed_s) for name, wave in self._cameras[unit].items()}
        match message[1:-1].hex():
            case "090400":
                return head + (b"\x50\x02\xff" if tells.get("power", "on") == "on" else b"\x50\x03\xff")
            case "090447":
                return head + b"\x50" + _nibbles(tells.get("zoom", 0)) + b"\xff"
            case "090448":
                return head + b"\x50" + _nibbles(tells.get("focus", 0)) + b"\xff"
            case "090438":
                return head + b"\x50\x02\xff"
            case "090612":
                return head + b"\x50" + _nibbles(tells.get("pan", 0)) + _nibbles(tells.get("tilt", 0)) + b"\xff"
            case "090002":
                return head + b"\x50" + bytes.fromhex("0001051C010002") + b"\xff"
        return head + (b"\x61\x41\xff" if message[1:2] == b"\x01" else b"\x60\x02\xff")


def _nibbles(value: Value) -> bytes:
    number = round(float(value)) & 0xFFFF
    return bytes(number >> shift & 0x0F for shift in (12, 8, 4, 0))


class PelcoCameras:
    """Cameras that answer position queries."""

    def __init__(self, cameras: Mapping[int, Mapping[str, Waveform]]) -> None:
        self._cameras = cameras
        self._heard = b""

    def hear(self, data: bytes, elapsed_s: float) -> Iterator[Said]:
        self._heard += data
        while len(self._heard) >= 7:
            message = self._heard[:7]
            if message[0] != 0xFF or message[6] != sum(message[1:6]) & 0xFF:
                self._heard = self._heard[1:]
                continue
            self._heard = self._heard[7:]
            tells = self._cameras.get(message[1])
            what = {0x51: "pan", 0x53: "tilt", 0x55: "zoom"}.get(message[3], "")
            if tells is not None and what in tells:
                yield message, self._position(message, what, tells[what](elapsed_s))

    @staticmethod
    def _position(message: bytes, what: str, value: Value) -> bytes:
        number = round(float(value) * (1 if what == "zoom" else 100)) % (65_536 if what == "zoom" else 36_000)
        body = bytes([message[1], 0, message[3] + 8]) + number.to_bytes(2, "big")
        return b"\xff" + body + bytes([sum(body) & 0xFF])


class Vc0706Camera:
    """A camera that freezes a picture and gives it in parts. `taken` holds those that were frozen.

    While it `is_stuck`, each picture is the one before, byte for byte.
    """

    def __init__(self, seed: int, device: str, unit: int = 0, is_stuck: Callable[[], bool] = lambda: False) -> None:
        self._seed, self._device, self._unit = seed, device, unit
        self._is_stuck = is_stuck
        self._number = 0
        self._newest = b""
        self._frozen = b""
        self._heard = b""
        self.taken: list[bytes] = []

    def hear(self, data: bytes, elapsed_s: float) -> Iterator[Said]:
        del elapsed_s
        self._heard += data
        while len(self._heard) >= 4:
            if self._heard[0] != 0x56 or self._heard[1] != self._unit:
                self._heard = self._heard[1:]
                continue
            size = 4 + self._heard[3]
            if len(self._heard) < size:
                return
            message, self._heard = self._heard[:size], self._heard[size:]
            yield message, self._answer(message[2], message[4:])

    def _answer(self, command: int, data: bytes) -> bytes:
        match command, data[:1]:
            case 0x11, _:
                return self._reply(command, b"VC0703 1.00")
            case 0x26, _:
                return self._reply(command) + b"VC0703 1.00\r\nCtrl infr exist\r\nInit end\r\n"
            case 0x36, b"\x00":
                return self._freeze()
            case 0x36, b"\x03":
                self._frozen = b""
                return self._reply(command)
            case 0x34, b"\x00":
                return self._reply(command, len(self._frozen).to_bytes(4, "big"))
            case 0x32, b"\x00" if len(data) == 12:
                offset, size = int.from_bytes(data[2:6], "big"), int.from_bytes(data[6:10], "big")
                return self._reply(command) + self._frozen[offset : offset + size] + self._reply(command)
            case ((0x31 | 0x24), _):
                return self._reply(command)
        return bytes([0x76, self._unit, command, 0x01, 0x00])

    def _freeze(self) -> bytes:
        if not self._frozen:
            if not self._newest or not self._is_stuck():
                self._number += 1
                self._newest = jpeg(self._seed, self._device, self._number)
            self._frozen = self._newest
            self.taken.append(self._frozen)
            del self.taken[:-100]
        return self._reply(0x36)

    def _reply(self, command: int, data: bytes = b"") -> bytes:
        return bytes([0x76, self._unit, command, 0x00, len(data)]) + data
