# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes leave on the channel of their register, and end where they began."""

from pathlib import Path
from typing import Any

import mido
import numpy as np

from bridge.evaluate.said import notes_said
from bridge.midi.departure import Departure, announce_range, depart_step, departure, departure_adopt
from bridge.midi.outbox import BYTES, LENGTH, Outbox, collect, outbox
from bridge.preset import load
from bridge.sinks.smf import SmfSink
from dsp.events import BEND, EVENT, NOTE_OFF, NOTE_ON
from dsp.units import RATE

SPLIT = ("midi.split=C3", "midi.low_channel=5")  # C3 is 48


def said(kind: int, number: float, at: int, ref: int = 0) -> np.ndarray:
    event = np.zeros(1, EVENT)
    event["kind"], event["id"], event["ref"], event["number"] = kind, at, ref, number
    event["time"], event["emitted"], event["value"], event["label"] = at, at + 100, 0.5, -1
    return event


def left(box: Outbox) -> list[tuple[int, int, int]]:
    """(kind, channel counted from 1, first data byte) of all that waits, in order; it waits no more."""
    collect(box, 0, 0, 0, RATE)
    out = [(int(m["status"]) & 0xF0, (int(m["status"]) & 15) + 1, int(m["data1"])) for m in _waiting(box)]
    box.words[LENGTH] = 0
    return out


def _waiting(box: Outbox) -> Any:
    return box.queue[: box.words[LENGTH]]


def leaving(*settings: str) -> tuple[Departure, Outbox]:
    state, box = departure(load("bass", settings)), outbox(np.zeros(BYTES, np.uint8))
    state.clock["rate"] = RATE
    return state, box


def test_low_notes_leave_on_a_channel_of_their_own() -> None:
    state, box = leaving(*SPLIT)
    for number in (47, 48):
        depart_step(state, said(NOTE_ON, number, 1000 + number), box)
    assert left(box) == [(0x90, 5, 47), (0x90, 1, 48)]
    depart_step(state, said(BEND, 30.0, 2000, ref=1048), box)
    depart_step(state, said(NOTE_ON, 40, 3000), box)
    depart_step(state, said(BEND, -30.0, 4000, ref=3000), box)
    assert [(kind, channel) for kind, channel, _ in left(box)] == [(0xE0, 1), (0x90, 5), (0xE0, 5)]


def test_a_note_that_was_wrong_is_taken_back() -> None:
    state, box = leaving()
    depart_step(state, said(NOTE_ON, 48, 1000), box)
    collect(box, 0, 0, 0, RATE)
    right = said(NOTE_ON, 60, 1000, ref=1000)
    right["id"], right["emitted"] = 1002, 1600
    end = said(NOTE_OFF, 48, 1000, ref=1000)
    end["id"], end["emitted"] = 1001, 1600
    depart_step(state, np.concatenate([end, right]), box)
    assert left(box) == [(0x90, 1, 60)]
    state, box = leaving("mode=fastest")
    depart_step(state, said(NOTE_ON, 48, 1000), box)
    assert left(box) == [(0x90, 1, 48)]
    depart_step(state, np.concatenate([end, right]), box)
    assert left(box) == [(0x80, 1, 48), (0x90, 1, 60)]


def test_what_was_taken_back_is_in_no_file_and_no_score(tmp_path: Path) -> None:
    right, end, last = (
        said(NOTE_ON, 60, 48_000, ref=48_000), said(NOTE_OFF, 48, 48_000, ref=48_000), said(NOTE_OFF, 60, 96_000, ref=2)
    )  # fmt: skip
    right["id"] = 2
    events = np.concatenate([said(NOTE_ON, 48, 48_000), end, right, last])
    sink = SmfSink(tmp_path / "a.mid", load("bass"))
    sink.write(events)
    sink.close({})
    pressed = [m.note for m in mido.MidiFile(tmp_path / "a.mid") if m.type == "note_on"]
    assert pressed == [60]
    assert [(note.note, note.start, note.end) for note in notes_said(events)] == [(60, 1.0, 2.0)]


def test_without_a_split_all_share_one_channel() -> None:
    state, box = leaving("midi.low_channel=5", "midi.note_channel=3")
    for number in (21, 108):
        depart_step(state, said(NOTE_ON, number, 1000 + number), box)
    assert left(box) == [(0x90, 3, 21), (0x90, 3, 108)]
    announce_range(state, box, 0)
    assert {channel for _, channel, _ in left(box)} == {3}


def test_the_range_of_bends_is_told_on_both_channels() -> None:
    state, box = leaving(*SPLIT)
    announce_range(state, box, 0)
    told = left(box)
    assert len(told) == 12
    assert {(kind, channel) for kind, channel, _ in told} == {(0xB0, 1), (0xB0, 5)}


def test_a_note_ends_on_its_channel_though_the_preset_has_changed() -> None:
    state, box = leaving(*SPLIT)
    depart_step(state, said(NOTE_ON, 40, 1000), box)
    departure_adopt(state, load("bass", ["midi.note_channel=9"]))
    depart_step(state, said(NOTE_OFF, 40, 5000, ref=1000), box)
    depart_step(state, said(NOTE_ON, 40, 6000), box)
    assert left(box) == [(0x90, 5, 40), (0x80, 5, 40), (0x90, 9, 40)]
