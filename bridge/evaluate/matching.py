# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of what was struck and what was said, and how they are counted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dsp.units import RATE

WINDOW = 0.05  # a match lies within this [s]
WINDOWS = {"": WINDOW, " 25 ms": 0.025}

T = TypeVar("T", bound=tuple[Any, ...])


class Counts(NamedTuple):
    """What was right, said in vain, and missed."""

    hit: int = 0
    extra: int = 0
    missed: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def f(self) -> float:
        """F-measure, 0..1; of nothing at all it is 0."""
        return 2 * self.hit / (2 * self.hit + self.extra + self.missed) if any(self) else 0.0


class Names(NamedTuple):
    """What the names and velocities of drums were worth, at one moment."""

    families: dict[str, Counts]
    labels: dict[str, Counts] | None  # None where the annotation names families alone
    mistaken: Counter[tuple[str, str]]  # (struck, said), by families
    mistaken_labels: Counter[tuple[str, str]]  # by labels
    velocities: list[tuple[str, float, float]]  # of what, played, said; only what the annotation knows
    changes: int = 0  # refine events that had come
    waited: float = 0.0  # their largest `emitted - time` [s]


class Score(NamedTuple):
    """One file's: counts by name, measures with their weight by name, delays [s]."""

    counts: dict[str, Counts]
    measures: dict[str, tuple[float, float]]
    delays: list[float]
    waited: float
    names: tuple[Names, ...] = ()  # of drums: at the decision, and once refined
    errors: Sequence[float] = ()  # what was said less what is true, where that is worth a line [s]


def empty(events: np.ndarray, kinds: Sequence[int]) -> Score:
    """A score that has counted nothing yet."""
    return Score({}, {}, [], waited(events[np.isin(events["kind"], kinds)]))


def waited(events: np.ndarray) -> float:
    """Largest ``emitted - time`` [s]."""
    return float((events["emitted"] - events["time"]).max()) / RATE if len(events) else 0.0


def merged(timed: Iterable[T], gap: float) -> list[T]:
    """In order, each closer than `gap` [s] to the one before folded into it."""
    out: list[T] = []
    for event in sorted(timed, key=lambda event: event[0]):
        if not out or event[0] - out[-1][0] > gap:
            out.append(event)
    return out


def matched(truth: Sequence[float], said: Sequence[float], window: float) -> list[tuple[int, int]]:
    """The most pairs of a true and a said time within `window` [s]."""
    import mir_eval

    if not len(truth) or not len(said):
        return []
    return list(mir_eval.util.match_events(np.asarray(truth, float), np.asarray(said, float), window))


def compared(
    truth: Sequence[float], said: Sequence[float], window: float, excuse: Sequence[float] = ()
) -> tuple[Counts, list[tuple[int, int]]]:
    """Counts and pairs of one class of events; what is excused takes one that was said in vain each."""
    found = matched(truth, said, window)
    taken = {j for _, j in found}
    excused = len(matched(excuse, [t for j, t in enumerate(said) if j not in taken], WINDOW))
    return Counts(len(found), len(said) - excused - len(found), len(truth) - len(found)), found
