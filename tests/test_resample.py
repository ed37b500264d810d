# SPDX-License-Identifier: GPL-3.0-or-later
"""The resampler moves no sound in time, whatever the rate, and says how far it looks ahead."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.resample import HIGHEST, LOWEST, Resample, resample_step
from dsp.stage import Spec
from dsp.units import RATE
from tests.contract import forbidden_calls, verify_contract

ODD = (22_257, 47_999, 191_999)  # ratios of thousands of phases
RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000, *ODD)


def chord(rate: int, seconds: float, seed: int = 0) -> np.ndarray:
    """Sines up to 0.4 of the lower rate, faded in and out, shape (n,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate * seconds)) / rate
    x = sum(np.sin(2 * np.pi * (f * t + rng.random())) for f in np.linspace(30, 0.4 * min(rate, RATE), 40))
    return np.asarray(x / 20 * np.hanning(t.size), np.float32)


def resampled(rate: int, x: np.ndarray) -> np.ndarray:
    """All engine samples of x, the filter's tail brought out by silence."""
    stage = Resample()
    spec = stage.prepare(Spec(rate=rate, capacity=x.size + 200))
    out = spec.empty()
    return out[: stage.process(np.append(x, np.zeros(stage.ahead, np.float32)), out=out)]


@pytest.mark.parametrize("rate", RATES)
def test_agrees_with_soxr_in_level_and_time(rate: int) -> None:
    x = chord(rate, 0.4)
    got, want = resampled(rate, x), soxr.resample(x.astype(float), rate, RATE, "HQ")
    assert abs(got.size - x.size * RATE / rate) <= 1
    n = min(got.size, want.size)
    error = 10 * np.log10(np.mean((got[:n] - want[:n]) ** 2) / np.mean(want[:n] ** 2) + 1e-30)
    assert error < (-56 if rate == 8_000 else -60)


@pytest.mark.parametrize("rate", (96_000, 192_000, 88_200))
def test_what_the_engine_cannot_hold_is_removed(rate: int) -> None:
    t = np.arange(rate // 4) / rate
    tone = np.sin(2 * np.pi * 30_000 * t).astype(np.float32) * np.hanning(t.size).astype(np.float32)
    assert np.sqrt(np.mean(resampled(rate, tone) ** 2)) < 1e-4 * np.sqrt(np.mean(tone**2))


@settings(max_examples=8, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 2999), max_size=12), rate=st.sampled_from((44_100, 22_257, 192_000, 8_000))
)
def test_keeps_the_contract(cuts: list[int], rate: int) -> None:
    verify_contract(Resample, chord(rate, 3000 / rate), Spec(rate=rate), cuts)


@pytest.mark.parametrize("rate", RATES)
def test_declared_delay_is_how_much_newer_the_input_must_be(rate: int) -> None:
    stage = Resample()
    spec = stage.prepare(Spec(rate=rate, capacity=1))
    out, said, newest = spec.empty(), 0, 0.0
    for sample in range(rate // 50):
        n = stage.process(np.ones(1, np.float32), out=out)
        for k in range(said, said + n):
            newest = max(newest, sample * RATE / rate - k)
        said += n
    assert stage.delay == spec.delay <= RATE / 1000
    assert stage.delay - 1.5 < newest <= stage.delay


@pytest.mark.parametrize("rate", RATES)
def test_a_pulse_stays_at_its_time(rate: int) -> None:
    width, middle = rate / min(rate, RATE), rate / 20 + 0.3
    x = np.exp(-0.5 * ((np.arange(rate // 10) - middle) / (2 * width)) ** 2).astype(np.float32)
    y = resampled(rate, x).astype(float)
    centre = np.sum(np.arange(y.size) * y) / np.sum(y)
    assert abs(centre - middle * RATE / rate) < 0.01


def test_silence_and_a_constant_stay_what_they_are() -> None:
    for rate in (11_025, 44_100, 96_000):
        y = resampled(rate, np.full(rate // 10, 0.5, np.float32))
        np.testing.assert_allclose(y[100:-100], 0.5, atol=1e-6)
        assert not resampled(rate, np.zeros(rate // 10, np.float32)).any()


def test_a_dying_tail_never_turns_denormal() -> None:
    x = (0.9 ** np.arange(1200.0)).astype(np.float32)
    for rate in (22_257, 44_100):
        y = np.abs(resampled(rate, x))
        assert not np.any((y > 0) & (y < np.finfo(np.float32).tiny))


def test_one_signature_serves_every_rate_and_allocates_nothing() -> None:
    for rate in RATES:
        Resample().prepare(Spec(rate=rate))
    assert len(resample_step.signatures) == 1
    assert forbidden_calls(resample_step) == []


@pytest.mark.parametrize("rate", (LOWEST - 1, HIGHEST + 1, 44_100.5))
def test_a_rate_out_of_reach_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="whole number"):
        Resample().prepare(Spec(rate=rate))
