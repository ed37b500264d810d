# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of the music, from the chords, basses and pitches that have sounded lately."""

from dataclasses import dataclass

import numpy as np

from dsp.events import EVENT, KEY
from dsp.settings import number, switch
from dsp.units import RATE
from models.chordnet import ChordNet, degrees
from models.chroma import HOP, classes

STEP = HOP / RATE  # from look to look [s]
EVERY = 12  # looks between two judgements
HOLD = 4  # judgements that must agree before a key is said
MIND = 8  # and before another one is
SAID = 0.35  # a key less sure than this is kept to itself
SURER = 0.25  # a key is said again when it is surer, or less sure, by this
FADED = 0.3  # of what is remembered, what need have sounded lately [s]


@dataclass(frozen=True, slots=True)
class KeySettings:
    enabled: bool = switch(False, "say which key the music is in")
    memory_s: float = number(
        15, 3, 120, "s", "how long what has sounded counts; less follows modulations faster"
    )


class Memory:
    """How much of the time each chord, bass and pitch class has sounded lately.

    Parameters
    ----------
    memory_s
        After so long a sound counts a third [s].
    """

    def __init__(self, memory_s: float) -> None:
        self._keep = float(np.exp(-STEP / memory_s))
        self._sums = np.zeros(0)
        self.heard = 0.0  # for how long anything has, less what is forgotten [s]

    def add(self, chords: np.ndarray, basses: np.ndarray, levels: np.ndarray | None) -> None:
        """One more look: what `ChordNet.look` said, and what it was given; None in silence."""
        self.heard *= self._keep
        if len(self._sums):
            self._sums *= self._keep
        if levels is None:
            return
        fresh = np.concatenate([chords[:-1], basses[:-1], classes(levels)])
        self._sums = self._sums + fresh if len(self._sums) else fresh.astype(float)
        self.heard += STEP

    def inputs(self) -> np.ndarray:
        """What `ChordNet.key` asks for."""
        mean = self._sums * STEP / self.heard
        return degrees(mean[:-24], mean[-24:-12], mean[-12:], self.heard)


class KeyFollower:
    """Looks in, a KEY event whenever the key has changed for good, or is surer than it was.

    Notes
    -----
    `time` is `emitted`, the end of the look that settled it: a key has no onset.
    """

    def __init__(self, settings: KeySettings, net: ChordNet) -> None:
        self._settings, self._net = settings, net
        self.reset()

    def reset(self) -> None:
        self._memory = Memory(self._settings.memory_s)
        self._looks, self._best, self._held, self._said, self._sure = 0, -1, 0, -1, 0.0

    def look(
        self, chords: np.ndarray, basses: np.ndarray, levels: np.ndarray | None, heard: int
    ) -> np.ndarray:
        """Events of one look, which ends with sample `heard`; (0 or 1,) EVENT without id."""
        self._memory.add(chords, basses, levels)
        self._looks += 1
        if self._looks % EVERY or levels is None or self._memory.heard < FADED:
            return np.zeros(0, EVENT)
        likely = self._net.key(self._memory.inputs())
        best = int(likely.argmax())
        self._held = self._held + 1 if best == self._best else 1
        self._best, sure = best, float(likely[best])
        new = best != self._said and self._held >= (HOLD if self._said < 0 else MIND)
        surer = best == self._said and abs(sure - self._sure) >= SURER
        if sure < SAID or not (new or surer):
            return np.zeros(0, EVENT)
        self._said, self._sure = best, sure
        event = np.zeros(1, EVENT)
        event["kind"], event["number"], event["label"], event["confidence"] = KEY, best, -1, sure
        event["time"] = event["emitted"] = heard
        return event
