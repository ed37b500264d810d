# SPDX-License-Identifier: GPL-3.0-or-later
"""What the synthesiser plays is there when, and as high as, it says."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from dsp.events import LABEL_ROW
from dsp.units import RATE, hz
from models.render import DRUMS, PERFORMANCES, Stroke, Tone, f0, groove, line, render

SILENT = -np.inf


@pytest.mark.parametrize("label", DRUMS)
@pytest.mark.parametrize("velocity", (0.3, 1.0))
def test_a_stroke_begins_on_its_sample(label: str, velocity: float) -> None:
    assert label in LABEL_ROW
    x = render([Stroke(0.5, label, velocity)], 2.0, hiss_db=SILENT)
    first = int(np.argmax(np.abs(x) > 1e-6))
    assert first == RATE // 2
    assert np.abs(x[first : first + RATE // 200]).max() > 0.3 * np.abs(x).max()  # within 5 ms it is there
    assert np.isfinite(x).all() and np.abs(x).max() <= 0.71


@pytest.mark.parametrize("label", DRUMS)
def test_a_harder_stroke_is_louder(label: str) -> None:
    soft, hard = (
        np.sum(render([Stroke(0.1, label, v)], 1.0, hiss_db=SILENT).astype(float) ** 2) for v in (0.3, 0.9)
    )
    assert 8 < 10 * np.log10(hard / soft) < 20


@pytest.mark.parametrize("voice", ("pluck", "bass", "voice"))
@pytest.mark.parametrize("note", (40, 52, 64))
def test_a_tone_has_its_pitch_and_its_length(voice: str, note: int) -> None:
    tone = Tone(0.25, 1.25, note, 0.8, voice)
    x = render([tone], 2.0, hiss_db=SILENT).astype(float)
    assert not x[: RATE // 4].any()
    assert np.abs(x[RATE // 4 : RATE // 4 + 50]).max() > 0
    steady = x[round(0.3 * RATE) : round(0.48 * RATE)]  # before any vibrato
    period = RATE / hz(note)
    lags = np.arange(round(0.9 * period), round(1.1 * period) + 1)
    scores = [np.dot(steady[:-lag], steady[lag:]) / steady[lag:].size for lag in lags]
    assert abs(lags[int(np.argmax(scores))] - period) <= 1
    sounding = np.sqrt(np.mean(x[round(1.1 * RATE) : round(1.2 * RATE)] ** 2))
    assert np.abs(x[round(1.45 * RATE) :]).max() < 0.01 * sounding


def test_a_sung_tone_gains_vibrato_about_its_note() -> None:
    t = np.arange(2 * RATE) / RATE
    cents = 1200 * np.log2(f0(Tone(0, 2, 57, voice="voice"), t) / hz(57))
    assert (np.abs(cents[: RATE // 5]) < 0.1).all()
    assert 28 < cents[RATE:].max() < 31 and abs(cents[RATE:].mean()) < 2


def test_the_same_seed_plays_the_same() -> None:
    strokes = [Stroke(0.1, "snare"), Stroke(0.3, "crash")]
    np.testing.assert_array_equal(render(strokes, 1.0, seed=4), render(strokes, 1.0, seed=4))
    assert (render(strokes, 1.0, seed=4) != render(strokes, 1.0, seed=5)).any()


@pytest.mark.parametrize("name", ("groove", "line"))
def test_the_shipped_performance_is_what_is_written_beside_it(name: str) -> None:
    played, seconds = groove() if name == "groove" else line()
    sound, rate = soundfile.read(PERFORMANCES / f"{name}.ogg", dtype="float32")
    want = render(played, seconds, seed=1)
    assert rate == RATE and sound.shape == want.shape
    assert np.corrcoef(sound, want)[0, 1] > 0.9  # the encoder leaves out what is not heard
    lags = range(-3, 4)
    middle = slice(100, -100)
    assert max(lags, key=lambda lag: np.dot(np.roll(sound, lag)[middle], want[middle])) == 0
    rows = [row.split() for row in (PERFORMANCES / f"{name}.txt").read_text().splitlines()]
    assert [float(row[0]) for row in rows] == [p.time for p in played]
    assert sum(f.stat().st_size for f in PERFORMANCES.iterdir() if f.is_file()) < 400_000


def test_the_groove_shows_what_there_is() -> None:
    strokes, seconds = groove()
    counts = Counter(stroke.label for stroke in strokes)
    assert set(counts) >= {"kick", "snare", "hat-closed", "hat-open", "tom-high", "tom-low", "crash"}
    assert seconds + line()[1] < 20
    assert all(0 < s.time < seconds - 0.5 for s in strokes)
