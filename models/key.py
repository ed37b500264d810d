# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of the music, from how much of each pitch class has sounded lately: a slow stage."""

from dataclasses import dataclass

import numpy as np

from dsp.events import EVENT, KEY
from dsp.settings import number, switch
from dsp.units import RATE, note

HOP = 4800  # samples between two looks
SIZE = 16_384  # samples looked at
LOWEST, HIGHEST = 130.8, 2093.0  # four octaves from C3, where a bin is narrower than a semitone [Hz]
SURE = 10.0  # seconds of tonal sound after which evidence counts in full
SAID = 0.15  # a key less sure than this is kept to itself
FLAT = 0.1  # a chroma that varies by less of its mean is noise
HOLD = 10  # looks that must agree before a key is said

# How well each degree of the scale fits a key, by listeners.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


@dataclass(frozen=True, slots=True)
class KeySettings:
    enabled: bool = switch(False, "say which key the music is in")
    memory_s: float = number(
        15, 3, 120, "s", "how long what has sounded counts; less follows modulations faster"
    )


class KeyStage:
    """48 kHz sound in, a KEY event whenever the key has changed for good.

    Notes
    -----
    Each look speaks of the 16384 samples that end with it: nothing newer is
    known, and `emitted` is the end of the look. `time` is the same: a key has no onset.

    References
    ----------
    C. L. Krumhansl, "Cognitive Foundations of Musical Pitch", Oxford 1990: the
    key profiles (table 2.1). We correlate a decaying sum of the chroma with them
    where the book correlates the notes' durations.
    """

    hop = HOP
    constant = RATE  # a look takes milliseconds; a whole second late would be a stalled machine [samples]

    def __init__(self, settings: KeySettings) -> None:
        self.settings = settings
        self._window = np.hanning(SIZE).astype(np.float32)
        hz = np.fft.rfftfreq(SIZE, 1 / RATE)
        self._bins = np.flatnonzero((hz >= LOWEST) & (hz <= HIGHEST))
        pitch = np.array([note(f) for f in hz[self._bins]])
        nearest = np.round(pitch)
        self._class = nearest.astype(int) % 12
        weight = np.cos(np.pi * (pitch - nearest)) ** 2  # a bin between two semitones is neither's
        self._weight = weight / np.bincount(self._class, weight, 12)[self._class]  # noise favours no class
        profiles = [np.roll(p, k) for p in (MAJOR, MINOR) for k in range(12)]
        centred = np.array(profiles) - np.mean(profiles, axis=1, keepdims=True)
        self._profiles = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        self.reset()

    def reset(self) -> None:
        self._recent = np.zeros(SIZE, np.float32)
        self._chroma = np.zeros(12)
        self._tonal = 0.0  # seconds of evidence
        self._heard = 0
        self._best, self._held, self._said = -1, 0, -1

    def listen(self, x: np.ndarray) -> np.ndarray:
        """Events of one hop, (HOP,) float32; (0 or 1,) EVENT without id."""
        self._heard += HOP
        self._recent = np.concatenate([self._recent[HOP:], x])
        power = np.abs(np.fft.rfft(self._recent * self._window)) ** 2
        around = power[self._bins]
        peak = (around >= power[self._bins - 1]) & (around >= power[self._bins + 1])
        weight = np.where(peak, np.sqrt(around), 0.0) * self._weight
        total = weight.sum()
        step = HOP / RATE
        keep = np.exp(-step / self.settings.memory_s)
        self._chroma *= keep
        self._tonal *= keep
        if total > 1e-3:  # about -70 dBFS
            self._chroma += np.bincount(self._class, weight, 12) / total * step
            self._tonal += step
        centred = self._chroma - self._chroma.mean()
        size = np.linalg.norm(centred)
        if size < FLAT * np.sqrt(12) * self._chroma.mean() or self._tonal < step:
            return np.zeros(0, EVENT)
        fit = self._profiles @ (centred / size)
        first, second = np.argsort(fit)[:-3:-1]
        confidence = float(np.clip((fit[first] - fit[second]) * 5, 0, 1) * min(1.0, self._tonal / SURE))
        self._held = self._held + 1 if first == self._best else 0
        self._best = int(first)
        if self._held < HOLD or self._best == self._said or confidence < SAID:
            return np.zeros(0, EVENT)
        self._said = self._best
        event = np.zeros(1, EVENT)
        event["kind"], event["number"], event["label"], event["confidence"] = KEY, self._best, -1, confidence
        event["time"] = event["emitted"] = self._heard
        return event
