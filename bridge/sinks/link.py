# SPDX-License-Identifier: GPL-3.0-or-later
"""Ableton Link: whoever has joined on this network follows the beat, tempo and bar."""

import asyncio
from typing import Any

import numpy as np

from bridge.errors import SinkError
from bridge.sinks.wall import Wall
from dsp.events import BEAT

JUMP = 0.25  # beats: an error this large is put right at once
SOON = 2.0  # beats in which a smaller one is
STRETCH = 0.08  # most that the tempo departs from the music's for that
SURE = 0.4  # a beat less likely moves nobody


def joined(bpm: float = 120.0) -> Any:
    """A Link session, joined.

    Raises
    ------
    SinkError
        Where the library for it is not installed.
    """
    try:
        from aalink import Link
    except ImportError:
        raise SinkError(
            "clock.link: the library for Ableton Link is not installed",
            "install earwire with it: uv tool install '.[link]', or pip install aalink in its environment",
        ) from None
    link = Link(bpm, asyncio.new_event_loop())
    link.enabled = True
    return link


class LinkSink:
    """Leads the tempo of a Link session to the beats that are foretold.

    Parameters
    ----------
    link
        From `joined`.
    wall
        When a sample sounds.

    Notes
    -----
    Link has one tempo for all, and anybody may change it: each beat sets it anew,
    a little faster or slower than the music while the others are behind or ahead.
    """

    def __init__(self, link: Any, wall: Wall | None = None) -> None:
        self._link, self._wall = link, wall or Wall()

    def open(self, header: dict[str, Any]) -> None:
        """Nothing to say yet."""

    def write(self, events: np.ndarray) -> None:
        for event in events:
            self._wall.follow(int(event["emitted"]))
            if event["kind"] == BEAT and event["confidence"] >= SURE and event["number"] > 0:
                self._lead(event)

    def _lead(self, event: np.void) -> None:
        link, bpm, bar = self._link, float(event["number"]), max(1, int(event["label"]))
        ahead = (self._wall.at(int(event["time"])) - self._wall.now()) * bpm / 60
        link.quantum = bar
        wanted = float(event["value"]) - 1 - ahead
        error = (wanted - link.beat + bar / 2) % bar - bar / 2
        if abs(error) > JUMP:
            link.force_beat(link.beat + error)
            error = 0.0
        link.tempo = bpm * (1 + min(max(error / SOON, -STRETCH), STRETCH))

    def close(self, end: dict[str, Any]) -> None:
        self._link.enabled = False
