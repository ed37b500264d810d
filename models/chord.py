# SPDX-License-Identifier: GPL-3.0-or-later
"""The chord that sounds, and its bass note: when the net's opinion is a change that is worth telling."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from dsp.events import CHORD, EVENT, NO_CHORD
from dsp.settings import number, switch
from dsp.units import RATE
from models.chordnet import LAG, ROOTS
from models.chroma import HOP, lowest

MARGIN = 0.04  # by so much a new chord must be likelier than the one that sounds
SURE = 0.2  # what is less likely is kept to itself
WAIT = 2  # looks into a beat after which its chord is named
ALONE = 2 * RATE  # without a beat for so long, chords change when they will [samples]
SURE_BASS = 0.3
LOW_KEEPS = 0.75  # of what was lowest, a look


@dataclass(frozen=True, slots=True)
class ChordSettings:
    enabled: bool = switch(False, "say which chord sounds, and its bass note, when it changes")
    sensitivity: float = number(0.5, 0, 1, "", "0 says only what is clear, 1 follows every change")
    on_beat: bool = switch(
        False, "chords change on beats alone, as far as there are any; turns beat.enabled on"
    )
    chroma: bool = switch(False, "send how strong each of the twelve pitch classes sounds, 23 times a second")


class ChordFollower:
    """What the net says of looks in, a CHORD event whenever another chord sounds.

    Notes
    -----
    `emitted` is the end of the look that settled it; `time` is LAG looks before
    the one that first spoke for it, which is what the net was trained to speak of.
    On beats, `time` is the beat, and its chord is told WAIT looks after them.
    """

    def __init__(self, settings: ChordSettings) -> None:
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        self._said, self._best, self._since = NO_CHORD, NO_CHORD, 0
        self._beats: deque[int] = deque()
        self._beat = -ALONE
        self._low = np.zeros(ROOTS)  # how often each was the lowest lately
        self._sum, self._bass_sum = np.zeros(NO_CHORD + 1), np.zeros(ROOTS + 1)

    def beat(self, time: int) -> None:
        """A beat falls at this sample."""
        self._beats.append(time)

    def look(
        self, chords: np.ndarray, basses: np.ndarray, levels: np.ndarray | None, heard: int
    ) -> np.ndarray:
        """Events of one look, which ends with sample `heard`; (0 or 1,) EVENT without id.

        The net names the bass that chords usually have, the lowest pitches the one
        they have now: both count alike.
        """
        self._low *= LOW_KEEPS
        if levels is not None:
            self._low[lowest(levels)] += 1 - LOW_KEEPS
        basses = np.append(basses[:-1] + self._low, basses[-1])
        speaks = heard - LAG * HOP  # of then
        if self._settings.on_beat:
            while self._beats and self._beats[0] <= speaks - HOP // 2:
                self._beat = self._beats.popleft()
                self._sum[:], self._bass_sum[:] = 0, 0
            self._sum += chords
            self._bass_sum += basses
            if speaks - self._beat < ALONE:
                looks = round((speaks - self._beat) / HOP)
                if looks != WAIT:
                    return np.zeros(0, EVENT)
                total = self._sum.sum()
                return self._change(self._sum / total, self._bass_sum / total, self._beat, heard)
        best = int(chords.argmax())
        if best != self._best:
            self._best, self._since = best, speaks - HOP // 2
        return self._change(chords, basses, self._since, heard)

    def _change(self, chords: np.ndarray, basses: np.ndarray, time: int, heard: int) -> np.ndarray:
        best = int(chords.argmax())
        margin = 2 * MARGIN * (1 - self._settings.sensitivity)
        if best == self._said or chords[best] < max(SURE, chords[self._said] + margin):
            return np.zeros(0, EVENT)
        self._said = best
        bass = int(basses[:-1].argmax())
        if basses[bass] < SURE_BASS:
            bass = best % ROOTS
        event = np.zeros(1, EVENT)
        event["kind"], event["number"], event["confidence"] = CHORD, best, chords[best]
        event["label"] = -1 if best == NO_CHORD else bass
        event["time"], event["emitted"] = max(0, time), heard
        return event
