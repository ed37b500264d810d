# SPDX-License-Identifier: GPL-3.0-or-later
"""The beat is foretold, on sounds whose every beat is known."""

import numpy as np
import pytest

from bridge.conductor import Conductor
from bridge.evaluate import Counts, pooled, score_beats
from dsp.beat import LENGTH, Beat, BeatSettings
from dsp.beatnet import LAG, beatnet_look, beatnet_state
from dsp.events import BEAT, EVENT, TEMPO
from dsp.fold import (
    BETWEEN,
    BINS,
    FEATURES,
    FELT,
    LAID,
    PARTS,
    READINGS,
    RIGHT,
    SPAN,
    fold_hop,
    fold_lay,
    fold_look,
    fold_state,
)
from dsp.pointer import METRES, pointer_hop, pointer_read, pointer_state, pointer_weigh
from dsp.pulse import BANDS, INPUTS, Pulse
from dsp.stage import Spec
from dsp.units import HOP, RATE
from models.archive import FOLDER, WeightsError, read
from models.beat import checked, load
from models.render import Stroke, render
from tests.contract import verify_contract

ON = BeatSettings(enabled=True)


def beats_at(bpm: float, seconds: float, first: float = 0.5) -> np.ndarray:
    return np.arange(first, seconds, 60 / bpm)


def rock(times: np.ndarray, metre: int = 4) -> np.ndarray:
    """Kick, snare and hats in eighths on beats at `times` [s]."""
    strokes = []
    for n, time in enumerate(times):
        half = (times[n + 1] if n + 1 < len(times) else 2 * time - times[n - 1]) / 2 + time / 2
        strokes.append(
            Stroke(float(time), "snare" if (n % metre % 2 if metre == 4 else n % metre) else "kick", 0.9)
        )
        strokes += [Stroke(float(time), "hat-closed", 0.6), Stroke(float(half), "hat-closed", 0.4)]
    return render(strokes, times[-1] + 1.0, seed=3)


class Listener:
    """The beat stage, fed with sound."""

    def __init__(self, settings: BeatSettings = ON) -> None:
        self.stage = Beat(load(), settings)
        self._out = self.stage.prepare(Spec(hop=HOP, shape=(HOP,), capacity=4096)).empty()

    def hear(self, x: np.ndarray) -> np.ndarray:
        hops = np.ascontiguousarray(x[: len(x) // HOP * HOP].reshape(-1, HOP), np.float32)
        got = [np.zeros(0, EVENT)]
        for start in range(0, len(hops), 4096):
            n = self.stage.process(hops[start : start + 4096], out=self._out)
            got.append(self._out[:n].copy())
        return np.concatenate(got)


def of(events: np.ndarray, kind: int, since: float = 0.0) -> np.ndarray:
    return events[(events["kind"] == kind) & (events["time"] >= since * RATE)]


def errors_ms(said: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Of each beat said, from the nearest true one [ms]."""
    at = said["time"] / RATE
    return 1000 * (at - times[np.abs(at[:, None] - times).argmin(1)])


def test_contract() -> None:
    x = rock(beats_at(150, 5.0))
    hops = x[: len(x) // HOP * HOP].reshape(-1, HOP)
    events = verify_contract(
        lambda: Beat(load(), ON), hops, Spec(hop=HOP, shape=(HOP,)), [1, 7, 8, 9, 800, 801]
    )
    assert set(events["kind"]) == {BEAT, TEMPO}
    assert (np.diff(events["id"]) == 1).all()


@pytest.mark.parametrize("bpm", [63, 88, 104, 120, 152, 176])
def test_beats_of_a_steady_groove_are_foretold_to_the_millisecond(bpm: float) -> None:
    times = beats_at(bpm, 24)
    events = Listener(BeatSettings(enabled=True, usual=bpm)).hear(rock(times))
    said = of(events, BEAT, 4.0)
    wrong = errors_ms(said, times)
    assert abs(len(said) - np.sum(times >= 4.0)) <= 3  # it counts on for a moment at the end
    assert abs(np.median(wrong)) <= 5 and np.percentile(np.abs(wrong), 90) <= 20
    assert (said["emitted"] < said["time"]).mean() >= 0.95
    assert said["number"][-4:] == pytest.approx(bpm, rel=0.005)
    assert of(events, TEMPO)["number"][-1] == pytest.approx(bpm, rel=0.02)
    assert (said["confidence"] > 0.5).mean() > 0.9 and (said["confidence"] <= 1).all()


def test_a_new_tempo_is_found_within_four_beats() -> None:
    slow, fast = beats_at(100, 12), 12.2 + np.arange(24) * 0.5
    times = np.concatenate([slow[slow < 11.9], fast])
    said = of(Listener().hear(rock(times)), BEAT)
    late = said[said["time"] > (fast[4] - 0.1) * RATE]
    assert np.abs(errors_ms(late[:-3], times)).max() < 35
    assert late["number"][:-3] == pytest.approx(120, rel=0.03)


def test_drift_is_followed() -> None:
    times = 0.5 + np.cumsum(60 / np.linspace(100, 122, 60))
    said = of(Listener().hear(rock(times)), BEAT, 6.0)[:-3]
    assert np.abs(errors_ms(said, times)).max() < 45
    assert said["number"][-1] == pytest.approx(121, rel=0.02)


def test_level_changes_nothing() -> None:
    x = rock(beats_at(110, 10))
    loud, soft = (of(Listener().hear(gain * x), BEAT, 2.0) for gain in (1.0, 0.02))
    assert len(loud) == len(soft)
    assert np.abs(loud["time"] - soft["time"]).max() < 0.01 * RATE


def test_silence_has_no_beat() -> None:
    assert len(Listener().hear(np.zeros(8 * RATE))) == 0


def test_off_says_nothing() -> None:
    assert len(Listener(BeatSettings()).hear(rock(beats_at(120, 4)))) == 0


def test_bars_of_three_are_counted_where_asked_for() -> None:
    said = of(Listener(BeatSettings(enabled=True, metre=3)).hear(rock(beats_at(120, 16), 3)), BEAT, 6.0)
    places = said["value"].astype(int)
    assert (said["label"] == 3).all() and set(places) == {1, 2, 3}
    assert np.mean(np.diff(places) % 3 == 1) > 0.8


def ask(listener: Listener, *requests: tuple[str, str, int]) -> list[str]:
    conductor = Conductor(listener.stage.state, lambda: True)
    told = []
    for what, argument, sample in requests:
        told.append(conductor.request(what, argument, sample))
        listener.hear(np.zeros(0))
    return told


@pytest.mark.parametrize("what, bpm", [("half", 60), ("double", 240)])
def test_half_and_double_time(what: str, bpm: float) -> None:
    listener, times = Listener(BeatSettings(enabled=True)), beats_at(120 if what == "half" else 88, 26)
    x = rock(times)
    listener.hear(x[: 8 * RATE])
    (told,) = ask(listener, (what, "", 0))
    assert told.startswith(f"{what} time")
    said = of(listener.hear(x[8 * RATE : 24 * RATE]), BEAT, 10.0)
    assert said["number"] == pytest.approx(60 if what == "half" else 176, rel=0.02)
    near = times if what == "half" else np.sort(np.concatenate([times, times[:-1] + np.diff(times) / 2]))
    assert np.abs(np.median(errors_ms(said, near))) < 10


def test_taps_say_which_octave_is_meant() -> None:
    listener, times = Listener(), beats_at(150, 26)
    x = rock(times)
    listener.hear(x[: 8 * RATE])
    every_other = times[(times > 5) & (times < 7.9)][::2]
    told = ask(listener, *(("tap", "", round(t * RATE)) for t in every_other))
    assert told[-1] == "tap: 75 bpm"
    said = of(listener.hear(x[8 * RATE : 24 * RATE]), BEAT, 9.0)
    assert said["number"] == pytest.approx(75, rel=0.02)
    assert np.abs(errors_ms(said, times)).max() < 40


def test_a_tempo_that_is_held_goes_on_through_silence_and_is_let_go() -> None:
    listener, times = Listener(), beats_at(120, 12)
    listener.hear(rock(times)[: 10 * RATE])
    assert ask(listener, ("lock", "", 0)) == ["the tempo is held, whatever is heard"]
    said = of(listener.hear(np.zeros(10 * RATE)), BEAT)
    assert len(said) in (20, 21) and np.abs(errors_ms(said, beats_at(120, 24))).max() < 20
    assert ask(listener, ("lock", "", 0)) == ["the tempo is followed again"]
    said = of(listener.hear(rock(beats_at(100, 12))[: 12 * RATE]), BEAT, 26.0)
    assert said["number"] == pytest.approx(100, rel=0.02)


def test_a_nudge_moves_every_beat_from_then_on() -> None:
    times = beats_at(120, 20)
    x = rock(times)
    plain, nudged = Listener(), Listener()
    nudged.hear(x[: 8 * RATE])
    plain.hear(x[: 8 * RATE])
    assert ask(nudged, ("nudge", "30", 0)) == ["nudge: +30 ms"]
    a, b = (of(one.hear(x[8 * RATE : 18 * RATE]), BEAT, 10.0)["time"] for one in (plain, nudged))
    later = [np.min(np.abs(b - time - 30 * 48)) / 48 for time in a[1:-1]]
    assert max(later) < 10


def test_what_makes_no_sense_is_said() -> None:
    listener = Listener()
    assert ask(listener, ("half", "", 0), ("lock", "", 0), ("tap", "", 0)) == [
        "half: there is no beat yet",
        "lock: there is no beat yet",
        "tap: go on",
    ]
    assert "no time in ms" in ask(listener, ("nudge", "much", 0))[0]
    assert "at most" in ask(listener, ("nudge", "nan", 0))[0]
    assert listener.stage.state.course[LENGTH] == 0
    deaf = Conductor(listener.stage.state, lambda: False)
    assert deaf.request("tap", "", 0) == "tap: the beat is not followed; beat.enabled = true"


def test_beats_are_scored_from_the_fifth_second_on(tmp_path) -> None:  # type: ignore[no-untyped-def]
    truth = tmp_path / "x.txt"
    truth.write_text("".join(f"{t / 2} {t % 4 + 1}\n" for t in range(40)))
    said = np.zeros(38, EVENT)
    said["kind"], said["value"] = BEAT, np.arange(2, 40) % 4 + 1
    said["time"] = np.arange(2, 40) * RATE // 2 + RATE // 50
    said["emitted"] = said["time"] - RATE // 50
    said["time"][-1] += RATE // 10
    score = score_beats(truth, said)
    assert score.counts["beats"] == Counts(29, 1, 1)
    assert score.counts["downbeats"] == Counts(7, 0, 0)
    assert score.measures["AMLt"][0] == pytest.approx(29 / 30)
    told = pooled([score])
    assert told["error_ms"] == {"median": 20.0, "p90": 20.0}
    assert told["delay_ms"]["median"] == 0.0


def test_the_net_at_work_is_the_net_that_was_trained() -> None:
    golden = np.load(FOLDER / "beat.golden.npz")
    state = beatnet_state(load().feel)
    for x, y in zip(golden["x"], golden["y"], strict=True):
        beatnet_look(state, x)
        np.testing.assert_allclose(state.said, y, atol=1e-4)
    fold = fold_state(load().fold)
    fold.laid[:] = golden["laid"]
    fold_look(fold)
    likely = np.exp(golden["logits"])
    np.testing.assert_allclose(fold.readings, likely[:READINGS] / likely[:READINGS].sum(), atol=1e-4)
    np.testing.assert_allclose(fold.places, likely[READINGS:] / likely[READINGS:].sum(), atol=1e-4)


def test_what_the_net_is_given_knows_no_level_and_no_block() -> None:
    x = rock(beats_at(120, 3))
    hops = x[: len(x) // HOP * HOP].reshape(-1, HOP)
    inputs = verify_contract(Pulse, hops, Spec(hop=HOP, shape=(HOP,)), [1, 7, 8, 9, 300])
    assert inputs.shape[1] == INPUTS and np.isfinite(inputs).all()
    stage = Pulse()
    out = stage.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(hops))).empty()
    n = stage.process(np.float32(0.3) * hops, out=out)
    np.testing.assert_allclose(out[60:n], inputs[60:], atol=0.15)


def heard(frames: int, every: float, first: float) -> tuple[np.ndarray, np.ndarray]:
    """Inputs in which something rises each so many frames, at a place between frames; and is felt later."""
    x, felt = np.zeros((frames, INPUTS), np.float32), np.zeros((frames, 2), np.float32)
    for n, at in enumerate(np.arange(first, frames - LAG - 1, every)):
        for k, share in ((int(at), 1 - at % 1), (int(at) + 1, at % 1)):
            x[k, BANDS:] = share
            felt[k + LAG] = share, n % 4 == 0
    return x, felt


@pytest.mark.parametrize("frames, length", [(700, 47.3), (5 * SPAN + 17, 47.3), (1100, 110.0), (900, 26.2)])
def test_what_was_heard_is_laid_upon_the_beat(frames: int, length: float) -> None:
    state = fold_state(load().fold)
    for row, felt in zip(*heard(frames, length, 3.2), strict=True):
        fold_hop(state, row, felt)
    end = 3.2 + length * int((frames - 20 - 3.2) / length)
    assert fold_lay(state, end, length)
    laid = state.laid[:LAID].reshape(BINS, FEATURES)
    rises, beats, downbeats = laid[:, 0], laid[:, FELT], laid[:, FELT + 1]
    on = rises.reshape(-1, PARTS)[:, 0]
    assert on.min() > 0.4 * PARTS and on.sum() > 0.5 * rises.sum()
    assert 0.8 < rises.mean() <= 1
    assert beats.reshape(-1, PARTS)[:, 0].sum() > 0.5 * beats.sum() > 0
    newest = int((frames - 20 - 3.2) / length)
    assert downbeats.reshape(-1, PARTS)[-newest % 4, 0] > 0.5 * downbeats.sum() > 0
    assert fold_lay(state, end, length / 2)  # twice as many: every other is empty
    rises = state.laid[:LAID].reshape(BINS, FEATURES)[:, 0].reshape(-1, PARTS)
    assert rises[::2, 0].min() > 20 * rises[1::2, 0].max()


def test_nothing_is_judged_before_four_beats_were_heard() -> None:
    state = fold_state(load().fold)
    for row, felt in zip(*heard(200, 50.0, 3.0), strict=True):
        fold_hop(state, row, felt)
    assert not fold_lay(state, 153.0, 50.0)
    assert fold_lay(state, 153.0, 36.0)
    assert not fold_lay(state, 199.0, 36.0)


def test_beats_of_a_rock_groove_are_told_from_those_between_them() -> None:
    times = beats_at(104, 16)
    state, x = fold_state(load().fold), rock(times)
    stage = Pulse()
    hops = x[: len(x) // HOP * HOP].reshape(-1, HOP)
    out = stage.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(hops))).empty()
    frames = (times * RATE / 512)[20]
    net = beatnet_state(load().feel)
    for row in out[: stage.process(hops, out=out)][: int(frames) + 12]:
        beatnet_look(net, row)
        fold_hop(state, row, net.said)
    length = 60 / 104 * RATE / 512
    assert fold_lay(state, frames, length)
    fold_look(state)
    assert state.readings.argmax() == RIGHT
    assert state.places[0] + state.places[2] > 0.9  # one and three are struck alike
    assert fold_lay(state, frames - length / 2, length)
    fold_look(state)
    assert state.readings.argmax() == BETWEEN


def test_the_pointer_believes_what_is_said_of_beats() -> None:
    def after(kinds: list[float], places: list[float]) -> np.ndarray:
        state = pointer_state()
        for k in range(600):
            near = k % 50 == 0 or (k % 50 == 25 and k > 200)
            pointer_hop(state, np.float32(0.5 if near else 0.01), np.float32(0.5), 0)
        pointer_read(state)
        length, ahead = state.found[1], state.found[0]
        for _ in range(12):
            pointer_weigh(state, length, ahead, np.array(kinds, np.float32), np.array(places, np.float32))
        pointer_read(state)
        assert state.likely[state.turn[0]].sum() * state.scale[0] == pytest.approx(1, rel=1e-3)
        return np.array([length, *state.found])

    before, _, length, _, row = after([3, 1, 1, 1, 1], [0.1, 0.1, 3, 0.1])
    assert length == pytest.approx(before, rel=0.05) and row == sum(METRES[:2]) + 3
    before, _, length, _, _ = after([0.1, 0.1, 5, 5, 0.1], [1, 1, 1, 1])
    assert abs(np.log2(length / before)) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("name", ["dense.b", "low.w_hh", "head.w", "sd", "fold.low.w", "fold.head.b"])
def test_weights_of_another_net_are_refused(name: str) -> None:
    arrays = read(FOLDER / "beat.npz")
    wrong = [np.zeros(7, np.float32), np.full_like(arrays[name], np.nan)]
    for array in [*wrong, -arrays[name]] if name == "sd" else wrong:
        with pytest.raises(WeightsError):
            checked(arrays | {name: array})
    del arrays[name]
    with pytest.raises(WeightsError):
        checked(arrays)
