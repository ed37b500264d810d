# SPDX-License-Identifier: GPL-3.0-or-later
"""The one record that leaves the engine, and the words it may say."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

EVENT = np.dtype(
    [
        ("id", "i8"),  # its own, counted from 1
        # the id it speaks of (drum, note_off, bend, pressure, refine, a note_on that corrects), else 0;
        # of a chroma, all of it
        ("ref", "i8"),
        ("time", "i8"),  # when it sounded [samples since start]
        ("emitted", "i8"),  # newest input sample the decision depends on [samples since start]
        ("kind", "u1"),
        ("channel", "u1"),  # MIDI channel 1..16, 0 where it has none
        (
            "label",
            "i2",
        ),  # row of LABELS, or -1; of a beat, how many its bar has; of a chord, its bass
        ("number", "f4"),  # MIDI note, fractional; cents; Hz; dBFS; row of KEYS or CHORDS; bpm
        ("value", "f4"),  # velocity, pressure or pedal 0..1; place in the bar, counted from 1
        ("confidence", "f4"),  # 0..1
    ],
    align=True,
)

(ONSET, DRUM, REFINE, NOTE_ON, NOTE_OFF, BEND, PITCH, LEVEL, KEY, BEAT, TEMPO, CHORD, CHROMA, PRESSURE,
 PEDAL) = range(15)  # fmt: skip

KINDS = (
    "onset",
    "drum",
    "refine",
    "note_on",
    "note_off",
    "bend",
    "pitch",
    "level",
    "key",
    "beat",
    "tempo",
    "chord",
    "chroma",
    "pressure",
    "pedal",
)

TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {scale}" for scale in ("major", "minor") for tonic in TONICS)  # `number` of a KEY
DEGREES = {
    "maj": (0, 4, 7), "min": (0, 3, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "min7": (0, 3, 7, 10),
    "dim": (0, 3, 6), "aug": (0, 4, 8), "sus4": (0, 5, 7), "sus2": (0, 2, 7),
}  # fmt: skip
QUALITIES = tuple(DEGREES)
CHORDS = (*(f"{root}:{quality}" for quality in QUALITIES for root in TONICS), "N")  # `number` of a CHORD
NO_CHORD = len(CHORDS) - 1
SHADES = 31  # a pitch class of a chroma is one of so many strong: twelve of them fit into one number


def packed(chroma: Iterable[float]) -> int:
    """Strengths of the twelve pitch classes, 0..1, as one whole number."""
    return sum(round(SHADES * float(part)) << (5 * k) for k, part in enumerate(chroma))


def unpacked(number: int) -> list[float]:
    """The strengths that were `packed`."""
    return [round(((number >> (5 * k)) & SHADES) / SHADES, 3) for k in range(len(TONICS))]


class Label(NamedTuple):
    name: str
    note: int  # General MIDI percussion key
    family: str


LABELS = (
    Label("kick", 36, "kick"),
    Label("snare", 38, "snare"),
    Label("snare-rim", 40, "snare"),
    Label("snare-side", 37, "snare"),
    Label("hat-closed", 42, "hat"),
    Label("hat-pedal", 44, "hat"),
    Label("hat-open", 46, "hat"),
    Label("tom-low", 45, "tom"),
    Label("tom-mid", 47, "tom"),
    Label("tom-high", 50, "tom"),
    Label("crash", 49, "cymbal"),
    Label("ride", 51, "cymbal"),
    Label("china", 52, "cymbal"),
    Label("ride-bell", 53, "cymbal"),
    Label("splash", 55, "cymbal"),
    Label("clap", 39, "other"),
    Label("tambourine", 54, "other"),
    Label("cowbell", 56, "other"),
    Label("bongo", 60, "other"),
    Label("conga", 63, "other"),
    Label("shaker", 70, "other"),
)

LABEL_ROW = {label.name: row for row, label in enumerate(LABELS)}
