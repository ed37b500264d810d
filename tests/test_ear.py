# SPDX-License-Identifier: GPL-3.0-or-later
"""The composed engine keeps the contract of every stage, at its own rate and at others."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.hearing import adopt, hear_step, hearing, room
from bridge.midi.departure import decision
from bridge.preset import load, shipped
from bridge.transcribe import transcribe
from dsp.events import KINDS, NOTE_OFF, NOTE_ON
from dsp.stage import Spec
from models.ear import Ear
from tests.contract import verify_contract


def performance(seconds=4.0, rate=48_000, seed=0):
    """Strokes of noise and plucked tones over a quiet floor."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    x = 1e-4 * rng.standard_normal(n)
    for at in range(rate // 10, n - rate // 3, rate // 3):
        t = np.arange(rate // 12)
        x[at : at + len(t)] += rng.uniform(0.05, 0.8) * rng.uniform(-1, 1, len(t)) * np.exp(-t / rate * 60)
        hz, t = 440 * 2 ** (rng.integers(-20, 12) / 12), np.arange(rate // 4)
        tone = sum(np.sin(2 * np.pi * hz * k * t / rate) / k for k in range(1, 6))
        x[at + rate // 20 : at + rate // 20 + len(t)] += 0.2 * tone * np.exp(-t / rate * 8)
    return x.astype(np.float32)


SOUND = performance()


@pytest.mark.parametrize("name", shipped())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(0, len(SOUND)), max_size=80))
def test_contract(name, cuts):
    whole = verify_contract(lambda: Ear(load(name)), SOUND, Spec(), cuts)
    assert len(set(whole["id"])) == len(whole)


@pytest.mark.parametrize("rate", [48_000, 44_100, 8_000])
@pytest.mark.parametrize("name", shipped())
def test_no_decision_is_later_than_the_preset_says(name, rate):
    """Not even where a resampler waits for newer sound: that is taken out of the decision."""
    preset = load(name)
    events = transcribe(iter([performance(rate=rate)]), rate, preset).events
    limits = decision(preset)
    for kind, row in ((kind, KINDS.index(kind)) for kind in limits):
        late = (events["emitted"] - events["time"])[events["kind"] == row]
        assert (late <= limits[kind]).all()
        assert (late >= 0).all()


@pytest.mark.parametrize("rate", [48_000, 44_100, 96_000, 22_050])
@pytest.mark.parametrize("block", [1, 7, 64, 1000, 4096])
def test_block_size_cannot_be_heard_at_any_rate(rate, block):
    sound, preset = performance(1.0, rate), load("visuals")
    whole = transcribe(iter([sound]), rate, preset)
    cut = transcribe((sound[i : i + block] for i in range(0, len(sound), block)), rate, preset)
    assert len(whole.events) > 5
    np.testing.assert_array_equal(whole.events, cut.events)


def test_every_note_on_has_its_note_off():
    t = np.arange(48_000) / 48_000
    endless = 0.3 * sum(np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 8))
    events = transcribe(iter([endless.astype(np.float32)]), 48_000, load("guitar")).events
    started = events["id"][events["kind"] == NOTE_ON]
    assert len(started)
    assert sorted(started) == sorted(events["ref"][events["kind"] == NOTE_OFF])


def test_a_preset_taken_over_while_listening_is_as_if_it_had_been_there():
    quiet, loud = load("drums", ["onset.sensitivity=0", "drums.sensitivity=0"]), load("drums")
    out, x = room(), SOUND[:1000]
    adopted, fresh = hearing(quiet, 48_000), hearing(loud, 48_000)
    hear_step(adopted, np.zeros(1024, np.float32), out)
    hear_step(fresh, np.zeros(1024, np.float32), out)
    adopt(adopted, loud, 0.0)
    del x
    for start in range(0, len(SOUND), 1000):
        a, _ = hear_step(adopted, SOUND[start : start + 1000], out)
        got = out[:a].copy()
        b, _ = hear_step(fresh, SOUND[start : start + 1000], out)
        np.testing.assert_array_equal(got, out[:b])


@pytest.mark.parametrize(
    "bad",
    [
        np.full(24_000, np.nan),
        np.full(24_000, np.inf),
        np.full(24_000, 0.7),
        np.tile([1.0, -1.0], 12_000),
        np.where(np.arange(24_000) // 100 % 2, 1.0, -1.0),
        np.full(24_000, 1e-40),
        np.zeros(24_000),
        np.full(24_000, 3e38),
    ],
    ids=["nan", "inf", "dc", "nyquist", "square", "denormal", "silence", "huge"],
)
def test_bad_sound_is_survived_and_forgotten(bad):
    """Whatever came before, half a second later the ear hears again."""
    preset = load("visuals")
    sound = np.concatenate([np.zeros(4800), bad, np.zeros(36_000), performance(2.0)]).astype(np.float32)
    result = transcribe(iter([sound]), 48_000, preset)
    for field in ("number", "value", "confidence"):
        assert np.isfinite(result.events[field]).all()
    assert result.mended == (np.sum(~(np.abs(bad.astype(np.float32)) <= 1e3)))
    after = result.events[result.events["time"] > 64_800 + 4000]
    assert (after["kind"] == KINDS.index("onset")).sum() >= 4


def test_a_take_says_what_its_source_said():
    """A take is at 48 kHz, and knows that what it holds was waited for."""
    preset, sound, out = load("drums"), performance(rate=44_100), room()
    state = hearing(preset, 44_100)
    heard = []
    for start in range(0, len(sound), 1000):
        _, n = hear_step(state, sound[start : start + 1000], out)
        heard.append(state.heard[:n].copy())
    _, n = hear_step(state, np.zeros(int(state.params["tail"][0]), np.float32), out)
    heard.append(state.heard[:n].copy())
    plain = transcribe(iter([sound]), 44_100, preset).events
    ahead = int(state.params["ahead"][0])
    take = transcribe(iter([np.concatenate(heard)]), 48_000, preset, ahead=ahead, raw=False).events
    np.testing.assert_array_equal(plain, take)
