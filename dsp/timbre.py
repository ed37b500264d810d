# SPDX-License-Identifier: GPL-3.0-or-later
"""Timbre: what a stroke sounds like from its very first sample, whatever its strength.

The frames of the net begin where they happen to; a drum of one kit is told from its neighbour by less
than that jitter. So a stroke that is to be named by a kit is looked at once more, from its onset on: the
whole of it, its first quarter and its second half through bands, and how its energy comes.
"""

from typing import NamedTuple

import numpy as np

from dsp.fft import FFT, fft, power_spectrum
from dsp.kernel import kernel
from dsp.triangles import Triangles, even_triangles, under
from dsp.units import HOP

SIZE = 1024  # of the transform
SHORTEST, LONGEST = 64, 1024  # of what is looked at [samples]
LEAD, RISE = 4, 8  # it begins so long before the stroke, and fades in [samples]
BACK, AHEAD = (
    32,
    400,
)  # the steepest rise is looked for from so long before the onset to so long after [samples]
BEFORE, AFTER = 192, 128  # over which it rises [samples]
SOFT = 0.05  # of the loudest there: what rises from less is no steeper
STEEP = 0.9  # the first place that is so nearly as steep, in dB, as the steepest is taken
RANGE = (60.0, 18000.0)  # [Hz]
WHOLE, FIRST, LAST, STEPS = 56, 20, 28, 8  # bands of the three parts; steps of the energy, twice
TIMBRE = WHOLE + FIRST + LAST + 2 * STEPS
FLOOR = np.float32(1e-5)  # of a band, as a part of the whole energy
STEP_FLOOR = np.float32(1e-3)
TINY = np.float32(1e-12)


class TimbreState(NamedTuple):
    whole: Triangles  # the bands of the three parts
    first: Triangles
    last: Triangles
    rise: np.ndarray  # (BACK + AHEAD,) work
    frame: np.ndarray  # (SIZE,) work
    spectrum: np.ndarray  # (SIZE / 2 + 1,) work
    fft: FFT


def _even(count: int) -> Triangles:
    """Bands whose weights sum to one, so that white noise is even over them."""
    found = even_triangles(SIZE, *RANGE, count)
    sums = np.add.reduceat(found.weights, found.start[:-1])
    return found._replace(weights=found.weights / np.repeat(sums + TINY, np.diff(found.start)))


def timbre_state() -> TimbreState:
    return TimbreState(
        _even(WHOLE),
        _even(FIRST),
        _even(LAST),
        np.zeros(BACK + AHEAD),
        np.zeros(SIZE, np.float32),
        np.zeros(SIZE // 2 + 1, np.float32),
        fft(SIZE),
    )


@kernel
def _bands(state, x, bands, energy, out):
    """Mean power in each band over `energy`, log10; x fades in at once and out over its second half."""
    n = len(x)
    fall = n // 2
    for i in range(SIZE):
        state.frame[i] = np.float32(0)
    for i in range(n):
        weight = np.float32(1)
        if i < RISE:
            weight = np.float32(i) / np.float32(RISE - 1)
        if i >= n - fall:
            phase = np.float32(np.pi) * (np.float32(i - n + fall) + np.float32(0.5)) / np.float32(fall)
            weight *= np.float32(0.5) + np.float32(0.5) * np.cos(phase)
        state.frame[i] = weight * x[i]
    power_spectrum(state.fft, state.frame, state.spectrum)
    under(bands, state.spectrum, out)
    for band in range(len(out)):
        out[band] = np.log10(out[band] / energy + FLOOR)


@kernel
def _steps(x, slope, out):
    """How the energy of x, or of its slope, is spread over STEPS equal parts, log10."""
    size = len(x) // STEPS
    total = TINY
    for step in range(STEPS):
        part = np.float32(0)
        for i in range(step * size, (step + 1) * size):
            value = x[i]
            if slope:
                value -= x[max(i - 1, 0)]
            part += value * value
        out[step] = part
        total += part
    for step in range(STEPS):
        out[step] = np.log10(out[step] / total + STEP_FLOOR)


@kernel
def _rise(rise, x, first, end):
    """Where the energy of x rises most steeply from sample `first` on, in what there is before `end`.

    An onset is where a stroke is first heard at all; while something rings, that may be milliseconds off.
    """
    length = min(AFTER, (end - first) // 4)
    count = min(BACK + AHEAD, end - length - first)
    loud = 0.0
    for pass_ in range(2):
        before, after = 0.0, 0.0
        for i in range(first - BEFORE, first):
            before += x[i] * x[i]
        for i in range(first, first + length):
            after += x[i] * x[i]
        for k in range(count):
            if pass_ == 0:
                loud = max(loud, after / length)
            else:
                soft = SOFT * loud + 1e-12
                rise[k] = (after / length + soft) / (max(before, 0.0) / BEFORE + soft)
            i = first + k
            before += x[i] * x[i] - x[i - BEFORE] * x[i - BEFORE]
            after += x[i + length] * x[i + length] - x[i] * x[i]
    steepest = rise[0]
    for k in range(count):
        steepest = max(steepest, rise[k])
    steep = steepest**STEEP
    for k in range(count):
        if rise[k] >= steep:
            return first + k
    return first


@kernel
def timbre_look(state, recent, age, decision, out):
    """What the stroke sounds like that began `age` samples ago.

    Parameters
    ----------
    state : TimbreState
    recent : array, shape (n,)
        Newest samples, oldest first.
    age, decision : int
        Within a hop of each other; only what every stroke of this decision has is looked at [samples].
    out : array, shape (TIMBRE,)

    Notes
    -----
    Gain cannot be heard in it.  Realtime: O(1), three transforms, no allocation.
    """
    longest = min(max(decision - HOP, SHORTEST), LONGEST)
    onset = max(len(recent) - age, BACK + BEFORE)
    end = min(onset + longest, len(recent) - 1)
    start = _rise(state.rise, recent, onset - BACK, end) - LEAD
    length = min(longest, end - start) // STEPS * STEPS
    x = recent[start : start + length]
    energy = TINY
    for i in range(length):
        energy += x[i] * x[i]
    _bands(state, x, state.whole, energy, out[:WHOLE])
    _bands(state, x[: length // 4], state.first, energy, out[WHOLE : WHOLE + FIRST])
    _bands(state, x[length // 2 :], state.last, energy, out[WHOLE + FIRST : WHOLE + FIRST + LAST])
    _steps(x, False, out[TIMBRE - 2 * STEPS : TIMBRE - STEPS])
    _steps(x, True, out[TIMBRE - STEPS : TIMBRE])
