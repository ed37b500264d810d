# SPDX-License-Identifier: GPL-3.0-or-later
"""An MPE zone: each note has a channel of its own, so that it bends and swells alone.

References
----------
MIDI Polyphonic Expression, version 1.1, MIDI Association 2022: the lower zone, whose
master is channel 1 and whose members are the channels above it.
"""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel

CHANNELS = 16
CONFIGURATION = 6  # registered parameter: how many members the zone has


class Zone(NamedTuple):
    size: np.ndarray  # (1,) int64, members; 0 where there is no zone
    told: np.ndarray  # (1,) int64, members that the synthesiser was told of
    holder: np.ndarray  # (CHANNELS,) int64, id of the note each channel was taken for, 0 where it is free
    turn: np.ndarray  # (CHANNELS,) int64, when each was last taken or let go
    turns: np.ndarray  # (1,) int64


def zone(members: int) -> Zone:
    """A zone of so many members that holds no note."""
    return Zone(np.array([members]), *(np.zeros(n, np.int64) for n in (1, CHANNELS, CHANNELS, 1)))


@kernel
def zone_take(zone, id):
    """Channel, 0..15, for a note: the member that has been free for longest, or else was taken first."""
    best = 1
    for channel in range(2, zone.size[0] + 1):
        free, freer = zone.holder[channel] == 0, zone.holder[best] == 0
        if (free and not freer) or (free == freer and zone.turn[channel] < zone.turn[best]):
            best = channel
    zone.turns[0] += 1
    zone.turn[best] = zone.turns[0]
    zone.holder[best] = id
    return best


@kernel
def zone_of(zone, id):
    """Channel that a note was given; -1 where another has taken it since."""
    for channel in range(1, zone.size[0] + 1):
        if zone.holder[channel] == id:
            return channel
    return -1


@kernel
def zone_free(zone, id):
    """The note is over."""
    for channel in range(1, zone.size[0] + 1):
        if zone.holder[channel] == id:
            zone.turns[0] += 1
            zone.turn[channel] = zone.turns[0]
            zone.holder[channel] = 0
