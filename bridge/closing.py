# SPDX-License-Identifier: GPL-3.0-or-later
"""Every note-on gets its note-off, at the end of a stream at the latest."""

import numpy as np

from dsp.events import EVENT, NOTE_OFF, NOTE_ON


class Closing:
    """Knows which notes sound, so that every note-on gets its note-off at the end."""

    def __init__(self) -> None:
        self._sounding: dict[int, np.ndarray] = {}
        self._last_id = 0

    def follow(self, events: np.ndarray) -> None:
        for event in events[(events["kind"] == NOTE_ON) | (events["kind"] == NOTE_OFF)]:
            if event["kind"] == NOTE_ON:
                self._sounding[int(event["id"])] = event.copy()
            else:
                self._sounding.pop(int(event["ref"]), None)
        if len(events):
            self._last_id = max(self._last_id, int(events["id"].max()))

    def events(self, time: int, emitted: int) -> np.ndarray:
        """Note-offs of all that still sounds, at the end of the stream."""
        out = np.zeros(len(self._sounding), EVENT)
        for k, on in enumerate(self._sounding.values()):
            out[k] = on
            out[k]["id"], out[k]["ref"], out[k]["kind"] = self._last_id + 1 + k, on["id"], NOTE_OFF
            out[k]["time"], out[k]["emitted"], out[k]["value"] = time, emitted, 0
        self._sounding.clear()
        return out
