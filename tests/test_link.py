# SPDX-License-Identifier: GPL-3.0-or-later
"""A Link session is led to the beat, whatever tempo and place it began with."""

import sys

import numpy as np
import pytest

from bridge.errors import SinkError
from bridge.preset import load
from bridge.sinks.link import LinkSink, joined
from bridge.sinks.wall import Wall
from dsp.events import BEAT, EVENT
from dsp.units import RATE

LEAD = 0.02  # beats are foretold so long before they sound [s]


class Room:
    """A network with a clock of its own, on which somebody counts on at a tempo."""

    def __init__(self, beat: float, tempo: float) -> None:
        self.time, self._beat, self._tempo = 1000.0, beat, tempo
        self.quantum, self.enabled, self.jumps = 4, True, 0

    @property
    def beat(self) -> float:
        return self._beat

    @property
    def tempo(self) -> float:
        return self._tempo

    @tempo.setter
    def tempo(self, bpm: float) -> None:
        self._tempo = bpm

    def force_beat(self, beat: float) -> None:
        self._beat, self.jumps = beat, self.jumps + 1

    def wait(self, until: float) -> None:
        self._beat += (until - self.time) * self._tempo / 60
        self.time = until


def beat(time: float, position: int, bpm: float, sure: float = 0.9) -> np.ndarray:
    event = np.zeros(1, EVENT)
    event["kind"], event["value"], event["label"], event["confidence"] = BEAT, position, 4, sure
    event["number"], event["time"] = bpm, round(time * RATE)
    event["emitted"] = event["time"] - round(LEAD * RATE)
    return event


@pytest.mark.parametrize("start, tempo", [(0.0, 120.0), (2.6, 93.0), (17.9, 121.0)])
def test_the_others_come_to_the_beat_and_its_bar(start: float, tempo: float) -> None:
    room = Room(start, tempo)
    sink = LinkSink(room, Wall(lambda: room.time))
    sink.open({})
    for n in range(16):
        at = 0.5 * n + 1
        room.wait(1000 + at - LEAD)
        sink.write(beat(at, n % 4 + 1, 120.0))
        if n >= 6:
            there = room.beat + LEAD * room.tempo / 60
            assert (there - n % 4 + 2) % 4 - 2 == pytest.approx(0, abs=0.01)
            assert room.tempo == pytest.approx(120, rel=0.01)
    assert room.jumps <= 1 and room.quantum == 4
    sink.close({})
    assert not room.enabled


def test_what_is_not_sure_moves_nobody() -> None:
    room = Room(0.3, 100.0)
    LinkSink(room, Wall(lambda: room.time)).write(beat(1.0, 1, 140.0, sure=0.2))
    assert room.tempo == 100 and room.jumps == 0


def test_a_small_error_never_bends_the_tempo_much() -> None:
    room = Room(0.0, 120.0)
    sink = LinkSink(room, Wall(lambda: room.time))
    sink.write(beat(LEAD, 1, 120.0))
    room.force_beat(room.beat + 0.2)
    sink.write(beat(LEAD, 1, 120.0))
    assert 120 * 0.92 <= room.tempo < 120


def test_without_the_library_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aalink", None)
    with pytest.raises(SinkError) as refused:
        joined()
    assert "Link" in str(refused.value) and "[link]" in refused.value.hint


def test_link_follows_the_beat_without_the_clock() -> None:
    assert load("clock", ["clock.link=true", "clock.enabled=false"]).beat.enabled
