"""RS-485 direction by the RTS line, done by the kernel. For ports of the board; USB adapters switch by themselves.

Source: Linux `serial_rs485` and `TIOCSRS485` (include/uapi/linux/serial.h, asm-generic/ioctls.h).
"""

import fcntl
import struct
from typing import Annotated

import msgspec

from drivers.errors import LinkDown

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=1_000)]

TIOCSRS485 = 0x542F
_ENABLED, _RTS_ON_SEND, _RTS_AFTER_SEND, _RX_DURING_TX = 1, 2, 4, 16


class Rs485(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `rs485` table of a link. RTS is high while sending and low afterwards, unless said otherwise."""

    rts_on_send: bool = True
    rts_after_send: bool = False
    delay_before_send_ms: Milliseconds = 0
    delay_after_send_ms: Milliseconds = 0
    hear_own: bool = False

    def packed(self) -> bytes:
        """The `struct serial_rs485` of the kernel: flags, two delays in ms, padding."""
        flags = _ENABLED | self.rts_on_send * _RTS_ON_SEND | self.rts_after_send * _RTS_AFTER_SEND
        flags |= self.hear_own * _RX_DURING_TX
        return struct.pack("=3I20x", flags, self.delay_before_send_ms, self.delay_after_send_ms)


def switch_to_rs485(fd: int, settings: Rs485, port: str) -> None:
    """Let the driver of the open port `fd` switch the direction; raises `LinkDown` where it cannot."""
    try:
        fcntl.ioctl(fd, TIOCSRS485, settings.packed())
    except OSError as err:
        raise LinkDown(
            f"{port} cannot switch RS-485 by RTS ({err.strerror}); remove `rs485`: USB adapters switch by themselves"
        ) from err
