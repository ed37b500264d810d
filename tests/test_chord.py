# SPDX-License-Identifier: GPL-3.0-or-later
"""Chords are named, on sounds whose every chord is known."""

from pathlib import Path

import numpy as np
import pytest

from bridge.errors import EarwireError
from bridge.evaluate import pooled, score_chords, score_key
from bridge.evaluate.truth import known_chords, known_keys
from bridge.slow import SlowLane
from dsp.events import (
    BEAT,
    CHORD,
    CHORDS,
    CHROMA,
    DEGREES,
    EVENT,
    KEY,
    KEYS,
    QUALITIES,
    TONICS,
    packed,
    unpacked,
)
from dsp.units import RATE, hz
from models.archive import FOLDER, WeightsError, read
from models.chord import ChordSettings
from models.chordnet import NAME, ChordNet, checked, load
from models.harmony import HarmonyStage
from models.key import KeySettings

ON = ChordSettings(enabled=True)


def strummed(name: str, seconds: float, bass: int | None = None) -> np.ndarray:
    """A chord on plucked strings, over its root or another bass note (a pitch class)."""
    root, quality = name.split(":")
    first = 48 + TONICS.index(root)
    low = TONICS.index(root) if bass is None else bass
    notes = [36 + low, *(first + degree for degree in DEGREES[quality])]
    t = np.arange(round(seconds * RATE)) / RATE
    x = sum(
        np.sin(2 * np.pi * k * hz(note) * t) / k**1.5 * np.exp(-t * (0.4 + 0.15 * k))
        for note in notes
        for k in range(1, 7)
    )
    return np.asarray(0.08 * x * np.minimum(1, t / 0.005), np.float32)


def stage_of(settings: ChordSettings = ON) -> HarmonyStage:
    return HarmonyStage(settings, KeySettings())


def heard(x: np.ndarray, settings: ChordSettings = ON) -> np.ndarray:
    said = [events for events, _ in SlowLane([stage_of(settings)]).listen(x)]
    return np.concatenate([np.zeros(0, EVENT), *said])


# What else is no mistake: the triad below, and other names of the same notes.
AS_WELL = {"maj7": ("maj", "7"), "sus4": ("sus2",)}


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_chord_by_itself(quality: str) -> None:
    right = bass = 0
    for root in TONICS:
        last = heard(strummed(f"{root}:{quality}", 1.2))[-1]
        names = [f"{root}:{kind}" for kind in (quality, *AS_WELL.get(quality, ()))]
        if quality == "sus4":
            names[1] = f"{TONICS[(TONICS.index(root) + 5) % 12]}:sus2"
        right += CHORDS[int(last["number"])] in names
        bass += last["label"] == TONICS.index(root)
    assert right >= 10 and bass >= 9


def test_changes_are_told_soon_and_stamped_where_they_were() -> None:
    names = ["C:maj", "A:min", "F:maj", "G:maj", "E:min", "D:min", "G:maj", "C:maj"]
    said = heard(np.concatenate([strummed(name, 1.5) for name in names]))
    truth = 1.5 * np.arange(len(names))
    late, off = [], []
    for name, at in zip(names, truth, strict=True):
        mine = [e for e in said if CHORDS[int(e["number"])] == name and at <= e["emitted"] / RATE < at + 1.5]
        assert mine, name
        late.append(mine[0]["emitted"] / RATE - at)
        off.append(mine[0]["time"] / RATE - at)
    assert np.median(late) <= 0.3 and np.abs(off).max() < 0.3
    assert (said["time"] <= said["emitted"]).all()


def test_an_inversion_has_another_bass() -> None:
    last = heard(strummed("C:maj", 1.5, bass=4))[-1]
    assert CHORDS[int(last["number"])] == "C:maj" and TONICS[last["label"]] == "E"


def test_silence_and_noise_are_no_chord() -> None:
    assert len(heard(np.zeros(3 * RATE, np.float32))) == 0
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    assert len(heard(noise)) <= 3
    after = heard(np.concatenate([strummed("A:min", 1.5), np.zeros(2 * RATE, np.float32)]))
    assert CHORDS[int(after["number"][-1])] == "N" and after["label"][-1] == -1


def test_the_past_alone_counts_and_cuts_change_nothing() -> None:
    x = np.concatenate([strummed(name, 1.0) for name in ("C:maj", "F:maj", "G:7", "C:maj")])
    whole, lane, got = heard(x), SlowLane([stage_of()]), [np.zeros(0, EVENT)]
    for part in np.split(x, [100, 5000, 48_000, 77_777]):
        got += [events for events, _ in lane.listen(part)]
    np.testing.assert_array_equal(np.concatenate(got), whole)
    until = int(whole["emitted"][2])
    np.testing.assert_array_equal(heard(x[:until]), whole[:3])
    stage = stage_of()
    first = [stage.listen(part) for part in x[: 20 * stage.hop].reshape(-1, stage.hop)]
    stage.reset()
    again = [stage.listen(part) for part in x[: 20 * stage.hop].reshape(-1, stage.hop)]
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))


def test_on_beats_chords_change_with_the_beat_alone() -> None:
    settings = ChordSettings(enabled=True, on_beat=True)
    x = np.concatenate([strummed(name, 1.05) for name in ("C:maj", "A:min", "F:maj", "G:maj")])
    beats = np.zeros(9, EVENT)
    beats["kind"], beats["time"] = BEAT, np.arange(9) * RATE // 2
    lane, said = SlowLane([stage_of(settings)]), []
    for at in range(0, len(x), RATE // 4):
        now = beats[
            (beats["time"] > at) & (beats["time"] <= at + RATE // 4) | (at == 0) & (beats["time"] == 0)
        ]
        lane.know(now)
        said += [events for events, _ in lane.listen(x[at : at + RATE // 4])]
    got = np.concatenate(said)
    assert len(got) >= 3 and set(got["time"]) <= set(beats["time"])
    assert ((got["emitted"] - got["time"]) / RATE < 0.36).all()
    # Without beats they change when they will.
    assert len(heard(x, settings)) >= 3


def test_the_chroma_is_a_stream_of_twelve() -> None:
    settings = ChordSettings(chroma=True)
    said = heard(strummed("A:min", 2.0), settings)
    assert set(said["kind"]) == {CHROMA} and len(said) == 2 * RATE // 2048
    strong = np.array([unpacked(int(event["ref"])) for event in said[10:]])
    assert strong.shape[1] == 12 and (strong.max(1) == 1).all()
    assert set(np.argsort(strong.mean(0))[-3:]) == {9, 0, 4}
    assert unpacked(packed(np.arange(12) / 11)) == pytest.approx(np.arange(12) / 11, abs=0.017)


def test_the_net_at_work_is_the_net_that_was_trained() -> None:
    golden, net = np.load(FOLDER / "chords.golden.npz"), ChordNet(load())
    for x, chords, basses in zip(golden["x"], golden["chords"], golden["basses"], strict=True):
        got = net.look(x)
        np.testing.assert_allclose(got[0], chords, atol=1e-4)
        np.testing.assert_allclose(got[1], basses, atol=1e-4)
    np.testing.assert_allclose(net.key(golden["inputs"]), golden["keys"], atol=1e-4)


@pytest.mark.parametrize("semitones", [1, 5, 11])
def test_what_is_known_in_one_key_is_known_in_all(semitones: int) -> None:
    chords = ("C:maj", "A:min", "F:maj", "G:maj")
    moved = [TONICS[(TONICS.index(name[0]) + semitones) % 12] + name[1:] for name in chords]
    high = heard(np.concatenate([strummed(name, 1.5) for name in moved]))
    turned = [CHORDS[int(n)] for n in high["number"]]
    assert [name for name in turned if name in moved] == moved and len(turned) <= 6


@pytest.mark.parametrize("name", ["dense.b", "gru.w_hh", "mode.w", "sd"])
def test_weights_of_another_net_are_refused(name: str) -> None:
    arrays = read(FOLDER / NAME)
    wrong = [np.zeros(7, np.float32), np.full_like(arrays[name], np.nan)]
    for array in [*wrong, -arrays[name]] if name == "sd" else wrong:
        with pytest.raises(WeightsError):
            checked(arrays | {name: array})
    del arrays[name]
    with pytest.raises(WeightsError):
        checked(arrays)


def chords(*rows: tuple[float, float, str]) -> np.ndarray:
    out = np.zeros(len(rows), EVENT)
    out["kind"] = CHORD
    for event, (time, emitted, name) in zip(out, rows, strict=True):
        event["time"], event["emitted"], event["number"] = time * RATE, emitted * RATE, CHORDS.index(name)
    return out


def test_chords_are_scored_by_time_and_delays_by_emitted(tmp_path: Path) -> None:
    truth = tmp_path / "x.lab"
    truth.write_text("0 2 C:maj\n2 4 A:min7\n4 6 N\n")
    score = score_chords(truth, chords((0.0, 0.2, "C:7"), (2.5, 2.7, "A:min"), (4.0, 4.4, "N")))
    value, weight = score.measures["majmin"]
    assert value == pytest.approx(5.5 / 6) and weight == 6.0
    assert score.delays == pytest.approx([0.7, 0.4], abs=1e-3)
    assert pooled([score])["measures"]["root"] == pytest.approx(5.5 / 6, abs=1e-3)
    for wrong in ("0 2 H:maj", "2 1 C:maj", "0 2", ""):
        truth.write_text(wrong)
        with pytest.raises(EarwireError):
            known_chords(truth)


def test_keys_are_scored_from_half_a_minute_on(tmp_path: Path) -> None:
    truth = tmp_path / "x.txt"
    truth.write_text("0 40 C:maj\n40 60 D:min\n")
    said = np.zeros(2, EVENT)
    said["kind"], said["emitted"] = KEY, np.array([20, 50]) * RATE
    said["number"] = KEYS.index("G major"), KEYS.index("D minor")
    score = score_key(truth, said)
    # Ten seconds a fifth away, ten seconds of G major for D minor, ten seconds right.
    assert score.measures["weighted"][0] == pytest.approx((10 * 0.5 + 10 * 1) / 30)
    assert score.measures["exact"][0] == pytest.approx(1 / 3)
    truth.write_text("Eb minor\n")
    assert known_keys(truth)[0][2] == "Eb minor"
    for wrong in ("H major", "0 2 X:maj", ""):
        truth.write_text(wrong)
        with pytest.raises(EarwireError):
            known_keys(truth)
