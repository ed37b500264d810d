# SPDX-License-Identifier: GPL-3.0-or-later
"""How hard a key was struck: levels as the note begins, weighed as they tell touch best.

Strings struck harder sound louder and brighter, each register in its own way: what the
short and the middle window see at six overtones and in all, the pitch, and what the
net thinks of it are summed with weights that were fitted to notes of known velocity.
"""

import numpy as np

from dsp.kernel import kernel
from dsp.tones import BINS, BINS_A_PITCH, PITCHES

OVERTONES = (0, 36, 57, 72, 84, 93)  # bins from a pitch to its first six
SEEN = 2  # windows, short and middle
TOUCH = SEEN * len(OVERTONES) + SEEN + 3  # features: levels, levels of all, pitch twice, the net
STILLEST = np.float32(1e-9)  # power that counts as nothing
SOFTEST = np.float32(0.01)
REGISTER = np.float32(5)  # of the pitches' span, so that it weighs like levels in bels


@kernel
def touch(power, pitch, told, weights, bias):
    """Velocity of a note that begins, 0..1.

    Parameters
    ----------
    power : array, shape (WINDOWS, BINS)
        Of the newest frame.
    pitch : int
        Semitones above A0.
    told : float
        Logit of the net's own opinion.
    weights : array, shape (TOUCH,)
    bias : float

    Notes
    -----
    Adds no delay. Realtime: O(BINS), no allocation.
    """
    total, n = bias + weights[TOUCH - 1] * told, 0
    for window in range(SEEN):
        for overtone in OVERTONES:
            k = min(BINS_A_PITCH * pitch + 1 + overtone, BINS - 1)
            total += weights[n] * np.log10(power[window, k] + STILLEST)
            n += 1
    for window in range(SEEN):
        whole = STILLEST
        for k in range(BINS):
            whole += power[window, k]
        total += weights[n] * np.log10(whole)
        n += 1
    height = np.float32(pitch) / np.float32(PITCHES)
    total += REGISTER * height * (weights[n] + weights[n + 1] * height)
    return min(max(total, SOFTEST), np.float32(1))
