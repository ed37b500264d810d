# SPDX-License-Identifier: GPL-3.0-or-later
"""The three windows of the ear for notes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.stage import Spec
from dsp.tones import (
    BINS,
    FRAME,
    LOWEST,
    WINDOWS,
    Tones,
    bin_frequencies,
    tones_hop,
    tones_of,
    tones_state,
)
from dsp.units import HOP, RATE, hz
from tests.contract import verify_contract

SHORT, MIDDLE, LONG = range(WINDOWS)


def sine(frequency: float, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(1, 299), max_size=8, unique=True))
def test_contract(cuts: list[int]) -> None:
    rng = np.random.default_rng(1)
    hops = rng.uniform(-1, 1, (300, HOP)).astype(np.float32)
    items = verify_contract(Tones, hops, Spec(hop=HOP, shape=(HOP,)), cuts)
    assert len(items) == 300 * HOP // FRAME


@pytest.mark.parametrize("pitch", [45, 57, 69, 84, 100])
def test_a_tone_stands_at_its_pitch_in_the_long_window(pitch: int) -> None:
    power = tones_of(sine(hz(pitch)))[-1]
    assert abs(np.argmax(power[LONG]) - (3 * (pitch - LOWEST) + 1)) <= (pitch < 57)
    np.testing.assert_allclose(power[LONG].max(), 1, atol=0.5)  # that of a full-scale sine


def test_neighbours_an_octave_above_middle_c_are_told_apart() -> None:
    power = tones_of(0.5 * (sine(hz(72)) + sine(hz(73))))[-1][LONG]
    first, second = 3 * (72 - LOWEST) + 1, 3 * (73 - LOWEST) + 1
    between = power[first + 1 : second].min()
    assert 10 * np.log10(min(power[first], power[second]) / between) > 6


def test_what_is_beyond_a_window_is_seen_by_a_shorter_one() -> None:
    frequency = bin_frequencies()
    power = tones_of(np.random.default_rng(2).uniform(-1, 1, RATE // 2).astype(np.float32))
    high, middle = frequency > 0.4 * 24000, frequency > 0.4 * 12000
    np.testing.assert_array_equal(power[:, LONG, high], power[:, SHORT, high])
    np.testing.assert_array_equal(power[:, LONG, middle], power[:, MIDDLE, middle])
    assert (power[-1] > 0).all()


@pytest.mark.parametrize("frequency", [15_000, 17_000, 19_500, 8_500])
def test_what_is_above_half_of_a_rate_does_not_fold_back(frequency: int) -> None:
    power = tones_of(sine(frequency))[-1]
    below = bin_frequencies() < min(0.4 * RATE / 4, frequency * 0.6)
    assert power[LONG, below].max() < 1e-6


def test_a_rise_is_seen_within_a_frame() -> None:
    x = np.concatenate([np.zeros(30 * FRAME, np.float32), sine(hz(69))])
    power = tones_of(x)[:, SHORT, 3 * (69 - LOWEST) + 1]
    assert power[29] == 0 and power[31] > 0.05


def test_dc_is_not_heard() -> None:
    power = tones_of(np.full(RATE, 0.5, np.float32))[-1]
    assert power.max() < 1e-6


def inputs(x: np.ndarray) -> np.ndarray:
    """All that the net is given of a sound, shape (frames, CHANNELS, BINS)."""
    stage = Tones()
    hops = x[: len(x) // HOP * HOP].astype(np.float32).reshape(-1, HOP)
    out = stage.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(hops))).empty()
    return out[: stage.process(hops, out=out)]


@pytest.mark.parametrize("db", [-40, -20, 0])
def test_level_is_not_heard(db: int) -> None:
    rng = np.random.default_rng(3)
    x = sine(440) * 0.5 + rng.normal(0, 0.01, RATE // 2)
    np.testing.assert_allclose(inputs(x * 10 ** (db / 20)), inputs(x), atol=5e-3)


def test_change_is_since_two_frames_ago() -> None:
    got = inputs(np.random.default_rng(4).uniform(-1, 1, 20 * FRAME))
    assert (got[0, WINDOWS:] == 0).all()
    np.testing.assert_allclose(got[2:, WINDOWS:], got[2:, :WINDOWS] - got[:-2, :WINDOWS], atol=1e-5)


def test_the_first_sound_is_a_rise() -> None:
    got = inputs(np.concatenate([np.zeros(10 * FRAME), sine(440)]))
    assert (got[:10, :WINDOWS] == -7).all() and (got[:10, WINDOWS:] == 0).all()
    assert got[10, WINDOWS + SHORT, 3 * 48 + 1] > 4


def test_the_follower_forgets_by_decibels() -> None:
    """After a loud tone, one 40 dB softer comes back by 2 dB a second."""
    loud, soft = sine(440, 2.0), sine(440, 3.0) * 0.01
    level = 10 * inputs(np.concatenate([loud, soft]))[:, MIDDLE, 3 * 48 + 1]
    seconds = 2.0
    np.testing.assert_allclose(level[-1] - level[-1 - int(seconds * RATE / FRAME)], 2 * seconds, atol=0.05)


def test_silence_is_finite_and_slow_numbers_do_not_arise() -> None:
    x = np.concatenate([sine(100, 0.2), np.zeros(RATE, np.float32)])
    state = tones_state()
    for hop in x.reshape(-1, HOP):
        tones_hop(state, hop)
    assert np.isfinite(inputs(x)).all()
    for array in (state.short, state.middle, state.long, state.still):
        assert not ((array != 0) & (abs(array) < 1e-30)).any()
    assert state.power.shape == (WINDOWS, BINS)
