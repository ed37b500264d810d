# SPDX-License-Identifier: GPL-3.0-or-later
"""An MPE zone: a channel a note, live and in a file."""

from pathlib import Path

import mido
import numpy as np
import pytest

from bridge.errors import PresetError
from bridge.midi.departure import announce_range, depart_step, departure_adopt
from bridge.midi.zone import zone, zone_free, zone_of, zone_take
from bridge.preset import load
from bridge.sinks.smf import SmfSink
from dsp.events import BEND, NOTE_OFF, NOTE_ON, PRESSURE
from tests.test_departure import leaving, left, said

MPE = "midi.mpe=true"
MANY = (MPE, 'notes.lines="many"')


def test_a_free_channel_is_taken_the_one_free_for_longest_first() -> None:
    members = zone(3)
    assert [zone_take(members, id) for id in (11, 12, 13)] == [1, 2, 3]
    zone_free(members, 12)
    zone_free(members, 11)
    assert [zone_take(members, id) for id in (14, 15)] == [2, 1]
    assert zone_of(members, 13) == 3 and zone_of(members, 12) == -1


def test_where_none_is_free_the_oldest_note_shares_and_bends_no_more() -> None:
    members = zone(2)
    assert [zone_take(members, id) for id in (1, 2, 3)] == [1, 2, 1]
    assert zone_of(members, 1) == -1 and zone_of(members, 3) == 1
    zone_free(members, 1)  # which no longer holds it
    assert zone_of(members, 3) == 1


def test_each_note_bends_and_swells_on_its_own_channel() -> None:
    state, box = leaving(*MANY)
    depart_step(state, said(NOTE_ON, 60, 1000), box)
    depart_step(state, said(NOTE_ON, 64, 1100), box)
    depart_step(state, said(BEND, 30.0, 2000, ref=1000), box)
    depart_step(state, said(PRESSURE, 0, 2100, ref=1100), box)
    depart_step(state, said(NOTE_OFF, 64, 3000, ref=1100), box)
    assert [(kind, channel) for kind, channel, _ in left(box)] == [
        (0x90, 2),
        (0x90, 3),
        (0xE0, 2),
        (0xD0, 3),
        (0x80, 3),
    ]


def test_a_channel_taken_again_is_straight_and_unpressed_first() -> None:
    state, box = leaving(*MANY, "midi.drum_channel=4", "drums.enabled=true")
    assert int(state.zone.size[0]) == 2
    for id in (1000, 1100):
        depart_step(state, said(NOTE_ON, 60 + id % 7, id), box)
    depart_step(state, said(BEND, 30.0, 2000, ref=1000), box)
    depart_step(state, said(PRESSURE, 0, 2000, ref=1000), box)
    left(box)
    depart_step(state, said(NOTE_ON, 72, 3000), box)
    assert left(box) == [(0xE0, 2, 0), (0xD0, 2, 0), (0x90, 2, 72)]


def test_notes_that_share_a_channel_do_not_bend_it() -> None:
    state, box = leaving('notes.lines="many"', "notes.expression=true")
    depart_step(state, said(NOTE_ON, 60, 1000), box)
    depart_step(state, said(BEND, 30.0, 2000, ref=1000), box)
    depart_step(state, said(PRESSURE, 0, 2000, ref=1000), box)
    assert left(box) == [(0x90, 1, 60)]


def test_the_zone_and_the_reach_of_its_bends_are_announced() -> None:
    state, box = leaving(*MANY)
    announce_range(state, box, 0)
    told = left(box)
    assert len(told) == 6 * 16 and {channel for _, channel, _ in told} == set(range(1, 17))
    wheel = said(BEND, 4800.0, 2000, ref=1000)
    depart_step(state, said(NOTE_ON, 60, 1000), box)
    depart_step(state, wheel, box)
    assert int(box.ring.data[int(box.ring.counts[0]) - 1]["data2"]) == 127  # 48 semitones are all it has


def test_a_zone_that_is_left_is_ended() -> None:
    state, box = leaving(*MANY)
    announce_range(state, box, 0)
    left(box)
    departure_adopt(state, load("piano"))
    announce_range(state, box, 0)
    began = int(box.ring.counts[0]) - 12
    told = [(int(m["status"]), int(m["data1"]), int(m["data2"])) for m in box.ring.data[began : began + 3]]
    assert told == [(0xB0, 101, 0), (0xB0, 100, 6), (0xB0, 6, 0)]
    left(box)
    announce_range(state, box, 0)
    assert len(left(box)) == 6  # once is enough: the reach of bends alone


def test_a_preset_without_room_for_a_zone_says_which_channel_is_in_the_way() -> None:
    with pytest.raises(PresetError, match="drum_channel is 2"):
        load("drums", [MPE, "midi.drum_channel=2"])
    assert (
        load("drums", [MPE]).zone_size == 8
        and load("piano", [MPE]).zone_size == 15
        and load("piano").zone_size == 0
    )
    assert load("piano", [MPE]).notes.expression


def test_a_file_of_a_zone_has_a_track_for_each_channel(tmp_path: Path) -> None:
    sink = SmfSink(path := tmp_path / "a.mid", load("piano", [MPE]))
    sink.write(np.concatenate([said(NOTE_ON, 60, 48_000), said(NOTE_ON, 64, 48_100)]))
    sink.write(np.concatenate([said(BEND, 100.0, 60_000, ref=48_100), said(PRESSURE, 0, 60_000, ref=48_000)]))
    sink.write(
        np.concatenate([said(NOTE_OFF, 60, 96_000, ref=48_000), said(NOTE_OFF, 64, 96_000, ref=48_100)])
    )
    sink.close({})
    tracks = mido.MidiFile(path).tracks
    head = [(m.control, m.value) for m in tracks[0] if m.type == "control_change"]
    assert head[:3] == [(101, 0), (100, 6), (6, 15)]
    by_channel = {m.channel: track for track in tracks[1:] for m in track if m.type == "note_on"}
    assert sorted(by_channel) == [1, 2]
    assert [m.value for m in by_channel[1] if m.type == "aftertouch"] == [0, 64]
    assert [m.pitch for m in by_channel[2] if m.type == "pitchwheel"] == [round(8192 / 48), 0]
    assert not [m for m in by_channel[1] if m.type == "pitchwheel"]
