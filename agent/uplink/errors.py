"""What can go wrong on the way to the IOC, one class for each decision that the publisher must take."""


class UplinkDown(Exception):
    """There is no connection, or it has ended: everything in flight is undelivered; connect again.

    `reason` is for people. `code` is the reason code of the broker's CONNACK or DISCONNECT, where it sent one.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class NotTheTime(UplinkDown):
    """The broker's certificate is not valid yet, or not any more: its dates or this gateway's clock are wrong."""


class UplinkRefused(UplinkDown):
    """The broker answered and will not have us, for a fault of configuration or for now: try again, but slowly."""


class MessageRejected(Exception):
    """This one message can never be sent; `reason_code` is the PUBACK code that says why (MQTT 5, 3.4.2.1)."""

    def __init__(self, reason_code: int, reason: str) -> None:
        super().__init__(f"{reason} (0x{reason_code:02X})")
        self.reason_code = reason_code
