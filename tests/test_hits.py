# SPDX-License-Identifier: GPL-3.0-or-later
"""Every stroke gets a name in time, and plain drums their own."""

import numpy as np
import pytest

from dsp.drums import Drums, drums_params, drums_state, drums_step
from dsp.events import DRUM, EVENT, LABELS, ONSET
from dsp.hits import DECISIONS, NAMES, DrumSettings, hits_state, table
from dsp.onset import OnsetSettings
from dsp.stage import Spec
from dsp.units import HOP, RATE, samples
from tests.contract import forbidden_calls, verify_contract

HOPS = Spec(hop=HOP, shape=(HOP,))


def kick(rng: np.random.Generator) -> np.ndarray:
    t = np.arange(RATE // 3) / RATE
    phase = 2 * np.pi * 55 * (t - 0.03 * np.exp(-t / 0.03) + 0.03)
    return np.sin(phase) * np.exp(-t / 0.09) + 0.1 * rng.standard_normal(len(t)) * np.exp(-t / 0.002)


def snare(rng: np.random.Generator) -> np.ndarray:
    t = np.arange(RATE // 4) / RATE
    body = np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.06) + 0.5 * np.sin(2 * np.pi * 330 * t) * np.exp(
        -t / 0.04
    )
    return 0.6 * body + 0.4 * rng.standard_normal(len(t)) * np.exp(-t / 0.07)


def hat(rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(RATE // 10)
    for _ in range(3):  # differences let only the top through
        noise = np.diff(noise)
    return 0.1 * noise * np.exp(-np.arange(len(noise)) / (0.02 * RATE))


DRUMS = {"kick": kick, "snare": snare, "hat": hat}


def beat(seed: int, bars: int = 4, gain: float = 0.5) -> tuple[np.ndarray, list[tuple[int, set[str]]]]:
    """Eighths of hats with kick and snare, and what is struck when."""
    rng = np.random.default_rng(seed)
    x, truth = np.zeros(bars * 2 * RATE + RATE), []
    for eighth in range(bars * 8):
        time = RATE // 2 + eighth * RATE // 4 + int(rng.integers(0, HOP))
        struck = (
            {"hat"} | ({"kick"} if eighth % 4 == 0 else set()) | ({"snare"} if eighth % 4 == 2 else set())
        )
        for name in sorted(struck):
            sound = DRUMS[name](rng) * gain * (0.3 if name == "hat" else 1)
            x[time : time + len(sound)] += sound
        truth.append((time, struck))
    return x + 1e-5 * rng.standard_normal(len(x)), truth


def hops(x: np.ndarray) -> np.ndarray:
    return x[: len(x) // HOP * HOP].astype(np.float32).reshape(-1, HOP)


def heard(x: np.ndarray, onset: OnsetSettings | None = None, drums: DrumSettings | None = None) -> np.ndarray:
    ears, frames = Drums(onset, drums), hops(x)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    return out[: ears.process(frames, out=out)].copy()


def test_the_table_is_whole() -> None:
    first, second = table()
    assert len(first) == len(second) == len(DECISIONS)
    assert np.isfinite(first).all() and np.isfinite(second).all()
    assert (np.abs(first).max((1, 2)) > 0).all() and (np.abs(second).max((1, 2)) > 0).all()


@pytest.mark.parametrize(("onset_ms", "drums_ms"), [(8, 12), (8, 3), (3, 3), (8, 5), (30, 60), (8, 20)])
def test_every_stroke_is_named_in_time(onset_ms: float, drums_ms: float) -> None:
    x, _ = beat(1)
    events = heard(x, OnsetSettings(decision_ms=onset_ms), DrumSettings(decision_ms=drums_ms))
    strokes, drums = events[events["kind"] == ONSET], events[events["kind"] == DRUM]
    assert len(strokes) >= 30
    assert set(drums["ref"]) == set(strokes["id"])
    assert (strokes["emitted"] - strokes["time"] <= samples(min(onset_ms, drums_ms))).all()
    assert (drums["emitted"] - drums["time"] <= samples(drums_ms)).all()
    time_of = dict(zip(strokes["id"], strokes["time"], strict=True))
    assert all(drum["time"] == time_of[drum["ref"]] for drum in drums)
    assert (drums["channel"] == 10).all()
    assert all(LABELS[drum["label"]].note == drum["number"] for drum in drums)
    assert ((drums["value"] > 0) & (drums["value"] <= 1)).all()
    assert ((drums["confidence"] >= 0) & (drums["confidence"] <= 1)).all()
    np.testing.assert_array_equal(events["id"], np.arange(1, len(events) + 1))
    for stroke in strokes:
        families = [LABELS[drum["label"]].family for drum in drums if drum["ref"] == stroke["id"]]
        assert len(families) == len(set(families)) >= 1


def test_plain_drums_get_their_names() -> None:
    right = wrong = missed = 0
    for gain in (0.7, 0.1):
        x, truth = beat(2, gain=gain)
        drums = heard(x)
        drums = drums[drums["kind"] == DRUM]
        for time, struck in truth:
            said = {LABELS[d["label"]].family for d in drums[np.abs(drums["time"] - time) < samples(10)]}
            right, wrong, missed = (
                right + len(said & struck),
                wrong + len(said - struck),
                missed + len(struck - said),
            )
    assert 2 * right / (2 * right + wrong + missed) > 0.75


def test_louder_is_never_softer() -> None:
    velocities = []
    for gain in (0.01, 0.03, 0.1, 0.3, 0.9):
        rng = np.random.default_rng(3)
        x = np.zeros(RATE)
        x[5000 : 5000 + RATE // 3] = gain * kick(rng)
        drums = heard(x)
        kicks = drums[(drums["kind"] == DRUM) & (drums["number"] == 36)]
        assert len(kicks) == 1
        velocities.append(float(kicks["value"][0]))
    assert (np.diff(velocities) > 0).all()


def test_drums_without_onsets_and_onsets_without_drums() -> None:
    x, _ = beat(4)
    both = heard(x)
    drums = heard(x, OnsetSettings(enabled=False))
    strokes = heard(x, None, DrumSettings(enabled=False))
    assert (drums["kind"] == DRUM).all() and (strokes["kind"] == ONSET).all()
    np.testing.assert_array_equal(drums, both[both["kind"] == DRUM])
    np.testing.assert_array_equal(strokes["time"], both[both["kind"] == ONSET]["time"])


def test_ears_that_are_off_keep_the_clock() -> None:
    x, truth = beat(5, bars=2)
    frames, ids = hops(x), np.zeros(1, np.int64)
    off = OnsetSettings(enabled=False), DrumSettings(enabled=False)
    state, out = drums_state(*off, ids), np.zeros(16 * len(frames), EVENT)
    half = len(frames) // 2
    assert drums_step(state, frames[:half], out) == 0
    # A live reload overwrites the parameters and nothing else.
    state.onset.params[...], state.hits.params[...] = drums_params(OnsetSettings(), DrumSettings())
    events = out[: drums_step(state, frames[half:], out)]
    times = [time for time, _ in truth if time > (half + 20) * HOP]
    found = events["time"][events["kind"] == ONSET]
    assert all(np.abs(found - time).min() <= 2 for time in times)
    assert ids[0] == len(events)


def test_ids_are_shared() -> None:
    x, _ = beat(6, bars=1)
    ids = np.array([41])
    out = np.zeros(16 * len(hops(x)), EVENT)
    n = drums_step(drums_state(OnsetSettings(), DrumSettings(), ids), hops(x), out)
    np.testing.assert_array_equal(out["id"][:n], np.arange(42, 42 + n))


def test_shapes_do_not_depend_on_settings() -> None:
    small = hits_state(DrumSettings(decision_ms=3, refractory_ms=500, sensitivity=0))
    large = hits_state(DrumSettings(decision_ms=60, refractory_ms=10, sensitivity=1))
    assert [a.shape for a in small] == [a.shape for a in large]


def test_sensitivity_names_more() -> None:
    x, _ = beat(7)
    counts = [(heard(x, None, DrumSettings(sensitivity=s))["kind"] == DRUM).sum() for s in (0.0, 0.5, 1.0)]
    assert counts[0] <= counts[1] <= counts[2] and counts[0] < counts[2]


@pytest.mark.parametrize("settings", [DrumSettings(), DrumSettings(decision_ms=60, refractory_ms=10)])
def test_drums_keep_the_contract(settings: DrumSettings) -> None:
    x, _ = beat(8, bars=2)
    cuts = [1, 2, 400, 401, 402, 777, 1500]
    events = verify_contract(lambda: Drums(OnsetSettings(), settings), hops(x), HOPS, cuts)
    assert {int(k) for k in events["kind"]} == {ONSET, DRUM}


def test_kernels_of_the_drums_allocate_nothing() -> None:
    Drums().prepare(HOPS)
    assert forbidden_calls(drums_step) == []


def test_names_are_labels_of_their_family() -> None:
    families = {label.name: label.family for label in LABELS}
    assert all(families[name] == family for family, name in NAMES)
