# SPDX-License-Identifier: GPL-3.0-or-later
"""What is played to the note ear: lines, chords, strums, hands on a keyboard, written by chance and by rule."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Rng = np.random.Generator

MODES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), tuple(range(12)))
SHORTEST = 0.045  # a note lasts so long at least [s]
AGAIN = 0.055  # two strikes of one key are so far apart at least [s]
FIGURES = (1 / 4, 1 / 3, 1 / 2, 1, 3 / 2, 2, 4)  # lengths of notes [beats]


class Note(NamedTuple):
    start: float  # [s]
    end: float
    pitch: int
    velocity: int


Pedal = list[tuple[float, float]]  # down, up [s]


class Manner(NamedTuple):
    """How somebody plays for a while."""

    seconds: float
    low: int
    high: int
    scale: tuple[int, ...]  # pitch classes
    beat: float  # [s]
    soft: int  # velocities
    loud: int

    def pitches(self, low: float | None = None, high: float | None = None) -> list[int]:
        first, last = max(self.low, int(low or 0)), min(self.high, int(high or 127))
        return [p for p in range(first, last + 1) if p % 12 in self.scale] or [first]

    def velocity(self, rng: Rng) -> int:
        return int(rng.integers(self.soft, self.loud + 1))


def manner(low: int, high: int, seconds: float, rng: Rng, beat: float = 0.0) -> Manner:
    key, mode = int(rng.integers(12)), MODES[rng.choice(len(MODES), p=[0.4, 0.3, 0.1, 0.2])]
    scale = tuple(sorted((key + step) % 12 for step in mode))
    soft = int(rng.integers(22, 88))
    loud = int(rng.integers(soft + 8, 125))
    return Manner(seconds, low, high, scale, beat or 60 / rng.uniform(55, 185), soft, loud)


def tidy(notes: Sequence[Note], seconds: float, low: int = 21, high: int = 108) -> list[Note]:
    """In order, on the keyboard, each key released before it is struck again."""
    by_pitch: dict[int, list[Note]] = {}
    for note in sorted(notes):
        if not low <= note.pitch <= high or not 0.05 <= note.start < seconds - 0.15:
            continue
        end = min(max(note.end, note.start + SHORTEST), seconds - 0.02)
        note = note._replace(end=end, velocity=int(np.clip(note.velocity, 8, 127)))
        same = by_pitch.setdefault(note.pitch, [])
        if same and note.start - same[-1].start < AGAIN:
            continue
        if same and same[-1].end > note.start - 0.004:
            same[-1] = same[-1]._replace(end=max(note.start - 0.004, same[-1].start + 0.03))
        same.append(note)
    return sorted(note for same in by_pitch.values() for note in same)


def held(notes: Sequence[Note], pedal: Pedal) -> list[Note]:
    """As they sound: what ends while the pedal is down goes on until it is up or the key is struck again."""
    again: dict[int, float] = {}
    found = []
    for note in sorted(notes, reverse=True):
        end = next((up for down, up in pedal if down <= note.end < up), note.end)
        found.append(note._replace(end=min(end, max(again.get(note.pitch, end), note.end))))
        again[note.pitch] = note.start
    return found[::-1]


def line(m: Manner, rng: Rng) -> list[Note]:
    """One voice: steps, leaps, repeated notes, runs, trills, rests; detached to legato."""
    centre, width = rng.uniform(m.low + 3, max(m.high - 3, m.low + 4)), rng.uniform(4, 14)
    pitches = m.pitches(centre - width, centre + width)
    at, now = int(rng.integers(len(pitches))), rng.uniform(0.1, 0.8)
    overlap = float(rng.choice([0.35, 0.6, 0.85, 0.95, 1.0, 1.04]))
    repeat, rest, fast, trill = (
        rng.uniform(0, 0.45),
        rng.uniform(0, 0.2),
        rng.uniform(0.1, 1),
        rng.random() < 0.3,
    )
    shares = np.array([0.3 * fast, 0.12 * fast, 0.35, 0.2, 0.06, 0.08, 0.03])
    steps = (-12, -7, -4, -3, -2, -1, 1, 2, 3, 4, 7, 12)
    weights = np.array([0.02, 0.03, 0.04, 0.07, 0.13, 0.2, 0.2, 0.13, 0.07, 0.04, 0.03, 0.02])
    found: list[Note] = []
    while now < m.seconds:
        length = max(m.beat * FIGURES[rng.choice(len(FIGURES), p=shares / shares.sum())], 0.08)
        if rng.random() > rest:
            if rng.random() > repeat:
                at = int(np.clip(at + rng.choice(steps, p=weights / weights.sum()), 0, len(pitches) - 1))
            if trill and length > 0.35 and rng.random() < 0.3:
                pace, other = rng.uniform(0.065, 0.13), pitches[min(at + 1, len(pitches) - 1)]
                for i in range(int(length / pace)):
                    start = now + i * pace
                    found.append(
                        Note(start, start + 0.95 * pace, (pitches[at], other)[i % 2], m.velocity(rng))
                    )
            else:
                start = now + rng.normal(0, 0.006)
                stop = start + length * overlap * rng.uniform(0.9, 1.02)
                found.append(Note(start, stop, pitches[at], m.velocity(rng)))
        now += length
    found.sort()
    slur = 0.03 if overlap > 1 else -0.002
    return [
        note._replace(end=min(note.end, following.start + slur))
        for note, following in zip(found, [*found[1:], Note(m.seconds, m.seconds, 0, 0)], strict=True)
    ]


def _chord(m: Manner, rng: Rng, count: int, low: float, high: float) -> list[int]:
    """Some pitches of a triad or more, or any of the scale."""
    pitches = m.pitches(low, high)
    if rng.random() < 0.7:
        root = int(rng.integers(len(m.scale)))
        stack = {m.scale[(root + third) % len(m.scale)] for third in (0, 2, 4, 6)[: int(rng.integers(2, 5))]}
        pitches = [p for p in pitches if p % 12 in stack] or pitches
    return sorted(int(p) for p in rng.choice(pitches, min(count, len(pitches)), replace=False))


def chords(m: Manner, rng: Rng, spread: float | None = None) -> list[Note]:
    """Chords struck in a pattern; `spread` is the time from string to string [s]."""
    now, found, count = rng.uniform(0.1, 0.8), [], int(rng.integers(2, 7))
    spread = float(rng.choice([0, 0.003, 0.01, 0.02])) if spread is None else spread
    length, variety = rng.uniform(0.4, 1), rng.uniform(0, 1)
    step = m.beat * float(rng.choice([0.25, 0.5, 1, 2, 4], p=[0.1, 0.32, 0.33, 0.18, 0.07]))
    while now < m.seconds:
        base = rng.uniform(m.low, max(m.high - 14, m.low + 1))
        chord, turns = _chord(m, rng, count, base, base + rng.integers(10, 30)), int(rng.integers(1, 9))
        for turn in range(turns):
            strings = chord if turn % 2 == 0 or spread == 0 else chord[::-1][: max(2, len(chord) - 2)]
            if rng.random() > 0.1:
                accent = int(10 * (turn % 2 == 0))
                for i, pitch in enumerate(strings):
                    start = now + turn * step + i * spread * rng.uniform(0.6, 1.4) + rng.normal(0, 0.003)
                    found.append(Note(start, start + step * length, pitch, m.velocity(rng) + accent))
            if rng.random() < variety * 0.2:
                break
        now += turns * step
    return found


def strum(m: Manner, rng: Rng) -> list[Note]:
    return chords(m, rng, rng.uniform(0.006, 0.035))


def arpeggio(m: Manner, rng: Rng) -> list[Note]:
    """Broken chords whose notes ring into each other or not."""
    now, found = rng.uniform(0.1, 0.8), []
    step, ring = max(m.beat * float(rng.choice([0.25, 1 / 3, 0.5])), 0.07), rng.uniform(0.7, 5)
    order = int(rng.integers(4))
    while now < m.seconds:
        base = rng.uniform(m.low, max(m.high - 20, m.low + 1))
        chord = _chord(m, rng, int(rng.integers(3, 8)), base, base + rng.integers(14, 34))
        row = [chord, chord[::-1], chord + chord[-2:0:-1], list(rng.permutation(chord))][order]
        for i in range(int(rng.integers(1, 4)) * len(row)):
            start = now + i * step + rng.normal(0, 0.004)
            found.append(Note(start, start + step * ring, int(row[i % len(row)]), m.velocity(rng)))
        now += i * step + step
    return found


def soup(m: Manner, rng: Rng) -> list[Note]:
    """Any key at any time."""
    starts = rng.uniform(0.1, m.seconds, int(rng.uniform(1, 10) * m.seconds))
    ends = starts + np.exp(rng.uniform(np.log(0.06), np.log(2.5), len(starts)))
    pitches = rng.integers(m.low, m.high + 1, len(starts))
    return [
        Note(float(s), float(e), int(p), m.velocity(rng))
        for s, e, p in zip(starts, ends, pitches, strict=True)
    ]


def again(m: Manner, rng: Rng) -> list[Note]:
    """One key or a few struck again and again while they ring, slowly to as fast as fingers can."""
    now, found = rng.uniform(0.1, 0.8), []
    while now < m.seconds:
        keys = _chord(m, rng, int(rng.integers(1, 4)), m.low, m.high)
        step, ring = np.exp(rng.uniform(np.log(0.075), np.log(0.6))), rng.uniform(0.4, 1)
        for i in range(int(rng.integers(2, 14))):
            for key in keys if rng.random() < 0.8 else keys[:1]:
                start = now + i * step + rng.normal(0, 0.004)
                found.append(Note(start, start + step * ring, key, m.velocity(rng)))
        now += i * step + step + rng.choice([0, m.beat])
    return found


def counterpoint(m: Manner, rng: Rng) -> list[Note]:
    """Two to four voices, each in its own register."""
    count = int(rng.integers(2, 5))
    edges = np.linspace(m.low, m.high, count + 1)
    voices = [
        line(m._replace(low=int(max(edges[i] - 3, m.low)), high=int(min(edges[i + 1] + 3, m.high))), rng)
        for i in range(count)
    ]
    return [note for voice in voices for note in voice]


def keyboard(m: Manner, rng: Rng) -> list[Note]:
    """Two hands: the left keeps a figure, the right sings over it or runs; often one is much softer."""
    split = int(np.clip(rng.normal(57, 5), m.low + 12, m.high - 12))
    softer = int(rng.integers(0, 35))
    left = m._replace(high=split, soft=max(m.soft - softer, 10), loud=max(m.loud - softer, 20))
    right = m._replace(low=split - 2)
    below: tuple[Callable[[Manner, Rng], list[Note]], ...] = (arpeggio, arpeggio, chords, line, again)
    above: tuple[Callable[[Manner, Rng], list[Note]], ...] = (
        line,
        line,
        line,
        chords,
        counterpoint,
        arpeggio,
    )
    low, high = below[rng.integers(len(below))](left, rng), above[rng.integers(len(above))](right, rng)
    if rng.random() < 0.25:  # in octaves
        low = low + [n._replace(pitch=n.pitch - 12) for n in low]
    if rng.random() < 0.2:
        high = high + [n._replace(pitch=n.pitch + 12) for n in high]
    return low + high


def pedalling(m: Manner, rng: Rng) -> Pedal:
    """Down just after a beat, up just before or after another; now and then none for a while."""
    now, found, bar = rng.uniform(0, 1), [], m.beat * float(rng.choice([1, 2, 4]))
    while now < m.seconds:
        if rng.random() < 0.85:
            found.append((now + rng.uniform(0.02, 0.15), now + bar + rng.uniform(-0.1, 0.03)))
        now += max(bar, 0.4)
    return [(down, up) for down, up in found if up > down + 0.1]
