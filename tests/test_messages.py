# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the wire table, said and read back."""

import json

import numpy as np
import pytest

from bridge.messages import (
    TABLE,
    end_line,
    labels_of,
    line,
    osc,
    read,
    start_line,
    velocity_byte,
)
from dsp.events import (
    BEAT,
    BEND,
    CHORD,
    CHROMA,
    DRUM,
    EVENT,
    KEY,
    KINDS,
    LEVEL,
    NOTE_OFF,
    NOTE_ON,
    ONSET,
    PEDAL,
    PITCH,
    PRESSURE,
    REFINE,
    TEMPO,
)

LINES = {
    ONSET: '{"kind":"onset","id":7,"time":1.234500,"emitted":1.238500,"velocity":0.71,"confidence":0.99}',
    DRUM: '{"kind":"drum","id":8,"onset":7,"time":1.234500,"emitted":1.240500,"label":"kick","family":"kick",'
    '"note":36,"velocity":0.71,"confidence":0.93}',
    REFINE: '{"kind":"refine","id":12,"ref":8,"time":1.234500,"emitted":1.260000,"label":"tom-low",'
    '"velocity":0.71,"confidence":0.93}',
    NOTE_ON: '{"kind":"note_on","id":20,"time":1.000000,"emitted":1.050000,"note":64,"velocity":0.52,"channel":1,'
    '"confidence":0.88}',
    NOTE_OFF: '{"kind":"note_off","id":31,"ref":20,"time":1.500000,"emitted":1.520000,"note":64,"channel":1}',
    BEND: '{"kind":"bend","id":25,"ref":20,"time":1.200000,"emitted":1.210000,"cents":-12.5}',
    PRESSURE: '{"kind":"pressure","id":33,"ref":20,"time":1.200000,"emitted":1.210000,"pressure":0.42}',
    PEDAL: '{"kind":"pedal","id":34,"time":1.200000,"emitted":1.240000,"pedal":1.0,"confidence":0.9}',
    PITCH: '{"kind":"pitch","id":26,"time":1.200000,"emitted":1.210000,"f0":82.41,"confidence":0.9}',
    KEY: '{"kind":"key","id":28,"time":4.200000,"emitted":4.200000,"key":"A minor","confidence":0.6}',
    BEAT: '{"kind":"beat","id":29,"time":4.250000,"emitted":4.230000,"bpm":120.02,"position":1,"beats":4,'
    '"confidence":0.97}',
    CHORD: '{"kind":"chord","id":31,"time":5.200000,"emitted":5.310000,"chord":"G:min7","bass":"Bb",'
    '"confidence":0.8}',
    CHROMA: '{"kind":"chroma","id":32,"time":5.200000,"emitted":5.221333,'
    '"chroma":[1.0, 0.0, 0.032, 0.0, 0.742, 0.0, 0.0, 0.903, 0.0, 0.129, 0.0, 0.484]}',
    TEMPO: '{"kind":"tempo","id":30,"time":4.230000,"emitted":4.230000,"bpm":120.02,"confidence":0.97}',
    LEVEL: '{"kind":"level","id":27,"time":1.200000,"emitted":1.200000,"level":-18.25}',
}

OSC = {
    ONSET: [("/e/onset", [0.71])],
    DRUM: [("/e/drum", ["kick", 36, 0.71, 0.93]), ("/e/drum/kick", [0.71])],
    REFINE: [("/e/drum/refine", [8, "tom-low", 0.71, 0.93])],
    NOTE_ON: [("/e/note_on", [20, 64, 0.52, 0.88])],
    NOTE_OFF: [("/e/note_off", [20, 64])],
    BEND: [("/e/bend", [20, -12.5])],
    PRESSURE: [("/e/pressure", [20, 0.42])],
    PEDAL: [("/e/pedal", [1.0])],
    PITCH: [("/e/pitch", [82.41, 0.9])],
    KEY: [("/e/key", ["A minor", 0.6])],
    BEAT: [("/e/beat", [1, 4, 120.02, 0.97])],
    CHORD: [("/e/chord", ["G:min7", "Bb", 0.8])],
    CHROMA: [("/e/chroma", [1.0, 0.0, 0.032, 0.0, 0.742, 0.0, 0.0, 0.903, 0.0, 0.129, 0.0, 0.484])],
    TEMPO: [("/e/tempo", [120.02, 0.97])],
    LEVEL: [("/e/level", [-18.25])],
}


CORRECTION = (
    '{"kind":"note_on","id":22,"time":1.000000,"emitted":1.065000,"note":76,"velocity":0.52,"channel":1,'
    '"confidence":0.93,"corrects":20}'
)


def test_a_note_that_corrects_another_says_so() -> None:
    got = read(CORRECTION)
    assert got is not None and got["ref"] == 20
    assert line(got) == CORRECTION
    assert osc(got, "/e") == [("/e/note_on", [22, 76, 0.52, 0.93])]


def event(kind: int) -> np.void:
    got = read(LINES[kind])
    assert got is not None
    return got


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_a_line_reads_back_as_the_event_it_was(kind: int) -> None:
    assert event(kind)["kind"] == kind
    assert line(event(kind)) == LINES[kind]


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_osc_says_what_the_interface_promises(kind: int) -> None:
    messages = osc(event(kind), "/e")
    assert messages == OSC[kind]
    for (_, types, _), (_, arguments) in zip(TABLE[kind].osc, messages, strict=True):
        assert [type(a) for a in arguments] == [{"s": str, "i": int, "f": float}[t] for t in types]


def test_times_keep_six_decimals_of_a_second() -> None:
    for sample in (0, 1, 47_999, 1_000_000_007):
        e = event(ONSET).copy()
        e["time"] = e["emitted"] = sample
        back = read(line(e))
        assert back is not None and back["time"] == back["emitted"] == sample


def test_what_is_not_a_number_is_never_said() -> None:
    broken = np.zeros(1, EVENT)[0]
    for kind in range(len(KINDS)):
        broken["kind"] = kind
        for bad in (np.nan, np.inf, -np.inf):
            broken["number"] = broken["value"] = broken["confidence"] = bad
            assert not {"NaN", "Infinity", "-Infinity"} & set(line(broken).replace(":", ",").split(","))
            assert json.loads(line(broken))["id"] == 0
            assert all(np.isfinite(a) for _, args in osc(broken) for a in args if isinstance(a, float))


def test_a_preset_chooses_the_notes_of_its_drums() -> None:
    labels = labels_of({"kick": 24})
    assert json.loads(line(event(DRUM), labels=labels))["note"] == 24
    assert osc(event(DRUM), labels=labels)[0] == ("/earwire/drum", ["kick", 24, 0.71, 0.93])
    assert labels[1].note == 38


def test_first_and_last_line() -> None:
    start = json.loads(start_line({"preset": "drums", "constant": {"drum": 0.0133}, "ports": {}}))
    assert start == {
        "kind": "start",
        "rate": 48000,
        "preset": "drums",
        "constant": {"drum": 0.0133},
        "ports": {},
    }
    assert json.loads(end_line({"late": 2})) == {"kind": "end", "xruns": 0, "overruns": 0, "late": 2}
    assert read(start_line({})) is None and read(end_line({})) is None


def test_velocity_byte_is_never_a_note_off() -> None:
    assert [velocity_byte(v) for v in (-1, 0, 0.001, 0.5, 1, 2, np.nan)] == [1, 1, 1, 64, 127, 127, 1]
    assert velocity_byte(0.5, curve=2) == 32 and velocity_byte(0.0, low=1) == 127
