# SPDX-License-Identifier: GPL-3.0-or-later
"""The slow lane says the same live, from a file, and however the sound is cut."""

import numpy as np
import pytest

from bridge.preset import load
from bridge.slow import FIRST_ID, SlowLane, SlowThread
from bridge.transcribe import transcribe
from dsp.events import KEY, KEYS
from models.chord import ChordSettings
from models.harmony import HarmonyStage
from models.key import KeySettings

DEGREES = {
    "major": ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    "minor": ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7)),
}


def key_stage(settings):
    return HarmonyStage(ChordSettings(), settings)


def cadence(tonic, scale, seconds=12.0, rate=48_000):
    """I IV V I, over and over, in tones with a few overtones."""
    t = np.arange(rate) / rate
    chords = []
    for degrees in DEGREES[scale]:
        notes = [48 + tonic + d for d in degrees] + [60 + tonic + degrees[0] % 12]
        hz = [440 * 2 ** ((n - 69) / 12) for n in notes]
        chords.append(sum(np.sin(2 * np.pi * f * k * t) / k**2 for f in hz for k in range(1, 5)))
    whole = np.concatenate(chords * int(np.ceil(seconds / len(chords))))
    return (0.05 * whole[: int(seconds * rate)]).astype(np.float32)


def keys(events):
    return [KEYS[int(e["number"])] for e in events[events["kind"] == KEY]]


@pytest.mark.parametrize("tonic", [0, 3, 6, 10])
@pytest.mark.parametrize("scale", ["major", "minor"])
def test_a_cadence_names_its_key(tonic, scale):
    stage = SlowLane([key_stage(KeySettings(enabled=True))])
    events = np.concatenate([e for e, _ in stage.listen(cadence(tonic, scale))])
    assert keys(events)[-1] == KEYS[tonic + 12 * (scale == "minor")]
    assert (events["confidence"] <= 1).all()


def test_a_modulation_is_noticed():
    lane = SlowLane([key_stage(KeySettings(enabled=True, memory_s=6))])
    sound = np.concatenate([cadence(0, "major", 16), cadence(6, "major", 24)])
    said = keys(np.concatenate([e for e, _ in lane.listen(sound)]))
    assert said[0] == "C major"
    assert said[-1] == "F# major"


@pytest.mark.parametrize(
    "sound", [np.zeros(480_000), np.random.default_rng(0).standard_normal(480_000) * 0.1]
)
def test_silence_and_noise_have_no_key(sound):
    assert SlowLane([key_stage(KeySettings(enabled=True))]).listen(sound.astype(np.float32)) == []


def test_cuts_cannot_be_heard_nor_the_future():
    sound, rng = cadence(2, "minor"), np.random.default_rng(0)
    whole = np.concatenate([e for e, _ in SlowLane([key_stage(KeySettings(enabled=True))]).listen(sound)])
    cut, lane = [], SlowLane([key_stage(KeySettings(enabled=True))])
    for block in np.split(sound, np.sort(rng.integers(0, len(sound), 40))):
        cut += [e for e, _ in lane.listen(block)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)
    end = int(whole["emitted"][0])
    early = SlowLane([key_stage(KeySettings(enabled=True))]).listen(sound[:end])
    np.testing.assert_array_equal(np.concatenate([e for e, _ in early]), whole[:1])


def test_a_live_lane_says_what_a_file_says_and_counts_what_is_late():
    sound = cadence(5, "major")
    whole = np.concatenate([e for e, _ in SlowLane([key_stage(KeySettings(enabled=True))]).listen(sound)])
    live = SlowThread(SlowLane([key_stage(KeySettings(enabled=True))]))
    for block in np.array_split(sound, 100):
        live.put(block)
    live.close()
    got = live.events(now=len(sound) + 10 * 48_000)
    np.testing.assert_array_equal(got, whole)
    assert live.late == len(got)  # all said long after their time, as `now` claims


def test_transcription_holds_both_lanes_in_order():
    events = transcribe(iter([cadence(7, "major")]), 48_000, load("visuals")).events
    assert set(keys(events)) == {"G major"}
    assert (np.diff(events["emitted"]) >= 0).all()
    assert len(set(events["id"])) == len(events)
    assert (events["id"][events["kind"] == KEY] >= FIRST_ID).all()
