# SPDX-License-Identifier: GPL-3.0-or-later
"""How strong each semitone sounds: what harmony is heard in."""

import numpy as np

from dsp.units import RATE, note

HOP = 2048  # samples between two looks
SIZE, LONG = 8192, 16_384  # samples looked at, for what is high and for the bass
HIGH, LOW = (40, 101), (24, 73)  # MIDI notes of either, the second left out
PITCHES = HIGH[1] - HIGH[0] + LOW[1] - LOW[0]
RANGE = 5.0  # powers of ten below the follower that are told apart
EMPTY = 1e-9  # power of a look in which nothing sounds
FALL = 0.02  # a bass may be so much softer than what is a semitone above it
ATTACK, RELEASE = 0.3, 1.5  # of the follower [s], [dB/s]


def _window(size: int) -> np.ndarray:
    """One that ends now: it rises slowly and lets go over its newest eighth; sums to 1."""
    rise = np.sin(np.pi / 2 * (np.arange(size) + 0.5) / size)
    out = rise * np.minimum(1, (size - np.arange(size) - 0.5) / (size / 8))
    return (out / out.sum()).astype(np.float32)


class _Bank:
    """Semitones from the spectrum of one window."""

    def __init__(self, size: int, notes: tuple[int, int], cents: float) -> None:
        self.size, self.window = size, _window(size)
        hz = np.fft.rfftfreq(size, 1 / RATE)
        pitch = np.array([note(f) if f > 0 else -99.0 for f in hz]) - cents / 100
        near = np.flatnonzero((pitch > notes[0] - 1.5) & (pitch < notes[1] + 0.5))
        self.bins = slice(int(near[0]), int(near[-1]) + 1)
        away = np.abs(pitch[self.bins] - np.arange(*notes)[:, None])
        width = np.maximum(
            0.5, 12 / np.log(2) * RATE / size / hz[self.bins]
        )  # a bin is wider than that below
        self.weights = np.maximum(0, 1 - away / (2 * width)).astype(np.float32)

    def look(self, x: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(x[-self.size :] * self.window)[self.bins]
        return self.weights @ (spectrum.real**2 + spectrum.imag**2)


class Chroma:
    """Levels of semitones, looked at every HOP samples.

    Parameters
    ----------
    cents
        How far from 440 Hz the music is tuned.

    Notes
    -----
    A look speaks of the 8192 samples that end with it, of the bass 16384, most of
    all of their newest quarter. Levels are told below a follower, so how loud the
    music is does not count.
    """

    def __init__(self, cents: float = 0.0) -> None:
        self._banks = (_Bank(SIZE, HIGH, cents), _Bank(LONG, LOW, cents))
        self.reset()

    def reset(self) -> None:
        self._recent = np.zeros(LONG, np.float32)
        self._follower, self._looks = 0.0, 0

    def listen(self, x: np.ndarray) -> np.ndarray | None:
        """Levels of one more hop, (PITCHES,) 0..1, the high ones first; None in silence."""
        self._recent = np.concatenate([self._recent[HOP:], x])
        power = np.concatenate([bank.look(self._recent) for bank in self._banks])
        total = float(power.sum())
        if total < EMPTY:
            self._follower *= 10 ** (-RELEASE * HOP / RATE / 10)
            return None
        if total > self._follower:
            self._looks += 1
            rate = max(1 - np.exp(-HOP / RATE / ATTACK), 1 / self._looks)
            self._follower += rate * (total - self._follower)
        else:
            self._follower *= 10 ** (-RELEASE * HOP / RATE / 10)
        level = np.log10(power / (self._follower + EMPTY) + 10**-RANGE) / RANGE + 1
        return np.clip(level, 0, 1).astype(np.float32)


def classes(levels: np.ndarray) -> np.ndarray:
    """How strong each pitch class is, (12,), by what stands out of its neighbours in a look's high range."""
    high = levels[: HIGH[1] - HIGH[0]]
    out = np.maximum(0, high[1:-1] - 0.5 * (high[:-2] + high[2:])) * high[1:-1] ** 2
    return np.bincount((np.arange(HIGH[0] + 1, HIGH[1] - 1)) % 12, out, 12)


def lowest(levels: np.ndarray) -> int:
    """Pitch class of the bass of a look: of what stands out at the bottom the strongest, and of equals the lower."""
    low = levels[HIGH[1] - HIGH[0] :]
    inner = np.where((low[1:-1] >= low[:-2]) & (low[1:-1] >= low[2:]), low[1:-1], 0) - FALL * np.arange(
        len(low) - 2
    )
    return int(LOW[0] + 1 + inner.argmax()) % 12
