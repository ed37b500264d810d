# SPDX-License-Identifier: GPL-3.0-or-later
"""Every note-on gets its note-off, at the end of a stream at the latest."""

import numpy as np

from dsp.events import EVENT, NOTE_OFF, NOTE_ON, PEDAL


class Closing:
    """Knows which notes sound and whether the pedal is down, so that all that began ends."""

    def __init__(self) -> None:
        self._sounding: dict[int, np.ndarray] = {}
        self._last_id = 0

    def follow(self, events: np.ndarray) -> None:
        for event in events[np.isin(events["kind"], (NOTE_ON, NOTE_OFF, PEDAL))]:
            key = int(event["id"] if event["kind"] == NOTE_ON else event["ref"])  # 0 of the pedal
            if event["kind"] == NOTE_ON or (event["kind"] == PEDAL and event["value"] > 0):
                self._sounding[key] = event.copy()
            else:
                self._sounding.pop(key, None)
        if len(events):
            self._last_id = max(self._last_id, int(events["id"].max()))

    def events(self, time: int, emitted: int) -> np.ndarray:
        """Note-offs of all that still sounds, and the pedal up, at the end of the stream."""
        out = np.zeros(len(self._sounding), EVENT)
        for k, on in enumerate(self._sounding.values()):
            out[k] = on
            out[k]["id"] = self._last_id + 1 + k
            if on["kind"] == NOTE_ON:
                out[k]["ref"], out[k]["kind"] = on["id"], NOTE_OFF
            out[k]["time"], out[k]["emitted"], out[k]["value"] = time, emitted, 0
        self._sounding.clear()
        return out
