# SPDX-License-Identifier: GPL-3.0-or-later
"""Any source rate to the engine's: a polyphase filter that never moves a sound in time."""

from math import ceil, floor, gcd
from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.units import RATE

LOWEST, HIGHEST = 8_000, 192_000  # source rates accepted [Hz]
HALF = 24  # half the filter, in samples of the lower rate
REJECTION_DB = 80.0  # of images and aliases, where a filter of `HALF` allows
TRANSITION = 0.2  # widest band between pass and stop, of the lower rate
PHASES = 640  # most rows of coefficients; every common rate needs fewer

RATIO = np.dtype(
    [
        ("up", "i8"),  # output samples ...
        ("down", "i8"),  # ... for so many source samples
        ("phases", "i8"),  # rows of coefficients per source sample
        ("ahead", "i8"),  # source samples an output waits for beyond its own time
    ],
    align=True,
)


class ResampleState(NamedTuple):
    params: np.ndarray  # (1,) RATIO, fixed for a run
    table: np.ndarray  # (phases + 1, taps) float32, coefficients, newest sample last
    heard: np.ndarray  # (2 * taps,) float32, the newest samples, written twice to stay contiguous
    clock: np.ndarray  # (3,) int64: where the next sample goes, samples to wait for, place between two


@kernel(fastmath=True)
def _weigh(coefficients, heard, start):  # type: ignore[no-untyped-def]
    """Sum of products over all taps; their number is fixed for a run, so blocks cannot be heard."""
    total = np.float32(0)
    for j in range(coefficients.size):
        total += coefficients[j] * heard[start + j]
    return total


@kernel
def resample_step(state, x, out):  # type: ignore[no-untyped-def]
    """Samples of the source to samples of the engine.

    Parameters
    ----------
    state : ResampleState
        Ratio, coefficients and the newest samples.
    x : (n,) float32
        Source samples, any number of them.
    out : (>= n * up / down + 1,) float32
        Engine samples.

    Returns
    -------
    int
        Engine samples written.

    Notes
    -----
    Engine sample k speaks of source time ``k / 48000`` exactly; it comes when the
    source is `ahead` samples further.  Realtime: O(n * taps), no allocation.
    """
    ratio = state.params[0]
    taps = state.table.shape[1]
    place, wait, between = state.clock[0], state.clock[1], state.clock[2]
    n = 0
    for i in range(x.size):
        value = x[i]
        if abs(value) < np.float32(1e-20):
            value = np.float32(0)  # products of smaller ones would be denormal, and slow
        state.heard[place] = value
        state.heard[place + taps] = value
        place += 1
        if place == taps:
            place = 0
        wait -= 1
        while wait == 0:
            row = between * ratio.phases // ratio.up
            rest = between * ratio.phases - row * ratio.up
            value = _weigh(state.table[row], state.heard, place)
            if rest:
                share = np.float32(rest / ratio.up)
                value += share * (_weigh(state.table[row + 1], state.heard, place) - value)
            out[n] = value
            n += 1
            between += ratio.down
            wait = between // ratio.up
            between -= wait * ratio.up
    state.clock[0] = place
    state.clock[1] = wait
    state.clock[2] = between
    return n


def _coefficients(rate: int, half: int, phases: int) -> np.ndarray:
    """Kaiser-windowed sinc by phase, shape (phases + 1, 2 * half); each row passes DC as it is.

    References
    ----------
    J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", ISCAS 1974.
    """
    lower = min(rate, RATE) / rate
    rejection = min(REJECTION_DB, 7.95 + 14.36 * TRANSITION * 2 * half * lower)  # [dB], above 50
    window = np.kaiser(2 * half * phases + 1, 0.1102 * (rejection - 8.7))
    low_pass = window * np.sinc(lower * np.arange(-half * phases, half * phases + 1) / phases)
    low_pass[np.abs(low_pass) < 1e-9] = 0  # where the sinc is zero but for rounding
    # Row r speaks of r / phases beyond a sample; column j weighs the sample j - half + 1 after that one.
    table = np.stack([low_pass[phases - r :: phases][: 2 * half] for r in range(phases + 1)])
    return (table / table.sum(axis=1, keepdims=True)).astype(np.float32)


class Resample(KernelStage):
    """Source samples at any whole rate to the engine's rate.

    Sample k that comes out speaks of source time ``k / 48000`` exactly: the
    filter's look-ahead is paid once, at the start, by silence of the stage, not by a shift.
    `delay` says how much newer the sound is that each sample depends on: add it to `emitted`,
    never take it from `time`. At the end of a file, `ahead` source samples of
    silence bring out the rest.

    Notes
    -----
    Delay: 24 samples of the lower rate, at most 1 ms: 27 samples from 44.1 kHz, 24 from 96 kHz.
    Up to 0.4 of the lower rate the error is below -80 dB from 12 kHz on; under that 1 ms is too
    short, and it is -75 dB at 11025 Hz, -57 dB at 8 kHz. A ratio of more than 640 phases is
    interpolated between two of 640, which errs by less than -105 dB.
    """

    step = resample_step

    ahead: int  # newer source samples an output waits for
    delay: int  # the same in engine samples, rounded up

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        rate = round(spec.rate)
        if rate != spec.rate or not LOWEST <= rate <= HIGHEST:
            raise ValueError(
                f"a source rate is a whole number from {LOWEST} to {HIGHEST} Hz, not {spec.rate}"
            )
        common = gcd(rate, RATE)
        up, down = RATE // common, rate // common
        if rate == RATE:
            self.ahead, phases, table = 0, 1, np.ones((2, 1), np.float32)
        else:
            self.ahead = min(ceil(HALF * max(1, rate / RATE)), floor(rate / 1000))
            phases = min(up, PHASES)
            table = _coefficients(rate, self.ahead, phases)
        self.delay = ceil(self.ahead * RATE / rate)
        taps = table.shape[1]
        self._ready(
            ResampleState(
                params=np.array([(up, down, phases, self.ahead)], RATIO),
                table=table,
                heard=np.zeros(2 * taps, np.float32),
                clock=np.array([0, self.ahead + 1, 0], np.int64),
            ),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
        )
        return Spec(capacity=ceil(spec.capacity * RATE / rate) + 1, delay=self.delay)
