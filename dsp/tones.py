# SPDX-License-Identifier: GPL-3.0-or-later
"""What the learned ear for notes is given: three bins a semitone every 8 ms, freed of level.

A long window tells low notes apart, a short one hears them begin; the middle one is
for what is between. All three end now. The sound is halved in rate for the middle
window and once more for the long one, so that each is a transform of 2048 samples at
most.
"""

from typing import NamedTuple

import numpy as np

from dsp.fft import FFT, fft, power_spectrum
from dsp.follower import fall, follow, rise
from dsp.frame import asymmetric_window, make_room, windowed
from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.triangles import Triangles, triangles, under
from dsp.units import HOP, RATE, hz

HOPS = 6  # in a frame
FRAME = HOPS * HOP  # 8 ms
WINDOWS = 3  # short, middle, long
CHANNELS = 2 * WINDOWS  # the level of each, and how it has changed
SIZES = (1024, 2048, 2048)  # of each [samples at its rate]
RATES = (RATE, RATE // 2, RATE // 4)
FALLS = (128, 192, 160)  # over which each window lets go
REACH = 0.4  # part of its rate up to which a window is used; a shorter one stands in above
LOWEST = 21  # MIDI note of the lowest pitch, A0
PITCHES = 88
BINS_A_PITCH = 3
SEMITONES = 108  # the pitches and, above C8, room for their overtones
BINS = BINS_A_PITCH * SEMITONES
SINCE = 2  # frames over which a change is told

TAPS = 43  # of the filter in front of each halving
STILL = np.float32(0.998)  # pole of the filter that takes DC away: 15 Hz
TINY = np.float32(1e-20)  # a denormal costs fifty times a number

FLOOR = np.float32(1e-7)  # what is 70 dB below the follower is not told apart
ATTACK = rise(FRAME, RATE, 0.15)
RELEASE = fall(FRAME, RATE, 2)


class TonesState(NamedTuple):
    short_window: np.ndarray  # (SIZES[0],)
    middle_window: np.ndarray  # (SIZES[1],)
    long_window: np.ndarray  # (SIZES[2],)
    short_triangles: Triangles  # as many as a window is used for, a bin each
    middle_triangles: Triangles
    long_triangles: Triangles
    taps: np.ndarray  # (TAPS,)
    still: np.ndarray  # (2,) last sample before and after DC was taken away
    short: np.ndarray  # (SIZES[0],) newest samples at RATES[0], oldest first
    middle: np.ndarray  # (SIZES[1],) at RATES[1]
    long: np.ndarray  # (SIZES[2],) at RATES[2]
    hops: np.ndarray  # (1,) of the frame being filled
    frame: np.ndarray  # (SIZES[2],) work
    spectrum: np.ndarray  # (SIZES[2] / 2 + 1,) work
    short_fft: FFT
    long_fft: FFT
    power: np.ndarray  # (WINDOWS, BINS) of the newest frame
    follower: np.ndarray  # (2,) power that counts as full, frames it has followed
    past: np.ndarray  # (SINCE, WINDOWS, BINS) levels of the frames before, oldest first
    inputs: np.ndarray  # (CHANNELS, BINS) of the newest frame


def bin_frequencies() -> np.ndarray:
    """Centre of each bin [Hz], shape (BINS,); bin 3 p + 1 is at the pitch p semitones above A0."""
    return hz(LOWEST) * 2 ** ((np.arange(BINS) - 1) / (12 * BINS_A_PITCH))


def _half_band() -> np.ndarray:
    """Low-pass in front of a halving: passes 0.2 of the rate, stops 0.3 by 70 dB."""
    at = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(at / 2) * np.kaiser(TAPS, 6.76)
    return (taps / taps.sum()).astype(np.float32)


def _triangles(window: int) -> Triangles:
    """A band a bin within the reach of a window, each as wide as it is far from the next, or as can be told."""
    frequency = bin_frequencies()
    centres = frequency[frequency < REACH * RATES[window]] * SIZES[window] / RATES[window]
    half = np.maximum(1, centres * (2 ** (1 / (12 * BINS_A_PITCH)) - 1))
    return triangles(SIZES[window], centres - half, centres, centres + half)


def tones_state() -> TonesState:
    """Tones that have heard nothing."""
    short, middle, long = SIZES
    return TonesState(
        asymmetric_window(short, FALLS[0]),
        asymmetric_window(middle, FALLS[1]),
        asymmetric_window(long, FALLS[2]),
        _triangles(0),
        _triangles(1),
        _triangles(2),
        _half_band(),
        np.zeros(2, np.float32),
        np.zeros(short, np.float32),
        np.zeros(middle, np.float32),
        np.zeros(long, np.float32),
        np.zeros(1, np.int64),
        np.zeros(long, np.float32),
        np.zeros(long // 2 + 1, np.float32),
        fft(short),
        fft(long),
        np.zeros((WINDOWS, BINS), np.float32),
        np.zeros(2, np.float32),
        np.zeros((SINCE, WINDOWS, BINS), np.float32),
        np.zeros((CHANNELS, BINS), np.float32),
    )


@kernel(fastmath={"contract", "nsz"})
def _halve(taps, recent, out, n):
    """The newest 2 n samples of `recent`, at half the rate, into the newest n of `out`."""
    for i in range(n):
        last = len(recent) - 2 * (n - i) + 1
        total = taps[TAPS // 2] * recent[last - TAPS // 2]
        for j in range(0, TAPS, 2):  # every other tap but the middle one is 0
            total += taps[j] * recent[last - j]
        out[len(out) - n + i] = total


@kernel
def _look(window, recent, tables, triangles, frame, spectrum, out):
    """Power of each bin that one window is used for."""
    windowed(window, recent, frame)
    power_spectrum(tables, frame, spectrum)
    under(triangles, spectrum, out[: len(triangles.first)])


@kernel
def tones_look(state):
    """Powers of what has been heard so far, into ``state.power``, whether or not a frame is complete."""
    short, power = SIZES[0], state.power
    frame, spectrum = state.frame, state.spectrum
    _look(
        state.short_window, state.short, state.short_fft, state.short_triangles,
        frame[:short], spectrum[: short // 2 + 1], power[0],
    )  # fmt: skip
    _look(
        state.middle_window, state.middle, state.long_fft, state.middle_triangles, frame, spectrum, power[1]
    )
    _look(state.long_window, state.long, state.long_fft, state.long_triangles, frame, spectrum, power[2])
    middle, long = len(state.middle_triangles.first), len(state.long_triangles.first)
    for k in range(middle, BINS):
        power[1, k] = power[0, k]
    for k in range(long, BINS):
        power[2, k] = power[1, k]


@kernel
def tones_hop(state, x):
    """Take one more hop in; whether it completes a frame, whose powers are then in ``state.power``.

    Parameters
    ----------
    state : TonesState
    x : array, shape (HOP,)

    Notes
    -----
    A bin adds no delay: all windows end with the newest sample, but for the
    1.3 ms at most that the filters lag.  Realtime: O(1), three transforms every
    HOPS hops, no allocation.
    """
    short, still = state.short, state.still
    make_room(short, HOP)
    for i in range(HOP):
        y = x[i] - still[0] + STILL * still[1]
        if abs(y) < TINY:
            y = np.float32(0)
        still[0] = x[i]
        still[1] = y
        short[SIZES[0] - HOP + i] = y
    make_room(state.middle, HOP // 2)
    _halve(state.taps, short, state.middle, HOP // 2)
    make_room(state.long, HOP // 4)
    _halve(state.taps, state.middle, state.long, HOP // 4)
    state.hops[0] += 1
    if state.hops[0] < HOPS:
        return False
    state.hops[0] = 0
    tones_look(state)
    return True


@kernel
def relate(power, follower, past, out):
    """Inputs of the net from the powers of a frame.

    Parameters
    ----------
    power : array, shape (WINDOWS, BINS)
    follower : array, shape (2,)
        What counts as full, as `dsp.follower` has it.
    past : array, shape (SINCE, WINDOWS, BINS)
        Levels of the frames before, oldest first; 0 where there were none.
    out : array, shape (CHANNELS, BINS)
        log10 of each bin over the follower, then its change since SINCE frames ago.
    """
    total = np.float32(0)
    for k in range(BINS):
        total += power[1, k]
    first = past[0, 0, 0] == 0
    scale = follow(follower, total, ATTACK, RELEASE)
    if follower[1] == 0:  # until something sounds all is at the floor, so that the first note is a rise
        scale = np.float32(0)
    for window in range(WINDOWS):
        for k in range(BINS):
            level = np.log10(power[window, k] * scale + FLOOR)
            if first:
                for frame in range(SINCE):
                    past[frame, window, k] = level
            out[window, k] = level
            out[WINDOWS + window, k] = level - past[0, window, k]
            for frame in range(SINCE - 1):
                past[frame, window, k] = past[frame + 1, window, k]
            past[SINCE - 1, window, k] = level


@kernel
def tones_forget(state):
    """As if nothing had been heard."""
    state.hops[0] = 0
    for i in range(2):
        state.still[i] = np.float32(0)
        state.follower[i] = np.float32(0)
    for recent in (state.short, state.middle, state.long):
        for i in range(len(recent)):
            recent[i] = np.float32(0)
    state.past[0, 0, 0] = np.float32(0)


@kernel
def tones_step(state, x, out):
    """Inputs of each frame that the hops in x, shape (n, HOP), complete."""
    n = 0
    for k in range(len(x)):
        if tones_hop(state, x[k]):
            relate(state.power, state.follower, state.past, out[n])
            n += 1
    return n


@kernel
def _powers_step(state, x, out):
    """Powers of each frame that the hops in x, shape (n, HOP), complete."""
    n = 0
    for k in range(len(x)):
        if tones_hop(state, x[k]):
            for window in range(WINDOWS):
                for i in range(BINS):
                    out[n, window, i] = state.power[window, i]
            n += 1
    return n


def tones_of(audio: np.ndarray) -> np.ndarray:
    """Powers of each frame of a sound at 48 kHz, shape (frames, WINDOWS, BINS): what `relate` is given."""
    hops = np.ascontiguousarray(audio[: len(audio) // HOP * HOP], np.float32).reshape(-1, HOP)
    out = np.zeros((len(hops) // HOPS, WINDOWS, BINS), np.float32)
    _powers_step(tones_state(), hops, out)
    return out


class Tones(KernelStage):
    """Hops of audio in, inputs of the learned ear for notes out."""

    step = staticmethod(tones_step)

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._framed(spec, tones_state(), HOPS, (CHANNELS, BINS))
