# SPDX-License-Identifier: GPL-3.0-or-later
"""Chord, key and chroma of what sounds: a slow stage."""

import numpy as np

from dsp.events import BEAT, CHROMA, EVENT, packed
from dsp.units import RATE
from models.chord import ChordFollower, ChordSettings
from models.chordnet import ROOTS, ChordNet, load
from models.chroma import HOP, PITCHES, Chroma, classes
from models.key import KeyFollower, KeySettings


class HarmonyStage:
    """48 kHz sound in; CHORD, KEY and CHROMA events out, whichever are asked for.

    Notes
    -----
    Both followers read one net over one spectrum, every HOP samples, about a
    millisecond of work.  `emitted` is the end of the look that decided.
    """

    hop = HOP
    constant = RATE // 2  # half a second late would be a stalled machine [samples]

    def __init__(self, chord: ChordSettings, key: KeySettings) -> None:
        self._chord, self._key, self._streams = chord.enabled, key.enabled, chord.chroma
        self._ear, self._net = Chroma(), ChordNet(load())
        self._chords, self._keys = ChordFollower(chord), KeyFollower(key, self._net)
        self.reset()

    def reset(self) -> None:
        for part in (self._ear, self._net, self._chords, self._keys):
            part.reset()
        self._heard = 0

    def know(self, events: np.ndarray) -> None:
        """Take note of beats, which the fast lane has heard."""
        for event in events[events["kind"] == BEAT]:
            self._chords.beat(int(event["time"]))

    def listen(self, x: np.ndarray) -> np.ndarray:
        """Events of one hop, (HOP,) float32; (n,) EVENT without id."""
        self._heard += HOP
        levels = self._ear.listen(x)
        said = []
        if self._chord or self._key:
            chords, basses = self._net.look(np.zeros(PITCHES, np.float32) if levels is None else levels)
            if self._chord:
                said.append(self._chords.look(chords, basses, levels, self._heard))
            if self._key:
                said.append(self._keys.look(chords, basses, levels, self._heard))
        if self._streams:
            said.append(self._chroma(levels))
        return np.concatenate([np.zeros(0, EVENT), *said])

    def _chroma(self, levels: np.ndarray | None) -> np.ndarray:
        strong = np.zeros(ROOTS) if levels is None else classes(levels)
        event = np.zeros(1, EVENT)
        event["kind"], event["label"] = CHROMA, -1
        event["ref"] = packed(strong / max(strong.max(), 1e-6))
        event["time"], event["emitted"] = self._heard - HOP // 2, self._heard
        return event
