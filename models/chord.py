# SPDX-License-Identifier: GPL-3.0-or-later
"""The chord that sounds, and its bass note: a slow stage."""

from dataclasses import dataclass

import numpy as np

from dsp.events import CHORD, CHORDS, EVENT, NO_CHORD, QUALITIES, TONICS
from dsp.settings import number, switch
from dsp.units import RATE, note

HOP = 2048  # samples between two looks
SIZE, BASS_SIZE = 8192, 16_384  # samples looked at, for chords and for the bass
LOWEST, HIGHEST = 110.0, 1760.0  # where chords are looked for [Hz]
BASS_LOWEST, BASS_HIGHEST = 38.0, 190.0
SILENT = 1e-6  # power of a look in which nothing sounds
OVERTONES = (
    1.0,
    0.0,
    0.0,
    0.0,
    0.1,
    0.0,
    0.0,
    0.25,
    0.0,
    0.0,
    0.05,
    0.0,
)  # of one note, by semitones above it
FIT = 14.0  # how much a better fit counts
BASS = 2.5  # how much it counts that the bass plays the root
STAY = 0.985  # how likely a chord sounds on from look to look
FORGET = 0.4  # how much of the chroma before a look is kept
NOISE = 0.5  # a fit below this is no chord
SURE = 0.55  # a chord less likely is kept to itself
# How often each is met: triads most.
USUAL = {"maj": 1.0, "min": 0.9, "7": 0.12, "maj7": 0.12, "min7": 0.16}
USUAL |= {"dim": 0.03, "aug": 0.015, "sus4": 0.05, "sus2": 0.04}
DEGREES = {
    "maj": (0, 4, 7), "min": (0, 3, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "min7": (0, 3, 7, 10),
    "dim": (0, 3, 6), "aug": (0, 4, 8), "sus4": (0, 5, 7), "sus2": (0, 2, 7),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChordSettings:
    enabled: bool = switch(False, "say which chord sounds, and its bass note, when it changes")
    sensitivity: float = number(0.5, 0, 1, "", "0 says only what is clear, 1 follows every change")


def templates() -> np.ndarray:
    """Unit chroma of each row of CHORDS but the last, (rows, 12)."""
    out = np.zeros((len(CHORDS) - 1, 12))
    for row, (root, quality) in enumerate((r, q) for q in QUALITIES for r in range(len(TONICS))):
        for degree in DEGREES[quality]:
            for above, share in enumerate(OVERTONES):
                out[row, (root + degree + above) % 12] += share * (1.0 if degree in (0, 3, 4, 7) else 0.8)
    out -= out.mean(1, keepdims=True)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


class Chroma:
    """How much of each pitch class sounds, from the peaks of a spectrum between two frequencies."""

    def __init__(self, size: int, lowest: float, highest: float) -> None:
        self._window = np.hanning(2 * size)[:size] ** 0.5 * np.minimum(1, np.arange(size, 0, -1) / (size / 8))
        self._window = (self._window / self._window.sum()).astype(np.float32)
        hz = np.fft.rfftfreq(size, 1 / RATE)
        self._bins = np.flatnonzero((hz >= lowest) & (hz <= highest))
        self._width = RATE / size
        self._size = size

    def peaks(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """MIDI note, fractional, and strength of each peak of the newest samples of x."""
        power = np.abs(np.fft.rfft(x[-self._size :] * self._window)) ** 2 + 1e-20
        left, here, right = (np.log(power[self._bins + k]) for k in (-1, 0, 1))
        top = (here >= left) & (here > right)
        left, here, right = left[top], here[top], right[top]
        offset = 0.5 * (left - right) / (left - 2 * here + right - 1e-12)
        hz = (self._bins[top] + offset) * self._width
        return np.array([note(f) for f in hz]), np.exp(0.5 * here)


class ChordStage:
    """48 kHz sound in, a CHORD event whenever another chord sounds.

    Notes
    -----
    A forward filter over chords: each look weighs them by how well the chroma
    of the newest 8192 samples fits, and by whether the bass plays their root.
    `emitted` is the end of the look that settled it, `time` the look that first
    spoke for it, half a window before its end.

    References
    ----------
    A. Sheh, D. P. W. Ellis, "Chord segmentation and recognition using
    EM-trained hidden Markov models", ISMIR 2003. Here templates take the place
    of what was trained, and only the past is used.
    """

    hop = HOP
    constant = (
        RATE // 2
    )  # a look takes half a millisecond; half a second late would be a stalled machine [samples]

    def __init__(self, settings: ChordSettings) -> None:
        self.settings = settings
        self._templates = templates()
        self._roots = np.tile(np.arange(12), len(QUALITIES))
        usual = np.repeat([USUAL[quality] for quality in QUALITIES], 12)
        self._usual = np.append(usual, 0.5) / (usual.sum() + 0.5)
        self._high, self._low = Chroma(SIZE, LOWEST, HIGHEST), Chroma(BASS_SIZE, BASS_LOWEST, BASS_HIGHEST)
        self.reset()

    def reset(self) -> None:
        self._recent = np.zeros(BASS_SIZE, np.float32)
        self._chroma, self._bass = np.zeros(12), np.zeros(12)
        self._likely = self._usual.copy()
        self._heard, self._said, self._best, self._since = 0, NO_CHORD, NO_CHORD, 0

    def _fit(self) -> np.ndarray:
        """Likelihood of the newest look under each row of CHORDS."""
        high, strength = self._high.peaks(self._recent)
        if np.sum(strength**2) < SILENT or len(high) < 2:
            self._chroma *= FORGET
            self._bass *= FORGET
            return np.append(np.full(len(self._templates), 0.05), 1.0)
        nearest = np.round(high)
        weight = np.sqrt(strength) * np.cos(np.pi * (high - nearest)) ** 2
        fresh = np.bincount(nearest.astype(int) % 12, weight, 12)
        self._chroma = FORGET * self._chroma + (1 - FORGET) * fresh / max(fresh.sum(), 1e-9)
        low, strength = self._low.peaks(self._recent)
        fresh = np.zeros(12)
        if len(low):
            strength = strength * 10 ** (-0.02 * (low - low.min()))  # of a bass and its overtones, the bass
            lowest = np.round(low[np.argmax(strength)])
            fresh[int(lowest) % 12] = 1.0
        self._bass = FORGET * self._bass + (1 - FORGET) * fresh
        chroma = self._chroma - self._chroma.mean()
        size = np.linalg.norm(chroma)
        fit = self._templates @ (chroma / max(size, 1e-9))
        clear = min(1.0, float(size) / (0.15 * np.sqrt(12) * max(self._chroma.mean(), 1e-9)))
        chords = np.exp(FIT * clear * (fit - 1) + BASS * self._bass[self._roots])
        return np.append(chords, np.exp(FIT * clear * (NOISE - 1)))

    def listen(self, x: np.ndarray) -> np.ndarray:
        """Events of one hop, (HOP,) float32; (0 or 1,) EVENT without id."""
        self._heard += HOP
        self._recent = np.concatenate([self._recent[HOP:], x])
        self._likely = STAY * self._likely + (1 - STAY) * self._usual
        self._likely *= self._fit() ** (0.25 + 0.5 * self.settings.sensitivity)
        self._likely /= max(self._likely.sum(), 1e-30)
        best = int(self._likely.argmax())
        if best != self._best:
            self._best, self._since = best, self._heard
        confidence = float(self._likely[best])
        if best == self._said or confidence < SURE:
            return np.zeros(0, EVENT)
        self._said = best
        event = np.zeros(1, EVENT)
        event["kind"], event["number"], event["confidence"] = CHORD, best, confidence
        bass = int(self._bass.argmax()) if self._bass.max() > 0.3 else self._roots[best % len(self._roots)]
        event["label"] = -1 if best == NO_CHORD else bass
        event["time"], event["emitted"] = max(0, self._since - SIZE // 2), self._heard
        return event
