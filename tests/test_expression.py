# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes that sound together bend and swell, each alone."""

import numpy as np
import pytest

from bridge.preset import load
from bridge.transcribe import transcribe
from dsp.events import BEND, NOTE_ON, PRESSURE
from dsp.expression import detuned, swell
from dsp.tones import LOWEST, tones_of
from dsp.units import RATE, hz

T = np.arange(int(1.5 * RATE)) / RATE


def saw(midi: float, cents: np.ndarray | float = 0.0, level: float = 0.1) -> np.ndarray:
    """A tone with twelve overtones, `cents` off."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz(midi) * 2 ** (np.asarray(cents) / 1200), T.shape)) / RATE
    partials = [np.sin(k * phase) / k for k in range(1, 12) if k * hz(midi) < 20_000]
    return level * np.sum(partials, axis=0)


def seen(sound: np.ndarray, midi: int) -> list[tuple[float, float]]:
    powers = tones_of(sound.astype(np.float32))
    return [detuned(powers[frame], midi - LOWEST) for frame in range(60, 150, 10)]


@pytest.mark.parametrize("midi", [40, 52, 57, 64, 76, 88])
@pytest.mark.parametrize("cents", [-40, -20, 0, 10, 30])
def test_how_far_a_tone_is_off_is_told_to_a_few_cents(midi: int, cents: int) -> None:
    for told, clear in seen(saw(midi, cents), midi):
        assert abs(told - cents) < 8 and clear > 0.3


def test_each_tone_of_a_chord_is_told_apart() -> None:
    truth = {45: 12, 52: -15, 57: 0, 61: 20, 64: -8}
    chord = np.sum([saw(midi, cents) for midi, cents in truth.items()], axis=0)
    wrong = [abs(np.median([c for c, w in seen(chord, m) if w]) - cents) for m, cents in truth.items()]
    assert np.median(wrong) < 5 and max(wrong) < 16


def test_nothing_stands_out_of_noise_or_silence() -> None:
    assert all(told == (0, 0) for told in seen(0 * T, 60))
    assert swell(tones_of(np.zeros(RATE, np.float32))[-1], 39) == 0


def test_louder_is_more_pressure_a_decibel_like_another() -> None:
    loud = [
        swell(tones_of(saw(60, level=10 ** (db / 20)).astype(np.float32))[100], 39)
        for db in (-50, -40, -30, -20)
    ]
    np.testing.assert_allclose(np.diff(loud), 10 / 54, rtol=0.05)


def test_vibrato_of_one_note_in_a_chord_is_followed_and_the_others_stay() -> None:
    vibrato = 30 * np.sin(2 * np.pi * 5 * T) * (T > 0.5)
    sound = np.concatenate([np.zeros(RATE // 4), saw(60, vibrato) + saw(67) + saw(52), np.zeros(RATE // 2)])
    events = transcribe(iter([sound.astype(np.float32)]), RATE, load("piano", ["midi.mpe=true"])).events
    notes = {int(e["id"]): int(e["number"]) for e in events if e["kind"] == NOTE_ON}
    bends = {
        midi: [e for e in events if e["kind"] == BEND and notes[int(e["ref"])] == midi]
        for midi in (52, 60, 67)
    }
    assert len(bends[60]) > 15 > 4 * max(len(bends[52]), len(bends[67]))
    at = np.array([e["time"] / RATE - 0.25 for e in bends[60]])
    said = np.array([float(e["number"]) for e in bends[60]])
    fitting = at > 0.6
    assert np.corrcoef(said[fitting], np.interp(at[fitting], T, vibrato))[0, 1] > 0.8
    assert np.ptp(said[fitting]) > 25
    pressed = {notes[int(e["ref"])] for e in events if e["kind"] == PRESSURE}
    assert {52, 60, 67} <= pressed


def test_without_being_asked_notes_that_sound_together_keep_still() -> None:
    sound = (saw(60, 30) + saw(67, -30)).astype(np.float32)
    kinds = set(transcribe(iter([sound]), RATE, load("piano")).events["kind"])
    assert NOTE_ON in kinds and not kinds & {BEND, PRESSURE}


def test_bends_alone_can_be_turned_off() -> None:
    settings = ["midi.mpe=true", "notes.bend=false"]
    kinds = set(
        transcribe(iter([saw(60, 30).astype(np.float32)]), RATE, load("piano", settings)).events["kind"]
    )
    assert PRESSURE in kinds and BEND not in kinds


def test_a_line_that_swells_says_so() -> None:
    sound = (saw(60) * np.minimum(1, 0.1 + T / 1.2)).astype(np.float32)
    events = transcribe(iter([sound]), RATE, load("voice", ["notes.expression=true"])).events
    pressed = events[events["kind"] == PRESSURE]["value"]
    assert len(pressed) > 4 and pressed[-1] > pressed[0] + 0.15
    assert (np.diff(pressed) > -0.05).all()
