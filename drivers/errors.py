"""Errors of drivers: one class for each decision that the caller must take.

Every message says what was asked, of whom, what came back, and what to try.
"""


class DriverError(Exception):
    """Base of what a link may raise while it is read."""


class LinkDown(DriverError):
    """The port is gone, refused or closed. Its devices are offline; reopen with backoff."""


class NoReply(DriverError):
    """The device did not answer in time. Leave it alone for a while and go on with the others."""


class BadReply(DriverError):
    """Checksum, framing, unit or count was wrong. Ask once more, then treat as `NoReply`.

    `asked` and `heard` are the bytes as they were on the wire, where the driver knows them: for diagnosis.
    """

    def __init__(self, message: str, asked: bytes = b"", heard: bytes = b"") -> None:
        super().__init__(message)
        self.asked = asked
        self.heard = heard


class DeviceRefused(DriverError):
    """The device said no. Its points are bad, the link stays.

    `code` is the device's own code, for Modbus the exception code (Application Protocol V1.1b3, section 7).
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
