# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes drawn to a key: what is heard beside its scale is played as the nearest note in it."""

from dsp.events import KEYS
from dsp.kernel import kernel

EVERY = "all"
SCALES = (EVERY, *KEYS)
STEPS = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


def scale_mask(name: str) -> int:
    """Bit n is set where the n-th semitone above C belongs to a scale of `SCALES`."""
    if name == EVERY:
        return 0xFFF
    tonic, steps = KEYS.index(name) % 12, STEPS[name.split()[1]]
    return sum(1 << (tonic + step) % 12 for step in steps)


@kernel
def drawn(mask, note):
    """The MIDI note of a scale that lies nearest, the lower of two; the note itself where `mask` is empty."""
    for away in range(12):
        for near in (note - away, note + away):
            if (mask >> (near % 12)) & 1:
                return near
    return note
