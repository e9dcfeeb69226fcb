"""What simulated devices measure: waveforms, scripts, and what is set at run time.

`waveforms.py` and `courses.py` make values from a seed, `script.py` reads them from a file, `board.py` says which of
them a device gives. Set at run time comes before the script, the script before the waveform.
"""

from simulators.values.board import BadValue, Carries, Channel, Values
from simulators.values.waveforms import UNLIMITED, Flag, Limits, Quantity, Waveform, band, is_counter, waveform

__all__ = [
    "UNLIMITED",
    "BadValue",
    "Carries",
    "Channel",
    "Flag",
    "Limits",
    "Quantity",
    "Values",
    "Waveform",
    "band",
    "is_counter",
    "waveform",
]
