"""The envelope of the batches that tests seal, and how long they may be."""

from agent.clock import ClockState
from agent.store.sealing import Envelope

MAX = 60 * 1024
ENVELOPE = Envelope(
    gateway="dng-hc-01",
    epoch="9f3c1a7be2d04455",
    config="a1b2c3d4",
    seq=482_113,
    sealed_ms=1_795_432_800_123,
    low=482_100,
    clock=ClockState.SYNC,
)
