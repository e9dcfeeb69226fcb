"""VC0706: requests, and the replies of a serial JPEG camera. Pure.

Source: VC0706 protocol manual (VIMICRO), as in the LinkSprite and Adafruit cameras. Promises: a chunk counts only
between its two heads, and in its whole length. Must not know: ports, time.
"""

VERSION, RESET, READ, FRAME, LENGTH = 0x11, 0x26, 0x32, 0x36, 0x34
FREEZE, RESUME = 0x00, 0x03
MAX_PICTURE = 1_048_576
HEAD = 5
STATUSES = {
    1: "command not known",
    2: "wrong length of data",
    3: "wrong format of data",
    4: "not executable now",
    5: "no command",
}


class NotUnderstood(Exception):
    """The camera said something else than expected."""


def request(unit: int, command: int, *data: int) -> bytes:
    """A request with its data."""
    return bytes([0x56, unit, command, len(data), *data])


def version(unit: int) -> bytes:
    """What are you?"""
    return request(unit, VERSION)


def control(unit: int, what: int) -> bytes:
    """Freeze the picture, or let it move again."""
    return request(unit, FRAME, what)


def length(unit: int) -> bytes:
    """How long is the frozen picture?"""
    return request(unit, LENGTH, 0x00)


def chunk(unit: int, offset: int, size: int) -> bytes:
    """Some bytes of the frozen picture; the camera waits 0.1 ms between head and data."""
    return request(unit, READ, 0x00, 0x0A, *offset.to_bytes(4, "big"), *size.to_bytes(4, "big"), 0x00, 0x0A)


def reply_size(reply: bytes) -> int | None:
    """How long the reply that begins so is; None: that is not told yet."""
    return HEAD + reply[4] if len(reply) >= HEAD else None


def payload(reply: bytes, unit: int, command: int) -> bytes:
    """The data of a whole reply; raises `NotUnderstood`."""
    shown = reply[:16].hex(" ").upper()
    if len(reply) < HEAD or reply[0] != 0x76 or reply[1] != unit or reply[2] != command:
        raise NotUnderstood(f"{shown} is no answer to the command {command:02X}")
    if reply[3] != 0:
        raise NotUnderstood(f"the camera refuses: {STATUSES.get(reply[3], f'status {reply[3]:02X}')}")
    if len(reply) != HEAD + reply[4]:
        raise NotUnderstood(f"{shown} is cut off")
    return reply[HEAD:]


def picture_length(data: bytes) -> int:
    """The number in the data of `length`; raises `NotUnderstood`."""
    size = int.from_bytes(data, "big")
    if len(data) != 4 or not 4 <= size <= MAX_PICTURE:
        raise NotUnderstood(f"{data.hex(' ').upper()} is no length of a picture")
    return size


def chunk_size(size: int) -> int:
    """How many bytes come for a chunk: head, data, head."""
    return size + 2 * HEAD


def chunk_data(reply: bytes, unit: int, size: int) -> bytes:
    """The bytes between the two heads; raises `NotUnderstood`."""
    head = bytes([0x76, unit, READ, 0x00, 0x00])
    if len(reply) != chunk_size(size) or not reply.startswith(head) or not reply.endswith(head):
        raise NotUnderstood(
            f"{len(reply)} bytes of {chunk_size(size)} came for a part of the picture, or not in one piece"
        )
    return reply[HEAD:-HEAD]
