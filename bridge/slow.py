# SPDX-License-Identifier: GPL-3.0-or-later
"""The slow lane: what needs a longer look or a bigger model, on a thread of its own.

It hears what the fast lane heard, in fixed hops, and stamps its events from
them, so speed changes nothing but when they arrive. From a file the engine
waits for it; live, a result later than its constant is sent at once and counted.
"""

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from bridge.preset import Preset
from dsp.events import BEAT, EVENT

FIRST_ID = 1 << 32  # ids of the slow lane, apart from the fast lane's


class SlowStage(Protocol):
    """Sound in fixed hops, events out; Python and libraries allowed."""

    hop: int  # samples at 48 kHz
    constant: int  # how late after its hop a result may be [samples at 48 kHz]

    def listen(self, x: np.ndarray) -> np.ndarray:
        """Events of one hop, (hop,) float32, without ids."""
        ...

    def know(self, events: np.ndarray) -> None:
        """Take note of what the fast lane has said, (n,) EVENT."""
        ...

    def reset(self) -> None: ...


def stages(preset: Preset) -> list[SlowStage]:
    """The slow stages that a preset asks for."""
    found: list[SlowStage] = []
    if preset.key.enabled or preset.chord.enabled or preset.chord.chroma:
        from models.harmony import HarmonyStage

        found.append(HarmonyStage(preset.chord, preset.key))
    return found


class SlowLane:
    """Slow stages over one stream of heard sound.

    Parameters
    ----------
    stages
        From `stages`.
    ahead
        Newer input that each heard sample depends on [samples at 48 kHz].
    """

    def __init__(self, stages: Sequence[SlowStage], ahead: int = 0) -> None:
        self._stages, self._ahead = list(stages), ahead
        self._waiting = [np.zeros(0, np.float32) for _ in self._stages]
        self._next = FIRST_ID

    def know(self, events: np.ndarray) -> None:
        """Take note of what the fast lane says of sound that is heard next, or not long ago."""
        beats = events[events["kind"] == BEAT]
        if len(beats):
            for stage in self._stages:
                stage.know(beats)

    def listen(self, heard: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Events of `heard`, (n,) float32 at 48 kHz, each batch with its stage's constant."""
        said = []
        for k, stage in enumerate(self._stages):
            sound = np.concatenate([self._waiting[k], heard])
            for at in range(0, len(sound) - stage.hop + 1, stage.hop):
                events = stage.listen(sound[at : at + stage.hop])
                if len(events):
                    events["id"] = np.arange(self._next, self._next + len(events))
                    events["emitted"] += self._ahead
                    self._next += len(events)
                    said.append((events, stage.constant))
            self._waiting[k] = sound[len(sound) // stage.hop * stage.hop :].copy()
        return said


class SlowThread:
    """A slow lane beside a live engine: sound is put in, events come out when they are ready.

    Parameters
    ----------
    lane
        What listens.
    """

    def __init__(self, lane: SlowLane) -> None:
        self._lane = lane
        self._sound: SimpleQueue[np.ndarray | None] = SimpleQueue()  # or what the fast lane has said
        self._said: SimpleQueue[tuple[np.ndarray, int]] = SimpleQueue()
        self.late = 0
        self._thread = threading.Thread(target=self._run, name="slow", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (heard := self._sound.get()) is not None:
            if heard.dtype == EVENT:
                self._lane.know(heard)
                continue
            for said in self._lane.listen(heard):
                self._said.put(said)

    def put(self, heard: np.ndarray) -> None:
        """Sound, (n,) float32, or events of the fast lane, (n,) EVENT, as they come."""
        self._sound.put(heard.copy())

    def events(self, now: int) -> np.ndarray:
        """What has come since the last call; `now` is how many samples the fast lane has heard."""
        got = [np.zeros(0, EVENT)]
        while not self._said.empty():
            events, constant = self._said.get()
            self.late += int(np.sum(now - events["emitted"] > constant))
            got.append(events)
        return np.concatenate(got)

    def close(self) -> None:
        """Listen to what was put in, then stop."""
        self._sound.put(None)
        self._thread.join(5.0)
