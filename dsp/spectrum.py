# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ear hears of each hop: levels of bands, lows through a long window, highs through a short one."""

from typing import NamedTuple

import numpy as np

from dsp.fft import FFT, fft, power_spectrum
from dsp.frame import asymmetric_window, push, windowed
from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.units import HOP

SIZE = 256  # of both windows; the long one looks at every DECIMATION-th sample
DECIMATION = 4
FLOOR = 1e-10  # power below which nothing is told apart: -100 dBFS

# First bin of each band, and one past the last of the last: 47 Hz .. 1 kHz in bins of 47 Hz,
# and 750 Hz .. 19 kHz in bins of 187 Hz.
LOW_EDGES = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22])
HIGH_EDGES = np.array([4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 54, 64, 75, 87, 100])
LOWS = len(LOW_EDGES) - 1
HIGHS = len(HIGH_EDGES) - 1
TIMES = 3  # the newest hop alone: plain, and differenced once and twice
BANDS = LOWS + HIGHS + TIMES


class SpectrumState(NamedTuple):
    window: np.ndarray  # (SIZE,) slow rise, fast fall: what is new counts at once
    low_edges: np.ndarray
    high_edges: np.ndarray
    recent: np.ndarray  # (SIZE,) newest samples, oldest first
    slow: np.ndarray  # (SIZE,) the same of the decimated signal
    taps: np.ndarray  # (10,) binomial low-pass in front of the decimation
    blocker: np.ndarray  # (2,) DC blocker: last input, last output
    frame: np.ndarray  # (SIZE,) work
    power: np.ndarray  # (SIZE / 2 + 1,) work
    fft: FFT


def spectrum_state() -> SpectrumState:
    taps = np.array([1.0])
    for _ in range(9):
        taps = np.convolve(taps, [0.5, 0.5])
    return SpectrumState(
        asymmetric_window(SIZE, 40),
        LOW_EDGES.copy(),
        HIGH_EDGES.copy(),
        np.zeros(SIZE, np.float32),
        np.zeros(SIZE, np.float32),
        taps.astype(np.float32),
        np.zeros(2, np.float32),
        np.zeros(SIZE, np.float32),
        np.zeros(SIZE // 2 + 1, np.float32),
        fft(SIZE),
    )


@kernel
def _decibels(power, edges, out):
    """Level of each band: the power of its bins together [dBFS]."""
    for band in range(len(edges) - 1):
        total = np.float32(FLOOR)
        for k in range(edges[band], edges[band + 1]):
            total += power[k]
        out[band] = np.float32(10.0) * np.log10(total)


@kernel
def _decimate(state, recent):
    """The newest hop, low-passed, at a quarter of the rate and free of DC, joins `slow`."""
    taps, slow, blocker = state.taps, state.slow, state.blocker
    n = HOP // DECIMATION
    kept = SIZE - n
    for i in range(kept):
        slow[i] = slow[i + n]
    for i in range(n):
        stop = SIZE - HOP + (i + 1) * DECIMATION
        total = np.float32(0.0)
        for j in range(10):
            total += taps[j] * recent[stop - 1 - j]
        y = total - blocker[0] + np.float32(0.995) * blocker[1]
        if abs(y) < np.float32(1e-20):  # a denormal costs fifty times a number
            y = np.float32(0.0)
        blocker[0] = total
        blocker[1] = y
        slow[kept + i] = y


@kernel
def _newest(recent, out):
    """Level of the newest hop: plain, differenced once, and twice."""
    plain, once, twice = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for i in range(SIZE - HOP, SIZE):
        a = recent[i]
        b = a - recent[i - 1]
        c = b - (recent[i - 1] - recent[i - 2])
        plain += a * a
        once += b * b
        twice += c * c
    scale = np.float32(1.0 / HOP)
    out[0] = np.float32(10.0) * np.log10(np.float32(FLOOR) + scale * plain)
    out[1] = np.float32(10.0) * np.log10(np.float32(FLOOR) + scale * once)
    out[2] = np.float32(10.0) * np.log10(np.float32(FLOOR) + scale * twice)


@kernel
def spectrum_hop(state, x, out):
    """Levels after one more hop.

    Parameters
    ----------
    state : SpectrumState
    x : array, shape (HOP,)
    out : array, shape (BANDS,)
        Lows, highs, then the newest hop alone [dBFS], -100 and up.

    Notes
    -----
    Adds no delay. Realtime: O(1), two transforms of SIZE samples, no allocation.
    """
    push(state.recent, x)
    _decimate(state, state.recent)
    windowed(state.window, state.slow, state.frame)
    power_spectrum(state.fft, state.frame, state.power)
    _decibels(state.power, state.low_edges, out[:LOWS])
    windowed(state.window, state.recent, state.frame)
    power_spectrum(state.fft, state.frame, state.power)
    _decibels(state.power, state.high_edges, out[LOWS : LOWS + HIGHS])
    _newest(state.recent, out[LOWS + HIGHS :])


@kernel
def spectrum_step(state, x, out):
    """`spectrum_hop` of each hop in x, shape (n, HOP)."""
    for k in range(len(x)):
        spectrum_hop(state, x[k], out[k])
    return len(x)


class Spectrum(KernelStage):
    """Hops of audio in, band levels [dBFS] out."""

    step = staticmethod(spectrum_step)

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._framed(spec, spectrum_state(), 1, (BANDS,))
