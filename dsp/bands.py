# SPDX-License-Identifier: GPL-3.0-or-later
"""What the learned drum ear is given: 112 bands every 4 ms, freed of level and of colour."""

from typing import NamedTuple

import numpy as np

from dsp.fft import FFT, fft, power_spectrum
from dsp.follower import fall, follow, rise
from dsp.frame import asymmetric_window, push, windowed
from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.triangles import Triangles, corners, even_triangles, under
from dsp.units import HOP, RATE

HOPS = 3  # in a frame
FRAME = HOPS * HOP  # 4 ms
SHORT, LONG = 512, 2048  # both windows end now
SHORT_FALL, LONG_FALL = 80, 200  # samples over which they let go
SHORT_RANGE, LONG_RANGE = (100.0, 17000.0), (28.0, 17000.0)  # [Hz]
SHORTS, LONGS = 40, 72
BANDS = SHORTS + LONGS
INPUTS = 2 * BANDS

FLOOR = np.float32(3e-7)  # what is 65 dB below the follower is not told apart
ATTACK = rise(FRAME, RATE, 0.15)
RELEASE = fall(FRAME, RATE, 1.5)
MEAN = np.float32(1 - np.exp(-FRAME / RATE / 1.0))  # of a band's own mean, a frame


class BandsState(NamedTuple):
    short_window: np.ndarray  # (SHORT,)
    long_window: np.ndarray  # (LONG,)
    short_triangles: Triangles
    long_triangles: Triangles
    recent: np.ndarray  # (LONG,) newest samples, oldest first
    hops: np.ndarray  # (1,) of the frame being filled
    frame: np.ndarray  # (LONG,) work
    spectrum: np.ndarray  # (LONG / 2 + 1,) work
    short_fft: FFT
    long_fft: FFT
    power: np.ndarray  # (BANDS,) newest frame
    follower: np.ndarray  # (2,) power that counts as full, frames it has followed
    mean: np.ndarray  # (BANDS,) of each band's level, over a second
    inputs: np.ndarray  # (INPUTS,) newest frame


def band_frequencies() -> np.ndarray:
    """Centre of each band [Hz], shape (BANDS,)."""
    return np.concatenate(
        [
            corners(SHORT, *SHORT_RANGE, SHORTS)[1:-1] * RATE / SHORT,
            corners(LONG, *LONG_RANGE, LONGS)[1:-1] * RATE / LONG,
        ]
    )


def bands_state() -> BandsState:
    return BandsState(
        asymmetric_window(SHORT, SHORT_FALL),
        asymmetric_window(LONG, LONG_FALL),
        even_triangles(SHORT, *SHORT_RANGE, SHORTS),
        even_triangles(LONG, *LONG_RANGE, LONGS),
        np.zeros(LONG, np.float32),
        np.zeros(1, np.int64),
        np.zeros(LONG, np.float32),
        np.zeros(LONG // 2 + 1, np.float32),
        fft(SHORT),
        fft(LONG),
        np.zeros(BANDS, np.float32),
        np.zeros(2, np.float32),
        np.zeros(BANDS, np.float32),
        np.zeros(INPUTS, np.float32),
    )


@kernel
def bands_look(state):
    """Powers of what has been heard so far, into ``state.power``, whether or not a frame is complete."""
    recent = state.recent
    windowed(state.short_window, recent, state.frame[:SHORT])
    power_spectrum(state.short_fft, state.frame[:SHORT], state.spectrum[: SHORT // 2 + 1])
    under(state.short_triangles, state.spectrum[: SHORT // 2 + 1], state.power[:SHORTS])
    windowed(state.long_window, recent, state.frame)
    power_spectrum(state.long_fft, state.frame, state.spectrum)
    under(state.long_triangles, state.spectrum, state.power[SHORTS:])


@kernel
def bands_hop(state, x):
    """Take one more hop in; whether it completes a frame, whose powers are then in ``state.power``.

    Parameters
    ----------
    state : BandsState
    x : array, shape (HOP,)

    Notes
    -----
    A band adds no delay: both windows end with the newest sample.  Realtime:
    O(1), two transforms every HOPS hops, no allocation.
    """
    push(state.recent, x)
    state.hops[0] += 1
    if state.hops[0] < HOPS:
        return False
    state.hops[0] = 0
    bands_look(state)
    return True


@kernel
def relate(power, follower, mean, out):
    """Inputs of the net from the powers of a frame.

    Parameters
    ----------
    power : array, shape (BANDS,)
    follower : array, shape (2,)
        What counts as full, as `dsp.follower` has it.
    mean : array, shape (BANDS,)
        Each band's own level, averaged over a second.
    out : array, shape (INPUTS,)
        log10 of each band over the follower, then the same over its mean.
    """
    total = np.float32(0)
    for band in range(BANDS):
        total += power[band]
    first = follower[1] == 0
    scale = follow(follower, total, ATTACK, RELEASE)
    for band in range(BANDS):
        level = np.log10(power[band] * scale + FLOOR)
        if first:
            mean[band] = level
        out[band] = level
        out[BANDS + band] = level - mean[band]
        mean[band] += MEAN * (level - mean[band])


@kernel
def bands_step(state, x, out):
    """Inputs of each frame that the hops in x, shape (n, HOP), complete."""
    n = 0
    for k in range(len(x)):
        if bands_hop(state, x[k]):
            relate(state.power, state.follower, state.mean, out[n])
            n += 1
    return n


class Bands(KernelStage):
    """Hops of audio in, inputs of the learned drum ear out."""

    step = staticmethod(bands_step)

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._framed(spec, bands_state(), HOPS, (INPUTS,))
