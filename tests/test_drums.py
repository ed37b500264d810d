# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drum ears make of the net: names in time, corrected later, and every stroke told once.

The nets here know nothing of drums: one is random, so that all cases occur; one tells low from high.
"""

import numpy as np
import pytest

from dsp.bands import FRAME
from dsp.drumnet import FAMILIES, VOICES, DrumWeights
from dsp.drums import EVENTS_PER_HOP, Drums, drums_params, drums_state, drums_step
from dsp.events import DRUM, EVENT, LABEL_ROW, LABELS, ONSET, REFINE
from dsp.hits import DrumSettings
from dsp.onset import OnsetSettings
from dsp.pads import PADS
from dsp.stage import Spec, arrays
from dsp.units import HOP, RATE, samples
from tests.contract import forbidden_calls, verify_contract
from tests.drumweights import LAGS, TRUSTING, plain_weights, random_weights

HOPS = Spec(hop=HOP, shape=(HOP,))
RANDOM, PLAIN = random_weights(), plain_weights()
OFF = OnsetSettings(enabled=False), DrumSettings(enabled=False)


def kick(rng: np.random.Generator) -> np.ndarray:
    t = np.arange(RATE // 3) / RATE
    return np.cos(2 * np.pi * 110 * t) * np.exp(-t / 0.05) * np.minimum(1, t / 0.002) * (1 - 3 * t)


def hat(rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(RATE // 10)
    for _ in range(3):  # differences let only the top through
        noise = np.diff(noise)
    return 0.05 * noise * np.exp(-np.arange(len(noise)) / (0.015 * RATE))


DRUMS = {"kick": kick, "hat": hat}


def beat(seed: int, bars: int = 2, gain: float = 0.5) -> tuple[np.ndarray, list[tuple[int, set[str]]]]:
    """Eighths of hats and kicks, and what is struck when."""
    rng = np.random.default_rng(seed)
    x, truth = np.zeros(bars * 2 * RATE + RATE), []
    for eighth in range(bars * 8):
        time = RATE // 2 + eighth * RATE // 4 + int(rng.integers(0, 1000))
        struck = {"kick"} if eighth % 4 == 0 else {"hat"} if eighth % 4 == 2 else {"kick", "hat"}
        for name in sorted(struck):
            sound = DRUMS[name](rng) * gain * rng.uniform(0.5, 1)
            x[time : time + len(sound)] += sound
        truth.append((time, struck))
    return x + 1e-5 * rng.standard_normal(len(x)), truth


def hops(x: np.ndarray) -> np.ndarray:
    return x[: len(x) // HOP * HOP].astype(np.float32).reshape(-1, HOP)


def heard(
    x: np.ndarray,
    weights: DrumWeights,
    onset: OnsetSettings | None = None,
    drums: DrumSettings | None = None,
) -> np.ndarray:
    ears, frames = Drums(weights, TRUSTING, onset, drums), hops(x)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    return out[: ears.process(frames, out=out)].copy()


def of(events: np.ndarray, kind: int) -> np.ndarray:
    return events[events["kind"] == kind]


@pytest.mark.parametrize(
    ("onset_ms", "drums_ms"), [(8, 12), (8, 3), (3, 3), (8, 6), (8, 9.5), (30, 60), (8, 25), (3, 2.1)]
)
def test_whatever_the_net_says_events_keep_their_promises(onset_ms: float, drums_ms: float) -> None:
    x, _ = beat(1)
    events = heard(x, RANDOM, OnsetSettings(decision_ms=onset_ms), DrumSettings(decision_ms=drums_ms))
    strokes, drums, refined = of(events, ONSET), of(events, DRUM), of(events, REFINE)
    assert len(strokes) >= 15 and len(drums) >= 5
    np.testing.assert_array_equal(events["id"], np.arange(1, len(events) + 1))
    late = events["emitted"] - events["time"]
    limits = {ONSET: samples(min(onset_ms, drums_ms)), DRUM: samples(drums_ms), REFINE: samples(60)}
    for kind, limit in limits.items():
        assert (late[events["kind"] == kind] <= limit).all() and (late >= 0).all()
    assert set(drums["ref"]) <= set(strokes["id"]) and set(refined["ref"]) <= set(drums["id"])
    assert len(set(refined["ref"])) == len(refined)
    time_of = dict(zip(strokes["id"], strokes["time"], strict=True))
    assert len(set(time_of.values())) == len(strokes)
    for drum in drums:  # a name that comes late is of a moment later; so is a stroke that only the net heard
        assert -limits[DRUM] <= drum["time"] - time_of[drum["ref"]] <= samples(9)
    named = np.concatenate([drums, refined])
    assert (named["channel"] == 10).all()
    assert all(LABELS[event["label"]].note == event["number"] for event in named)
    assert ((named["value"] > 0) & (named["value"] <= 1)).all()
    assert ((named["confidence"] >= 0) & (named["confidence"] <= 1)).all()
    for stroke in strokes:
        families = [LABELS[drum["label"]].family for drum in drums if drum["ref"] == stroke["id"]]
        assert len(families) == len(set(families))
    if drums_ms == 60:
        assert len(refined) == 0


@pytest.mark.parametrize("drums_ms", [3, 4, 6, 8, 12])
def test_what_the_net_hears_is_told_of_its_stroke(drums_ms: float) -> None:
    x, truth = beat(2)
    events = heard(x, PLAIN, None, DrumSettings(decision_ms=drums_ms))
    strokes, drums = of(events, ONSET), of(events, DRUM)
    assert len(strokes) == len(truth) and (np.abs(strokes["time"] - [time for time, _ in truth]) <= 2).all()
    for stroke, (_, struck) in zip(strokes, truth, strict=True):
        named = drums[drums["ref"] == stroke["id"]]
        assert {LABELS[drum["label"]].family for drum in named} == struck
        assert (named["time"] == stroke["time"]).all()
        assert (named["value"] == 0.5).all()
        assert (named["confidence"] >= 0.5).all()
    assert {LABELS[drum["label"]].name for drum in drums} == {"kick", "hat-closed"}


def test_what_only_the_net_hears_is_a_stroke_too() -> None:
    x, truth = beat(3)
    deaf = OnsetSettings(sensitivity=0, refractory_ms=500)
    events = heard(x, PLAIN, deaf)
    strokes, drums = of(events, ONSET), of(events, DRUM)
    assert len(strokes) == len(truth)
    assert len(set(drums["ref"])) == len(truth)
    assert (np.abs(strokes["time"] - [time for time, _ in truth]) <= samples(8)).all()
    assert (strokes["emitted"] - strokes["time"] <= samples(8)).all()
    assert (np.diff(events["id"]) == 1).all()
    silent = heard(x, PLAIN, OnsetSettings(sensitivity=0, refractory_ms=500, enabled=False))
    np.testing.assert_array_equal(silent, drums)


def bursts(softest_db: float, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Noise of 5 ms over nothing, at random places at least 150 ms apart, and where."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.integers(samples(150), samples(250), 60))
    x = np.zeros(starts[-1] + RATE)
    for start in starts:
        x[start : start + 240] = rng.uniform(-1, 1, 240) * 10 ** (rng.uniform(softest_db, -3) / 20)
    return x, starts


@pytest.mark.parametrize("drums_ms", [3, 4.4, 12])
@pytest.mark.parametrize("weights", [RANDOM, plain_weights()], ids=["random", "plain"])
def test_a_stroke_out_of_silence_is_a_hit_whatever_it_is(weights: DrumWeights, drums_ms: float) -> None:
    x, starts = bursts(-30)
    settings = OnsetSettings(decision_ms=min(8, drums_ms)), DrumSettings(decision_ms=drums_ms)
    drums = of(heard(x, weights, *settings), DRUM)
    for start in starts:
        first = drums["time"][drums["time"] >= start - 1][0]
        assert abs(first - start) <= 1


def test_music_without_drums_is_no_drum() -> None:
    t = np.arange(4 * RATE) / RATE
    chords = np.sin(2 * np.pi * 220 * t) + np.sin(2 * np.pi * 277 * t)
    x = 0.2 * chords * (0.1 + np.exp(-(t % 0.25) / 0.1))
    events = heard(x, PLAIN._replace(head=np.zeros_like(PLAIN.head)))
    assert len(of(events, ONSET)) >= 14
    assert len(of(events, DRUM)) <= 1  # the first comes out of silence


def test_refine_corrects_a_name_within_its_family() -> None:
    x, _ = beat(5)
    weights = plain_weights(later_names={"hat-open": 3})
    events = heard(x, weights)
    hats = [d for d in of(events, DRUM) if LABELS[d["label"]].family == "hat"]
    refined = of(events, REFINE)
    assert len(hats) > 5 and list(refined["ref"]) == [d["id"] for d in hats]
    assert (refined["label"] == LABEL_ROW["hat-open"]).all() and (refined["number"] == 46).all()
    assert list(refined["time"]) == [d["time"] for d in hats]
    assert (refined["emitted"] - refined["time"] >= samples(54)).all()
    assert (refined["emitted"] - refined["time"] <= samples(60)).all()
    assert len(of(heard(x, weights, None, DrumSettings(refine=False)), REFINE)) == 0


def test_refine_weighs_what_every_head_said_and_keeps_quiet_where_nothing_is_new() -> None:
    x, _ = beat(5)
    for hardness, corrected in ((0.55, False), (0.0, True), (1.0, True)):
        events = heard(x, plain_weights(later_names={"hat-closed": 1}, hardness=hardness))
        drums, refined = of(events, DRUM), of(events, REFINE)
        assert len(drums) > 10 and len(refined) == (len(drums) if corrected else 0)
        assert np.allclose(refined["value"], (0.5 + 0.5 + hardness) / 3)  # of 12, 24 and 60 ms
    for doubt, renamed in ((0.9, False), (1.1, True)):  # against a word of 1 at 12 ms
        events = heard(x, plain_weights(later_names={"hat-open": doubt}))
        assert bool(len(of(events, REFINE))) == renamed


def test_refine_leaves_a_hit_in_its_family() -> None:
    x, _ = beat(5)
    events = heard(x, plain_weights({"tom": 5, "kick": -5, "hat": 5}, {"hat-open": 3, "tom-low": 9}))
    families = {d["id"]: LABELS[d["label"]].family for d in of(events, DRUM)}
    refined = of(events, REFINE)
    assert len(refined) and "kick" in families.values()
    assert all(LABELS[r["label"]].family == families[r["ref"]] for r in refined)


def test_a_stroke_that_is_believed_late_is_named_by_the_head_of_its_age() -> None:
    x, _ = beat(5)
    head, bias = PLAIN.head.copy(), PLAIN.head_bias.copy()
    head[1, 96:100] = 0  # the second head hears a stroke a frame late
    names = ("hat-closed", "hat-open", "hat-pedal")  # what each head calls a hat
    for row, name in enumerate(names):
        bias[row, VOICES + LABEL_ROW[name]] = 5
    slow = PLAIN._replace(head=head, head_bias=bias)
    events = heard(x, slow, None, DrumSettings(decision_ms=9, refine=False))
    struck = {int(s["id"]): int(s["time"]) for s in of(events, ONSET)}
    rows = []
    for hit in of(events, DRUM):
        age = max(int(hit["emitted"]) - struck[int(hit["ref"])], samples(9))
        if LABELS[hit["label"]].family == "hat":
            rows.append(max(row for row in range(3) if LAGS[row] * FRAME + HOP <= age))
            assert LABELS[hit["label"]].name == names[rows[-1]]
    assert set(rows) == {1, 2}


def test_every_stroke_is_a_pad_of_the_kit() -> None:
    x, truth = beat(6)
    ears, frames = Drums(PLAIN, TRUSTING, None, DrumSettings(decision_ms=8)), hops(x)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    plain = out[: ears.process(frames, out=out)].copy()
    ears.reset()
    pads = ears.state.pads
    for pad, unit in enumerate((96, 97)):  # low and high, newest first
        pads.weights[0, pad, [unit, unit + 2, unit + 4]] = 5
        pads.says[0, pad] = len(LABELS) + PADS - 1 - pad
    pads.counts[0], pads.kit[0] = 2, 1
    events = out[: ears.process(frames, out=out)]
    strokes, drums = of(events, ONSET), of(events, DRUM)
    np.testing.assert_array_equal(strokes["time"], of(plain, ONSET)["time"])
    np.testing.assert_array_equal(drums["ref"], strokes["id"])
    np.testing.assert_array_equal(drums["time"], strokes["time"])
    assert (drums["emitted"] - drums["time"] <= samples(8)).all()
    assert len(of(events, REFINE)) == 0
    for drum, (_, struck) in zip(drums, truth, strict=True):
        if len(struck) == 1:
            assert drum["label"] == len(LABELS) + PADS - (1 if struck == {"kick"} else 2)
    np.testing.assert_array_equal(np.sort(pads.ids[: len(drums)]), np.sort(drums["id"][-len(pads.ids) :]))


def test_embeddings_of_the_newest_hits_are_kept() -> None:
    x, _ = beat(7, bars=4)
    ears, frames = Drums(RANDOM, TRUSTING), hops(x)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    drums = of(out[: ears.process(frames, out=out)], DRUM)
    pads = ears.state.pads
    newest = drums[-len(pads.ids) :]
    assert sorted(pads.ids[pads.ids > 0]) == list(newest["id"])
    assert (np.abs(pads.strokes[pads.ids > 0]).max(1) > 0).all()


def test_corrections_take_the_place_of_a_label() -> None:
    x, _ = beat(6)
    ears, frames = Drums(PLAIN, TRUSTING), hops(x)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    pads = ears.state.pads
    pads.weights[0, 0, -1] = 1  # always speaks up
    pads.says[0, 0], pads.instead[0, 0], pads.counts[0] = LABEL_ROW["clap"], LABEL_ROW["hat-closed"], 1
    drums = of(out[: ears.process(frames, out=out)], DRUM)
    assert {LABELS[drum["label"]].name for drum in drums} == {"kick", "clap"}


def test_drums_without_onsets_and_onsets_without_drums() -> None:
    x, _ = beat(4)
    both = heard(x, PLAIN)
    drums = heard(x, PLAIN, OnsetSettings(enabled=False))
    strokes = heard(x, PLAIN, None, DrumSettings(enabled=False))
    assert (drums["kind"] != ONSET).all() and (strokes["kind"] == ONSET).all()
    np.testing.assert_array_equal(drums, both[both["kind"] != ONSET])
    np.testing.assert_array_equal(strokes["time"], of(both, ONSET)["time"])


def test_ears_that_are_off_keep_the_clock() -> None:
    x, truth = beat(5)
    frames, ids = hops(x), np.zeros(1, np.int64)
    state, out = drums_state(*OFF, PLAIN, TRUSTING, ids), np.zeros(EVENTS_PER_HOP * len(frames), EVENT)
    half = len(frames) // 2
    assert drums_step(state, frames[:half], out) == 0
    # A live reload overwrites the parameters and nothing else.
    state.onset.params[...], state.hits.params[...] = drums_params(OnsetSettings(), DrumSettings())
    events = out[: drums_step(state, frames[half:], out)]
    times = [time for time, _ in truth if time > (half + 20) * HOP]
    found = of(events, ONSET)["time"]
    assert all(np.abs(found - time).min() <= 2 for time in times)
    assert ids[0] == len(events)


def test_ears_switched_on_again_hear_what_comes_then() -> None:
    x, truth = beat(5)
    frames = hops(x)
    ears = Drums(PLAIN, TRUSTING)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    part = len(frames) // 3
    ears.process(frames[:part], out=out)
    on = ears.state.hits.params.copy()
    ears.state.hits.params["enabled"] = 0
    ears.process(frames[part : 2 * part], out=out)
    ears.state.hits.params[...] = on
    drums = of(out[: ears.process(frames[2 * part :], out=out)], DRUM)
    later = [(time, struck) for time, struck in truth if time > (2 * part + 20) * HOP]
    for time, struck in later:
        named = drums[np.abs(drums["time"] - time) <= 2]
        assert {LABELS[drum["label"]].family for drum in named} == struck
    assert len(drums) == sum(len(struck) for _, struck in later)


def test_ids_are_shared() -> None:
    x, _ = beat(6, bars=1)
    ids, frames = np.array([41]), hops(x)
    out = np.zeros(EVENTS_PER_HOP * len(frames), EVENT)
    n = drums_step(drums_state(OnsetSettings(), DrumSettings(), PLAIN, TRUSTING, ids), frames, out)
    assert n > 10
    np.testing.assert_array_equal(out["id"][:n], np.arange(42, 42 + n))


def test_shapes_do_not_depend_on_settings() -> None:
    small = DrumSettings(decision_ms=3, refractory_ms=500, sensitivity=0, refine=False)
    large = DrumSettings(decision_ms=60, refractory_ms=10, sensitivity=1)
    found = [
        [a.shape for a in arrays(drums_state(OnsetSettings(), drums, PLAIN, TRUSTING, np.zeros(1, np.int64)))]
        for drums in (small, large)
    ]
    assert found[0] == found[1]


def test_sensitivity_names_more() -> None:
    rng = np.random.default_rng(9)
    x = 1e-3 * rng.standard_normal(12 * RATE)
    for start in range(RATE, 11 * RATE, RATE // 6):
        x[start : start + 1000] *= 10 ** rng.uniform(0.5, 1)
    counts = [len(of(heard(x, PLAIN, None, DrumSettings(sensitivity=s)), DRUM)) for s in (0, 0.5, 1)]
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("settings", [DrumSettings(), DrumSettings(decision_ms=3, refractory_ms=10)])
def test_drums_keep_the_contract(settings: DrumSettings) -> None:
    x, _ = beat(8, bars=1)
    cuts = [1, 2, 400, 401, 402, 777, 1500]
    events = verify_contract(lambda: Drums(RANDOM, TRUSTING, OnsetSettings(), settings), hops(x), HOPS, cuts)
    assert {int(k) for k in events["kind"]} == {ONSET, DRUM, REFINE}


def test_kernels_of_the_drums_allocate_nothing() -> None:
    Drums(RANDOM, TRUSTING).prepare(HOPS)
    assert forbidden_calls(drums_step) == []


def test_families_of_the_net_are_those_of_the_labels() -> None:
    assert {label.family for label in LABELS} == set(FAMILIES)
