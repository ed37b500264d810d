# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rhythm is heard in: 40 bands every 11 ms, freed of level, and how much each has risen."""

from typing import NamedTuple

import numpy as np

from dsp.fft import FFT, fft, power_spectrum
from dsp.follower import fall, follow, rise
from dsp.frame import asymmetric_window, push, windowed
from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.triangles import Triangles, even_triangles, under
from dsp.units import HOP, RATE

HOPS = 8  # in a frame
FRAME = HOPS * HOP  # 10.7 ms
SIZE, FALL = 2048, 256  # the window ends now, and lets go over its newest samples
RANGE = (30.0, 15_000.0)  # [Hz]
BANDS = 40
INPUTS = 2 * BANDS
BACK = 2  # a rise is against this many frames ago

FLOOR = np.float32(1e-6)  # what is 60 dB below the follower is not told apart
ATTACK = rise(FRAME, RATE, 0.3)
RELEASE = fall(FRAME, RATE, 1.5)


class PulseState(NamedTuple):
    window: np.ndarray  # (SIZE,)
    triangles: Triangles
    recent: np.ndarray  # (SIZE,) newest samples, oldest first
    hops: np.ndarray  # (1,) of the frame being filled
    frame: np.ndarray  # (SIZE,) work
    spectrum: np.ndarray  # (SIZE / 2 + 1,) work
    fft: FFT
    power: np.ndarray  # (BANDS,) of the newest frame
    follower: np.ndarray  # (2,) power that counts as full, frames it has followed
    levels: np.ndarray  # (BACK, BANDS) of the frames before, newest first
    inputs: np.ndarray  # (INPUTS,) of the newest frame


def pulse_state() -> PulseState:
    return PulseState(
        asymmetric_window(SIZE, FALL),
        even_triangles(SIZE, *RANGE, BANDS),
        np.zeros(SIZE, np.float32),
        np.zeros(1, np.int64),
        np.zeros(SIZE, np.float32),
        np.zeros(SIZE // 2 + 1, np.float32),
        fft(SIZE),
        np.zeros(BANDS, np.float32),
        np.zeros(2, np.float32),
        np.full((BACK, BANDS), np.log10(FLOOR), np.float32),
        np.zeros(INPUTS, np.float32),
    )


@kernel
def _related(state):
    """Inputs of the newest frame from its powers: levels below the follower, then their rises."""
    power, follower, levels, out = state.power, state.follower, state.levels, state.inputs
    total = np.float32(0)
    for band in range(BANDS):
        total += power[band]
    scale = follow(follower, total, ATTACK, RELEASE)
    for band in range(BANDS):
        level = np.log10(power[band] * scale + FLOOR)
        out[band] = level
        out[BANDS + band] = max(level - levels[BACK - 1, band], np.float32(0))
        for k in range(BACK - 1, 0, -1):
            levels[k, band] = levels[k - 1, band]
        levels[0, band] = level


@kernel
def pulse_hop(state, x):
    """Take one more hop in; whether it completes a frame, whose inputs are then in ``state.inputs``.

    Parameters
    ----------
    state : PulseState
    x : array, shape (HOP,)

    Notes
    -----
    Adds no delay: the window ends with the newest sample.  Realtime: O(1), one
    transform every HOPS hops, no allocation.
    """
    push(state.recent, x)
    state.hops[0] += 1
    if state.hops[0] < HOPS:
        return False
    state.hops[0] = 0
    windowed(state.window, state.recent, state.frame)
    power_spectrum(state.fft, state.frame, state.spectrum)
    under(state.triangles, state.spectrum, state.power)
    _related(state)
    return True


@kernel
def pulse_step(state, x, out):
    """Inputs of each frame that the hops in x, shape (n, HOP), complete."""
    n = 0
    for k in range(len(x)):
        if pulse_hop(state, x[k]):
            for i in range(INPUTS):
                out[n, i] = state.inputs[i]
            n += 1
    return n


class Pulse(KernelStage):
    """Hops of audio in, inputs of the net that feels the beat out."""

    step = staticmethod(pulse_step)

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._framed(spec, pulse_state(), HOPS, (INPUTS,))
