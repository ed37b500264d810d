# SPDX-License-Identifier: GPL-3.0-or-later
"""How high it sounds: known periods, at any level, from low E up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.kernel import KERNELS
from dsp.pitch import Pitch
from dsp.stage import Spec
from dsp.units import HOP, RATE, gain, hz
from tests.contract import forbidden_calls, verify_contract

HOPS = Spec(hop=HOP, shape=(HOP,), capacity=800)


def hops(sound: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(sound[: len(sound) // HOP * HOP].reshape(-1, HOP), np.float32)


def tone(f0: np.ndarray | float, seconds: float, partials: int = 12) -> np.ndarray:
    """A bright periodic tone that follows f0, peaking near 1."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, round(seconds * RATE))) / RATE
    top = float(np.max(f0))
    sound = sum(np.sin(k * phase + k) / k for k in range(1, partials + 1) if k * top < 16_000)
    return np.asarray(sound / np.abs(sound).max())


@pytest.fixture(scope="module")
def pitch() -> Pitch:
    stage = Pitch(low=28, high=96)
    stage.prepare(HOPS)
    return stage


def heard(stage: Pitch, sound: np.ndarray) -> np.ndarray:
    stage.reset()
    x = hops(sound)
    out = np.zeros((len(x), 3), np.float32)
    assert stage.process(x, out=out) == len(x)
    return out


def cents(f0: np.ndarray, truth: float | np.ndarray) -> np.ndarray:
    return 1200 * np.log2(np.maximum(f0, 1) / truth)


@pytest.mark.parametrize("partials", [1, 12])
@pytest.mark.parametrize("db", [-3, -50])
def test_every_semitone_from_e1_to_b6_is_told_within_a_few_cents(pitch, partials, db):
    for midi in range(28, 96):
        settled = heard(pitch, gain(db) * tone(hz(midi), 0.3, partials))[60:]
        error = np.abs(cents(settled[:, 0], hz(midi)))
        assert np.median(error) < 4, midi
        assert np.mean(error < 50) > 0.95, midi
        assert settled[:, 1].min() > 0.85, midi


@pytest.mark.parametrize("midi, ms", [(28, 55), (40, 30), (52, 18), (64, 14), (76, 12)])
def test_a_note_is_known_after_two_periods_and_no_note_waits_for_the_bass(pitch, midi, ms):
    sound = np.concatenate([np.zeros(RATE // 10), 0.3 * tone(hz(midi), 0.2)])
    out = heard(pitch, sound)[RATE // 10 // HOP :]
    right = np.abs(cents(out[:, 0], hz(midi))) < 50
    assert right[round(ms / 1000 * RATE / HOP) :].mean() > 0.95


def test_noise_silence_and_a_constant_are_unvoiced(pitch):
    noise = np.random.default_rng(1).standard_normal(RATE // 2) * 0.1
    for sound in (noise, np.zeros(RATE // 2), np.full(RATE // 2, 0.25)):
        settled = heard(pitch, sound)[100:]
        assert np.mean(settled[:, 0] > 0) < 0.01
        assert np.median(settled[:, 1]) < 0.5


def test_level_is_the_rms_of_the_last_8_ms(pitch):
    out = heard(pitch, 0.5 * tone(1000.0, 0.2, 1))
    np.testing.assert_allclose(out[60:, 2], 0.5 / np.sqrt(2), rtol=0.02)


def glide(low: float, high: float, seconds: float = 0.8) -> np.ndarray:
    return hz(low) * (hz(high) / hz(low)) ** (np.arange(round(seconds * RATE)) / (seconds * RATE))


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=12))
def test_contract(cuts):
    f0 = glide(69, 81)

    def lag(out: np.ndarray, spec: Spec) -> float:
        """How far back the truth lies that each item tells best [samples]."""
        at = np.arange(100, 550)
        truth = np.log2(f0)
        back = [np.abs(truth[(at + 1) * HOP - 1 - d] - np.log2(out[at, 0])).mean() for d in range(0, 600, 4)]
        return 4 * int(np.argmin(back))

    sound = 0.3 * tone(f0, 0.8, 4)
    verify_contract(lambda: Pitch(60, 96), hops(sound), HOPS, cuts, lag, delay_tolerance=HOP)


def test_kernels_stay_on_the_audio_path(pitch):
    mine = [k for k in KERNELS if k.py_func.__module__ == "dsp.pitch"]
    assert mine
    for compiled in mine:
        assert forbidden_calls(compiled) == [], compiled.py_func.__name__
