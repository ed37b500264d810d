# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversions between what a musician says and what the path counts in."""

import math

RATE = 48_000  # the engine's rate [Hz]; every other rate is resampled at the source
HOP = 64  # samples between two looks of the fast lane


def samples(ms: float, rate: float = RATE) -> int:
    """Nearest whole number of samples in `ms` milliseconds."""
    return round(ms * rate / 1000)


def ms(samples: float, rate: float = RATE) -> float:
    """Milliseconds in `samples`."""
    return 1000 * samples / rate


def gain(db: float) -> float:
    """Amplitude ratio of `db` decibels."""
    return 10 ** (db / 20)


def db(ratio: float) -> float:
    """Decibels of an amplitude ratio; -inf for zero."""
    return 20 * math.log10(ratio) if ratio > 0 else -math.inf


def hz(note: float) -> float:
    """Frequency of a MIDI note number [Hz], A4 = 69 = 440 Hz."""
    return 440.0 * 2 ** ((note - 69) / 12)


def note(hz: float) -> float:
    """MIDI note number of a frequency, fractional."""
    return 69 + 12 * math.log2(hz / 440.0)
