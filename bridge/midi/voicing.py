# SPDX-License-Identifier: GPL-3.0-or-later
"""How a chord is laid out on a keyboard: its bass below, its notes close together around middle C."""

import numpy as np

from dsp.events import CHORDS, DEGREES, NO_CHORD, QUALITIES, TONICS

VOICES = 5  # the bass, and four notes at most
BASS, LOWEST = 36, 55  # where either octave begins [MIDI notes]
CHORD_VELOCITY = 80


def voicing(row: int, bass: int) -> list[int]:
    """MIDI notes of a row of CHORDS over a bass (a pitch class), the bass first."""
    if row == NO_CHORD:
        return []
    quality, root = divmod(row, len(TONICS))
    notes = sorted(LOWEST + (root + degree - LOWEST) % 12 for degree in DEGREES[QUALITIES[quality]])
    return [BASS + (bass - BASS) % 12, *notes]


def voicings() -> np.ndarray:
    """Notes of every chord over every bass, shape (len(CHORDS), 12, VOICES); -1 where there is none."""
    out = np.full((len(CHORDS), len(TONICS), VOICES), -1, np.int64)
    for row in range(len(CHORDS)):
        for bass in range(len(TONICS)):
            notes = voicing(row, bass)
            out[row, bass, : len(notes)] = notes
    return out
