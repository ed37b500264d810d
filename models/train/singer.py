# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who sings, hums or whistles, made up for one scene.

Harmonics that fall towards the treble pass the resonances of a mouth that goes from vowel to vowel. Pitch is
what makes it a voice: it is reached from below or from the note before, drifts, trembles and swings. What is
short of a pause between two notes is a consonant: a hum, a hiss, a stop.

References
----------
G. E. Peterson, H. L. Barney, "Control methods used in a study of the vowels", JASA 24, 1952: where the
resonances of vowels lie.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt
from scipy.special import expit

from dsp.units import RATE
from models.train.instruments import AS_IS, Fading, Instrument
from models.train.scores import Note, Pedal, Rng

VOICES = {"bass": (40, 64), "tenor": (47, 71), "alto": (53, 77), "soprano": (60, 84), "whistle": (70, 96)}
VOWELS = np.array([
    (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410),
    (730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390),
])  # fmt: skip
POINTS = 1000  # of a contour, a second
HARMONICS = 48
PAUSE = 0.15  # between two notes that is more than a consonant [s]


class Singer(Instrument):
    """A voice drawn at random; it sings one note at a time."""

    def __init__(self, rng: Rng) -> None:
        kind = str(rng.choice(list(VOICES), p=(0.24, 0.26, 0.22, 0.22, 0.06)))
        super().__init__(f"singer-{kind}", *VOICES[kind])
        self.rng, self.whistles = rng, kind == "whistle"
        self.size = rng.uniform(0.9, 1.08) * (1.0 if kind in ("bass", "tenor") else 1.16)
        self.hums = rng.random() < 0.12
        self.tilt = rng.uniform(5, 13)  # [dB an octave]
        self.range_db = rng.uniform(8, 26)
        self.swing = rng.uniform(0, 0.7) if rng.random() < 0.75 else 0.0  # vibrato [semitones]
        self.pace = rng.uniform(4.4, 6.8)
        self.drift, self.rough = rng.uniform(0.03, 0.25), 10 ** rng.uniform(-2, -0.5)  # [semitones]
        self.scoops, self.glide = rng.uniform(0, 0.8), rng.uniform(0.012, 0.06)  # how often; half a glide [s]
        self.breath = 10 ** (rng.uniform(-50, -20) / 20)
        self.speaks = rng.uniform(0, 1)  # how often a note begins with a consonant
        self.attack, self.release = rng.uniform(0.006, 0.04), rng.uniform(0.015, 0.06)  # [s]

    def phrased(self, notes: Sequence[Note]) -> list[Note]:
        """The same notes, never two at once, with room for consonants."""
        found: list[Note] = []
        for note in sorted(notes):
            if found:
                last = found[-1]
                room = self.rng.uniform(0.03, 0.12) if self.rng.random() < self.speaks else 0.0
                end = min(last.end, max(note.start - room, last.start + 0.06), note.start)
                found[-1] = last._replace(end=end)
            found.append(note)
        return [note for note in found if note.end - note.start > 0.04]

    def play(
        self, notes: Sequence[Note], pedal: Pedal, cents: float, seconds: float, fading: Fading = AS_IS
    ) -> np.ndarray:
        rng, n, size = self.rng, round(seconds * POINTS), round(seconds * RATE)
        t = np.arange(n) / POINTS
        pitch, loud, noise = np.full(n, float(self.low)), np.zeros(n), np.zeros(n)
        mouth = np.tile(VOWELS[4] * self.size, (n, 1)).astype(float)
        last: Note | None = None
        for note in notes:
            first, stop = int(note.start * POINTS), min(int(note.end * POINTS), n)
            joined = last is not None and note.start - last.end < PAUSE
            came = last.pitch if joined and last is not None else note.pitch - rng.uniform(0, 3)
            goal = note.pitch + rng.normal(0, 0.1)
            if joined:
                way = expit((t - note.start - rng.uniform(-0.01, 0.03)) / (self.glide / 2))
            elif rng.random() < self.scoops:
                way = 1 - np.exp(-np.maximum(t - note.start, 0) / rng.uniform(0.02, 0.06))
            else:
                way = np.ones(n)
            begin = max(0, first - 100)
            pitch[begin:] = (came + (goal - came) * way)[begin:]
            after = np.clip((t - note.start - rng.uniform(0.1, 0.35)) / 0.3, 0, 1)
            pitch[first:] += (
                self.swing * rng.uniform(0.3, 1) * after * np.sin(2 * np.pi * self.pace * (t - note.start))
            )[first:]
            level = 10 ** (self.range_db * (note.velocity / 127 - 1) / 20)
            swell = 1 + rng.uniform(-0.4, 0.4) * (t[first:stop] - note.start)
            loud[first:stop] = level * np.clip(swell, 0.4, 1.6)
            if not joined or rng.random() < self.speaks:
                mouth[first:] = VOWELS[rng.integers(len(VOWELS))] * self.size
            if joined and last is not None and note.start - last.end > 0.02:
                self._consonant(int(last.end * POINTS), first, level, loud, noise)
            last = note
        pitch = np.clip(pitch, self.low - 5, self.high + 3) + cents / 100
        slow = gaussian_filter1d(rng.standard_normal(n), 120)
        pitch += self.drift * slow / max(slow.std(), 1e-9) + self.rough * rng.standard_normal(n) * 0.3
        loud = self._eased(loud)
        mouth = gaussian_filter1d(mouth, 18, axis=0)
        gains = self._gains(440 * 2 ** ((pitch - 69) / 12), mouth) * loud[:, None]
        at = np.linspace(0, n - 1, size)
        steps = 2 * np.pi * 440 * 2 ** ((np.interp(at, np.arange(n), pitch) - 69) / 12) / RATE
        voice = _sung(steps, gains.astype(np.float32), rng.uniform(0, 2 * np.pi, gains.shape[1]))
        hiss = sosfilt(
            butter(1, [rng.uniform(800, 3500), 14000], "band", fs=RATE, output="sos"),
            rng.standard_normal(size),
        )
        air = np.interp(at, np.arange(n), gaussian_filter1d(noise, 4) + self.breath * loud)
        return np.asarray(voice + hiss * air)

    def _consonant(self, first: int, stop: int, level: float, loud: np.ndarray, noise: np.ndarray) -> None:
        """What fills the gap before a note."""
        kind, rng = self.rng.random(), self.rng
        if kind < 0.35 or self.hums:
            loud[first:stop] = level * rng.uniform(0.08, 0.5)
        elif kind < 0.65:
            noise[first:stop] = level * 10 ** (rng.uniform(-32, -12) / 20)
        else:
            noise[max(first, stop - 12) : stop] = level * 10 ** (rng.uniform(-30, -12) / 20)

    def _eased(self, loud: np.ndarray) -> np.ndarray:
        """Levels that rise and fall as a voice can."""
        eased, now = np.empty_like(loud), 0.0
        rise, fall = 1 - np.exp(-1 / (self.attack * POINTS)), 1 - np.exp(-1 / (self.release * POINTS))
        for i, level in enumerate(loud):
            now += (level - now) * (rise if level > now else fall)
            eased[i] = now
        return eased

    def _gains(self, hz: np.ndarray, mouth: np.ndarray) -> np.ndarray:
        """Of every harmonic at every point, shape (points, HARMONICS)."""
        k = np.arange(1, HARMONICS + 1)
        f = hz[:, None] * k
        if self.whistles:
            return np.where(k == 1, 1.0, np.where(k == 2, 0.02, 0.0)) * np.ones_like(f)
        db = -self.tilt * np.log2(k) * np.ones_like(f)
        formants = [mouth[:, i : i + 1] for i in range(3)] + [np.full((len(hz), 1), 3500 * self.size)]
        for formant in formants:
            width = 40 + 0.06 * formant
            away = ((f - formant) / width) ** 2
            db += (3 if self.hums else 14) / (1 + away / 4)
        if self.hums:
            db -= 9 * np.log2(np.maximum(f / 350, 1))
        gains = np.where(f < 12000, 10 ** (db / 20), 0)
        return np.asarray(gains / np.sqrt((gains**2).sum(1, keepdims=True)))


@njit(cache=False)
def _sung(steps, gains, starts):  # type: ignore[no-untyped-def]
    """Harmonics of a phase that moves by `steps`, shape (n,), with gains that pass from point to point."""
    n, (points, count) = len(steps), gains.shape
    out, phase = np.zeros(n), 0.0
    for i in range(n):
        phase += steps[i]
        at = i * (points - 1) / n
        j = int(at)
        part = at - j
        for k in range(count):
            gain = gains[j, k] + part * (gains[min(j + 1, points - 1), k] - gains[j, k])
            if gain > 1e-6:
                out[i] += gain * np.sin((k + 1) * phase + starts[k])
    return out
