"""MQTT in WebSockets, as paho gives them, but for two things that it gets wrong.

Where the kernel takes only part of a frame, paho 2 keeps the rest in its WebSocket, and forgets the packet that it
belongs to; the next packet then goes out with its beginning cut off. Said that nothing could be written yet, paho keeps
the packet, tries again, and finds the rest of the frame sent. And it answers the ping of a WebSocket in the middle of a
frame that is half sent: whoever reads for it must not read then.
"""

from typing import Any

_HALF_SENT = "oc_half_sent"


def keep_frames_whole(sock: Any) -> None:
    """Let a packet that is not wholly sent stay the next one to send. `sock` is what paho calls its socket."""
    send = sock.send
    setattr(sock, _HALF_SENT, False)

    def send_whole(data: bytes) -> int:
        setattr(sock, _HALF_SENT, True)
        sent = int(send(data))
        if not sent and data:
            raise BlockingIOError
        setattr(sock, _HALF_SENT, False)
        return sent

    sock.send = send_whole


def is_half_sent(sock: Any) -> bool:
    """Whether a frame has begun that is not sent to its end."""
    return getattr(sock, _HALF_SENT, False)
