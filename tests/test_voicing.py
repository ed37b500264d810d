# SPDX-License-Identifier: GPL-3.0-or-later
"""Chords are played: laid out on a keyboard, one in the place of the other, live and in a MIDI file."""

from pathlib import Path

import mido
import numpy as np
import pytest

from bridge.midi.departure import CLOCK, depart_step, departure, departure_adopt
from bridge.midi.outbox import BYTES, FRAMES, MESSAGE, collect, deliver, outbox
from bridge.midi.voicing import BASS, LOWEST, voicing, voicings
from bridge.preset import Preset, load
from bridge.sinks.smf import SmfSink
from dsp.events import CHORD, CHORDS, DEGREES, EVENT, NO_CHORD, QUALITIES, TONICS
from dsp.units import RATE


def chords(*rows: tuple[float, str, str]) -> np.ndarray:
    out = np.zeros(len(rows), EVENT)
    for k, (time, name, bass) in enumerate(rows):
        out[k]["id"], out[k]["kind"], out[k]["time"] = k + 1, CHORD, round(time * RATE)
        out[k]["emitted"] = out[k]["time"] + RATE // 4
        out[k]["number"], out[k]["label"] = CHORDS.index(name), TONICS.index(bass) if bass in TONICS else -1
    return out


SONG = chords((0.5, "C:maj", "C"), (1.0, "A:min7", "G"), (1.5, "N", "N"))
PLAYED = {1: [36, 55, 60, 64], 2: [43, 55, 57, 60, 64], 3: []}


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_chord_holds_its_notes_and_no_others_over_its_bass(quality: str) -> None:
    for root in range(12):
        notes = voicing(CHORDS.index(f"{TONICS[root]}:{quality}"), 7)
        assert notes[0] % 12 == 7 and BASS <= notes[0] < BASS + 12
        assert {note % 12 for note in notes[1:]} == {(root + degree) % 12 for degree in DEGREES[quality]}
        assert notes[1:] == sorted(set(notes[1:])) and notes[1] >= LOWEST and notes[-1] < LOWEST + 12
    assert voicing(NO_CHORD, -1) == [] and (voicings()[NO_CHORD] == -1).all()


class Port:
    """Where chords leave by; frame 0 is sample 0."""

    def __init__(self, preset: Preset) -> None:
        self.state = departure(preset)
        clock = self.state.clock
        clock["kind"], clock["rate"], clock["path"] = FRAMES, RATE, 64
        assert clock.dtype == CLOCK
        self.box, self._out = outbox(np.zeros(BYTES, np.uint8)), np.zeros(64, MESSAGE)

    def play(self, event: np.ndarray) -> list[tuple[int, int]]:
        """(status, note) of all that leaves at once."""
        depart_step(self.state, event, self.box)
        now = int(event["emitted"][0])
        collect(self.box, now, 0, now, RATE)
        n = deliver(self.box, now, now + 64, self._out)
        return [(int(m["status"]), int(m["data1"])) for m in self._out[:n]]


def test_each_chord_takes_the_place_of_the_one_before() -> None:
    port = Port(load("harmony", ["midi.chord_channel=3"]))
    before: list[int] = []
    for k in range(3):
        left = port.play(SONG[k : k + 1])
        now = PLAYED[k + 1]
        assert sorted(note for status, note in left if status == 0x82) == sorted(before)
        assert sorted(note for status, note in left if status == 0x92) == now
        before = now
    assert (port.box.ledger == 0).all()


def test_chords_are_played_only_where_asked_for_and_end_where_no_longer() -> None:
    assert Port(load("harmony")).play(SONG[:1]) == []
    port = Port(load("harmony", ["midi.chord_channel=3"]))
    port.play(SONG[:1])
    departure_adopt(port.state, load("harmony"))
    assert [status for status, _ in port.play(SONG[1:2])] == [0x82] * 4
    assert (port.box.ledger == 0).all()


def test_a_midi_file_has_a_track_of_chords(tmp_path: Path) -> None:
    for channel in (0, 3):
        sink = SmfSink(tmp_path / "x.mid", load("harmony", [f"midi.chord_channel={channel}"]))
        sink.open({})
        sink.write(SONG)
        sink.close({})
        tracks = {track.name: track for track in mido.MidiFile(tmp_path / "x.mid").tracks}
        assert ("chords" in tracks) == (channel > 0)
    at, begun, ended = 0, [], []
    for message in tracks["chords"]:
        at += message.time
        if message.type == "note_on":
            begun.append((at, message.note, message.channel))
        elif message.type == "note_off":
            ended.append((at, message.note))
    assert [note for _, note, _ in begun] == PLAYED[1] + PLAYED[2] and {c for *_, c in begun} == {2}
    assert {at for at, *_ in begun} == {960, 1920} and len(ended) == 9
    assert max(at for at, _ in ended) == 2880
