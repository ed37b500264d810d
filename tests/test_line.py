# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of one line: the right ones, in time, ended, and none where nobody plays."""

from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.events import BEND, EVENT, NOTE_OFF, NOTE_ON, PITCH
from dsp.kernel import KERNELS
from dsp.line import ROOM, Line, LineState, line_params, line_state, line_step
from dsp.notes import NoteSettings
from dsp.stage import Spec
from dsp.tones import FRAME
from dsp.units import HOP, RATE, gain, hz, samples
from models.line import load as judge
from models.notes import load as ear
from models.train.lines import RANGES, line, midi_file, write_reference
from tests.contract import forbidden_calls, verify_contract

HOPS = Spec(hop=HOP, shape=(HOP,), capacity=2000)


def hops(sound: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(sound[: len(sound) // HOP * HOP].reshape(-1, HOP), np.float32)


def state_of(settings_: NoteSettings, ids: np.ndarray | None = None) -> LineState:
    return line_state(settings_, ear(), judge(), np.zeros(1, np.int64) if ids is None else ids)


def heard(sound: np.ndarray, settings_: NoteSettings | None = None) -> np.ndarray:
    """All events of a sound, checked for what must hold of any."""
    settings_ = settings_ or NoteSettings()
    state = state_of(settings_)
    x = hops(sound)
    out = np.zeros(len(x) * 4 + ROOM, EVENT)
    events = out[: line_step(state, x, out)]
    assert (np.diff(events["emitted"]) >= 0).all()
    assert (events["emitted"] % HOP == 0).all()
    np.testing.assert_array_equal(events["id"], np.arange(1, len(events) + 1))
    turns = events[np.isin(events["kind"], (NOTE_ON, NOTE_OFF))]
    assert (turns["emitted"] - turns["time"] <= samples(settings_.decision_ms)).all()
    assert (events["time"] <= events["emitted"]).all() and (events["time"] >= 0).all()
    sounding, last = 0, 0
    for event in events:
        if event["kind"] == NOTE_ON:
            assert sounding == 0, "one line never sounds two notes"
            assert 0 < event["value"] <= 1 and event["number"] == round(float(event["number"]))
            assert event["ref"] or event["time"] >= last, "no note begins before the last has ended"
            sounding, last = event["id"], event["time"]
        elif event["kind"] == NOTE_OFF:
            assert event["ref"] == sounding != 0
            assert event["time"] > last or settings_.repitch, "no note ends before it has begun"
            last = event["time"]
            sounding = 0
        elif event["kind"] == BEND:
            assert event["ref"] == sounding != 0
        assert event["channel"] == 1 and event["label"] == -1
    return events.copy()


def kind(events: np.ndarray, which: int) -> np.ndarray:
    return events[events["kind"] == which]


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


def saw(f0: float | np.ndarray, seconds: float) -> np.ndarray:
    """A blown note: ten partials, 8 ms to speak, 20 ms to stop."""
    n = round(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, n)) / RATE
    top = float(np.max(f0))
    sound = sum(np.sin(k * phase + k * k) / k for k in range(1, 11) if k * top < 16_000)
    t = np.arange(n) / RATE
    return 0.3 * np.asarray(sound) * np.minimum(1, t / 0.008) * np.minimum(1, (seconds - t) / 0.02)


def sine(f0: float, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.4 * np.sin(2 * np.pi * f0 * t) * np.minimum(1, t / 0.005) * np.minimum(1, (seconds - t) / 0.02)


def pluck(f0: float, seconds: float) -> np.ndarray:
    """A damped string: twelve partials, the higher the sooner gone."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = sum(
        np.sin(2 * np.pi * k * f0 * t) / k * np.exp(-t * (1 + 0.6 * k))
        for k in range(1, 13)
        if k * f0 < 16_000
    )
    return 0.3 * np.asarray(sound) * np.minimum(1, t / 0.002) * np.minimum(1, (seconds - t) / 0.02)


def melody(voice, notes: list[int], seconds: float = 0.3, gap: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """(sound, starts [samples]) of notes one after the other."""
    parts, starts, now = [silence(0.2)], [], round(0.2 * RATE)
    for midi in notes:
        starts.append(now)
        parts += [voice(hz(midi), seconds), silence(gap)]
        now += len(parts[-1]) + len(parts[-2])
    return np.concatenate([*parts, silence(0.3)]), np.array(starts)


SCALE = [28, 33, 40, 45, 50, 55, 60, 64, 67, 71, 76, 79, 84]


@pytest.mark.parametrize("voice", [sine, saw, pluck])
@pytest.mark.parametrize("db", [0, -40])
def test_every_note_of_a_scale_from_e1_to_c6_is_found_once_and_in_time(voice, db):
    sound, starts = melody(voice, SCALE)
    events = heard(gain(db) * sound)
    on, off = kind(events, NOTE_ON), kind(events, NOTE_OFF)
    assert list(on["number"]) == SCALE
    early = np.abs(on["time"] - starts)  # two periods of the lowest two are longer than `decision_ms`
    assert (early[2:] < samples(20)).all() and (early < samples(40)).all()
    late = on["emitted"] - starts
    assert (late[2:] <= samples(60 if voice is sine else 40)).all() and (late <= samples(75)).all()
    assert (np.abs(off["time"] - (starts + round(0.3 * RATE))) < samples(50)).all()


def test_a_note_struck_again_is_a_new_note():
    one = pluck(hz(52), 0.25)
    sound = np.concatenate([silence(0.2), *[one] * 6, silence(0.3)])
    on = kind(heard(sound), NOTE_ON)
    assert list(on["number"]) == [52] * 6
    starts = round(0.2 * RATE) + np.arange(6) * len(one)
    assert (np.abs(on["time"] - starts) < samples(20)).all()


def test_legato_without_any_rise_is_a_new_note():
    notes = [60, 62, 64, 60, 67, 55]
    f0 = np.repeat([hz(n) for n in notes], round(0.25 * RATE))
    on = kind(heard(np.concatenate([silence(0.2), saw(f0, 1.5), silence(0.3)])), NOTE_ON)
    assert list(on["number"]) == notes
    starts = round(0.2 * RATE) + np.arange(6) * round(0.25 * RATE)
    assert (np.abs(on["time"] - starts) < samples(30)).all()


def test_vibrato_bends_one_note_and_does_not_break_it():
    t = np.arange(RATE) / RATE
    f0 = hz(69 + 0.4 * np.sin(2 * np.pi * 5.5 * t))
    events = heard(np.concatenate([silence(0.2), saw(f0, 1.0), silence(0.3)]))
    assert list(kind(events, NOTE_ON)["number"]) == [69]
    bends = kind(events, BEND)
    assert bends["number"].max() > 20 and bends["number"].min() < -20 and np.abs(bends["number"]).max() < 60
    assert len(bends) > 20 and (np.diff(bends["emitted"]) >= FRAME).all()
    still = heard(np.concatenate([silence(0.2), saw(f0, 1.0), silence(0.3)]), NoteSettings(bend=False))
    assert len(kind(still, BEND)) == 0


def test_what_lies_beside_the_scale_is_drawn_to_it_and_vibrato_stays():
    t = np.arange(RATE) / RATE
    wobble = hz(61 + 0.4 * np.sin(2 * np.pi * 5 * t) * (t > 0.3))
    sound = np.concatenate([silence(0.3), saw(wobble, 1.0), silence(0.3)])
    events, plain = heard(sound, NoteSettings(scale="C major")), heard(sound)
    assert set(kind(plain, NOTE_ON)["number"]) == {61}
    assert set(kind(events, NOTE_ON)["number"]) == set(kind(events, NOTE_OFF)["number"]) == {60}
    for which in (NOTE_ON, NOTE_OFF):
        np.testing.assert_array_equal(kind(events, which)["time"], kind(plain, which)["time"])
    np.testing.assert_array_equal(kind(events, BEND)["number"], kind(plain, BEND)["number"])
    assert len(kind(events, BEND)) > 10


def test_a_steady_note_is_not_bent():
    assert len(kind(heard(np.concatenate([silence(0.1), saw(hz(57), 1.0), silence(0.2)])), BEND)) == 0


def noise(seconds: float, db: float) -> np.ndarray:
    return gain(db) * np.random.default_rng(3).standard_normal(round(seconds * RATE))


def clicks() -> np.ndarray:
    sound = silence(2.0)
    sound[RATE // 10 :: RATE // 5] = 0.9
    return sound


def breaths() -> np.ndarray:
    """Noise through a broad resonance, swelling and fading, as a consonant or a breath is."""
    shaped = np.convolve(noise(2.0, -20), np.exp(-np.arange(60) / 12) * np.cos(np.arange(60) * 0.35), "same")
    return shaped * np.sin(np.pi * np.arange(len(shaped)) / RATE * 3) ** 2 * 0.3


@pytest.mark.parametrize(
    "sound", [silence(1), noise(2, -20), noise(2, -60), clicks(), breaths(), np.full(RATE, 0.3)]
)
def test_nothing_is_played_where_there_is_no_pitch(sound):
    assert len(heard(sound)) == 0


def test_velocity_follows_the_attack():
    values = [
        kind(heard(np.concatenate([silence(0.1), gain(db) * pluck(hz(57), 0.4), silence(0.2)])), NOTE_ON)[
            "value"
        ][0]
        for db in (-36, -24, -12, 0)
    ]
    assert (np.diff(values) > 0.1).all()


def test_a_note_that_still_sounds_when_the_input_stops_is_ended_by_silence():
    events = heard(np.concatenate([silence(0.1), saw(hz(60), 0.3)[: round(0.2 * RATE)], silence(0.3)]))
    assert len(kind(events, NOTE_ON)) == len(kind(events, NOTE_OFF)) == 1


def test_pitch_comes_every_ten_ms_when_asked():
    events = heard(np.concatenate([silence(0.5), saw(hz(57), 0.5)]), NoteSettings(pitch=True))
    pitch = kind(events, PITCH)
    assert (np.diff(pitch["time"]) == samples(10)).all()
    assert (pitch["number"][:45] == 0).all()
    np.testing.assert_allclose(pitch["number"][60:90], hz(57), rtol=0.005)
    assert len(kind(heard(saw(hz(57), 0.5)), PITCH)) == 0


def test_a_narrower_range_decides_sooner():
    sound, starts = melody(pluck, [45, 47, 48, 50], 0.3)
    wide, guitar = (kind(heard(sound, NoteSettings(low=low)), NOTE_ON) for low in (21, 40))
    assert list(guitar["number"]) == [45, 47, 48, 50]
    assert np.median(guitar["emitted"] - starts) <= np.median(wide["emitted"] - starts)
    assert len(heard(melody(saw, [33], 0.5)[0], NoteSettings(low=60))) <= 2


def test_disabled_says_nothing_and_a_reload_wakes_it():
    state = state_of(NoteSettings(enabled=False))
    out = np.zeros(4000, EVENT)
    x = hops(np.concatenate([silence(0.1), saw(hz(60), 0.4), silence(0.2)]))
    assert line_step(state, x, out) == 0
    state.params[...] = line_params(NoteSettings(low=40))
    n = line_step(state, x, out)
    on = kind(out[:n], NOTE_ON)
    assert list(on["number"]) == [60]
    assert on["time"][0] >= len(x) * HOP, "the clock went on while nothing was said"


def test_ids_are_shared_with_other_detectors():
    ids = np.array([41])
    out = np.zeros(4000, EVENT)
    n = line_step(state_of(NoteSettings(), ids), hops(np.concatenate([silence(0.1), saw(hz(60), 0.4)])), out)
    assert out["id"][0] == 42 and ids[0] == 41 + n


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=12))
def test_contract(cuts):
    sound = np.concatenate([melody(pluck, [40, 52, 52, 64], 0.2, 0.02)[0], saw(hz(69), 0.2), silence(0.1)])
    events = verify_contract(lambda: Line(ear(), judge(), NoteSettings(pitch=True)), hops(sound), HOPS, cuts)
    assert len(kind(events, NOTE_ON)) == 5


def test_kernels_stay_on_the_audio_path():
    heard(silence(0.1))
    mine = [k for k in KERNELS if k.py_func.__module__ == "dsp.line"]
    assert mine
    for compiled in mine:
        assert forbidden_calls(compiled) == [], compiled.py_func.__name__


def test_lines_are_seeded_in_range_and_one_at_a_time(tmp_path: Path):
    for program, (low, high) in RANGES.items():
        notes = line(program, 5)
        assert notes == line(program, 5) != line(program, 6)
        assert all(low <= n.midi <= high and 0.099 < n.off - n.on < 1.001 for n in notes)
        assert all(a.off <= b.on for a, b in pairwise(notes))
        assert len({n.midi for n in notes}) > 5 and notes[-1].off < 30


def test_the_score_that_is_rendered_is_the_reference(tmp_path: Path):
    notes = line(24, 1)
    write_reference(notes, tmp_path / "ref.txt")
    midi_file(notes, 24).save(tmp_path / "line.mid")
    now, started = 0.0, []
    for message in mido.MidiFile(tmp_path / "line.mid"):
        now += message.time
        if message.type == "note_on" and message.velocity:
            started.append((now, message.note, message.velocity))
    reference = np.loadtxt(tmp_path / "ref.txt")
    np.testing.assert_allclose(np.array(started), reference[:, [0, 2, 3]], atol=6e-4)


def mistaken(wrong: float = 57.0, right: float = 64.0, ms: float = 16.0) -> np.ndarray:
    """A note that seems to be another at first."""
    first = round(RATE * ms / 1000)
    f0 = np.append(np.full(first, hz(wrong)), np.full(RATE // 2, hz(right)))
    return np.concatenate([silence(0.3), saw(f0, len(f0) / RATE), silence(0.4)])


def test_a_note_of_the_wrong_pitch_is_taken_back_soon() -> None:
    events = heard(mistaken(), NoteSettings(decision_ms=80, repitch=True))
    wrong, right = kind(events, NOTE_ON)
    assert (wrong["number"], right["number"]) == (57, 64)
    assert right["ref"] == wrong["id"] and right["time"] == wrong["time"]
    assert 0 < right["emitted"] - wrong["emitted"] <= samples(20)
    assert right["value"] >= wrong["value"]
    both = heard(mistaken(), NoteSettings(decision_ms=80))
    assert not kind(both, NOTE_ON)["ref"].any()


def test_what_is_taken_back_leaves_a_fast_run_whole() -> None:
    f0 = np.concatenate([np.full(round(0.075 * RATE), hz(note)) for note in (60, 62, 64, 65, 67, 69)])
    run = np.concatenate([silence(0.2), saw(f0, len(f0) / RATE), silence(0.3)])
    notes = kind(heard(run, NoteSettings(repitch=True)), NOTE_ON)
    kept = notes[~np.isin(notes["id"], notes["ref"])]
    assert kept["number"].tolist() == [60, 62, 64, 65, 67, 69]
    assert (np.diff(kept["time"]) > samples(50)).all()
