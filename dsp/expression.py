# SPDX-License-Identifier: GPL-3.0-or-later
"""How a note that sounds among others bends and swells: what its overtones do, between three bins a semitone.

A partial that stands out is a hill over a few bins, and a parabola through the logarithms
of the highest three tells where its top lies, to a few cents. Partials that other notes
share do not stand out, and do not count.
"""

import numpy as np

from dsp.kernel import kernel
from dsp.tones import BINS, BINS_A_PITCH, LOWEST

PARTIALS = (0, 36, 57, 72)  # bins from a pitch to its first four
HIGH = 57 - LOWEST  # from here on the middle window tells pitches apart, and sooner than the long one
NEAR = 3  # bins from a top to where its hill must have fallen
STANDS_OUT = np.float32(0.3)  # by how much [bels]
CENTS = np.float32(100 / BINS_A_PITCH)  # a bin
UNHEARD = np.float32(1e-12)
QUIET, SPAN = np.float32(-60), np.float32(54)  # where a swell begins, and how far it reaches [dB]


@kernel
def _bels(power, k):
    return np.log10(power[k] + UNHEARD)


@kernel
def detuned(power, pitch):
    """How far a pitch that sounds is from its place, and how clearly that is seen.

    Parameters
    ----------
    power : array, shape (WINDOWS, BINS)
        Of the newest frame.
    pitch : int
        Semitones above A0.

    Returns
    -------
    (float, float)
        Cents, within 50 of 0; the bels by which partials stand out, in all, 0 where none does.

    Notes
    -----
    Speaks of some 20 ms ago, below A3 of some 40.  Realtime: O(1), no allocation.
    """
    seen = power[1] if pitch >= HIGH else power[2]
    total, weight = np.float32(0), np.float32(0)
    for partial in PARTIALS:
        centre = BINS_A_PITCH * pitch + 1 + partial
        if centre - 1 < NEAR or centre + 1 + NEAR >= BINS:
            continue
        top = centre
        for k in range(centre - 1, centre + 2):
            if seen[k] > seen[top]:
                top = k
        below, here, above = _bels(seen, top - 1), _bels(seen, top), _bels(seen, top + 1)
        out = here - max(_bels(seen, top - NEAR), _bels(seen, top + NEAR))
        if here < below or here < above or out < STANDS_OUT:
            continue
        curve = below - 2 * here + above
        if curve >= 0:
            continue
        total += out * (top - centre + np.float32(0.5) * (below - above) / curve)
        weight += out
    return (CENTS * total / weight if weight > 0 else np.float32(0)), weight


@kernel
def swell(power, pitch):
    """How loud a pitch sounds, 0..1 from -60 to -6 dB, by the middle window; arguments as of `detuned`."""
    total = UNHEARD
    for partial in PARTIALS:
        k = BINS_A_PITCH * pitch + 1 + partial
        if k + 1 < BINS:
            total += max(power[1, k - 1], power[1, k], power[1, k + 1])
    return min(max((10 * np.log10(total) - QUIET) / SPAN, np.float32(0)), np.float32(1))
