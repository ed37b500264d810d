# SPDX-License-Identifier: GPL-3.0-or-later
"""Strokes are heard at every level, to the sample, and nothing else is."""

import numpy as np
import pytest

from dsp.drums import Drums
from dsp.events import EVENT, ONSET
from dsp.fft import fft, power_spectrum
from dsp.hits import DrumSettings
from dsp.onset import OnsetSettings
from dsp.spectrum import BANDS, HIGHS, LOWS, Spectrum, spectrum_step
from dsp.stage import Spec
from dsp.units import HOP, RATE, samples
from tests.contract import forbidden_calls, verify_contract
from tests.drumweights import TRUSTING, random_weights

ONSETS_ONLY = DrumSettings(enabled=False)
NET = random_weights()  # that nobody asks


def hops(x: np.ndarray) -> np.ndarray:
    return x[: len(x) // HOP * HOP].astype(np.float32).reshape(-1, HOP)


def onsets(x: np.ndarray, settings: OnsetSettings | None = None) -> np.ndarray:
    """All onsets in x."""
    ears = Drums(NET, TRUSTING, settings or OnsetSettings(), ONSETS_ONLY)
    frames = hops(x)
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(frames))).empty()
    events = out[: ears.process(frames, out=out)].copy()
    assert (
        (events["kind"] == ONSET).all() and (events["label"] == -1).all() and (events["channel"] == 0).all()
    )
    return events


def bursts(count: int, level_db: float, floor_db: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """5 ms of noise every 150 to 200 ms, and the first sample of each."""
    rng = np.random.default_rng(seed)
    times = RATE // 2 + np.cumsum(rng.integers(RATE * 150 // 1000, RATE // 5, count))
    x = np.zeros(times[-1] + RATE // 2)
    if floor_db is not None:
        x += rng.uniform(-1, 1, len(x)) * 10 ** (floor_db / 20)
    for time in times:
        burst = rng.uniform(-1, 1, 240)
        x[time : time + 240] += burst / np.abs(burst).max() * 10 ** (level_db / 20)
    return x, times


def test_power_spectrum_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    for size in (8, 16, 64, 256, 512, 2048):
        x = rng.standard_normal(size).astype(np.float32)
        out = np.zeros(size // 2 + 1, np.float32)
        power_spectrum(fft(size), x, out)
        np.testing.assert_allclose(out, np.abs(np.fft.rfft(x)) ** 2, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("hz", [100, 440, 1000, 5000, 12000])
def test_a_full_scale_sine_is_near_zero_decibels_in_its_own_band(hz: float) -> None:
    ears = Spectrum()
    x = hops(np.sin(2 * np.pi * hz * np.arange(RATE // 4) / RATE))
    out = ears.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(x))).empty()
    ears.process(x, out=out)
    spectral = out[-1, : LOWS + HIGHS]
    assert -4 < spectral.max() < 3
    edges = [*(47 * np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18])), *(187.5 * np.array([4, 100]))]
    if hz < edges[-3]:
        assert abs(int(np.argmax(spectral)) - int(np.searchsorted(edges, hz) - 1)) <= 1


def test_spectrum_keeps_the_contract() -> None:
    x = hops(np.random.default_rng(2).standard_normal(RATE // 4) * 0.1)
    levels = verify_contract(Spectrum, x, Spec(hop=HOP, shape=(HOP,)), [1, 2, 5, 40, 41, 100])
    assert levels.shape == (len(x), BANDS) and np.isfinite(levels).all()


@pytest.mark.parametrize("every", [1, 100])
def test_a_stage_that_keeps_a_thing_now_and_then_breaks_its_contract(every: int) -> None:
    class Keeps(Spectrum):
        def __init__(self) -> None:
            self.things: list[object] = []
            self.calls = 0

        def process(self, *xs: np.ndarray, out: np.ndarray) -> int:
            self.calls += 1
            if self.calls % every == 0:
                self.things.append(object())
            return super().process(*xs, out=out)

    x = hops(np.random.default_rng(3).uniform(-1, 1, 200 * HOP))
    with pytest.raises(AssertionError, match="bytes in 600 calls"):
        verify_contract(Keeps, x, Spec(hop=HOP, shape=(HOP,)), [1, 50])


def test_kernels_of_the_spectrum_allocate_nothing() -> None:
    stage = Spectrum()
    stage.prepare(Spec(hop=HOP, shape=(HOP,)))
    assert forbidden_calls(spectrum_step) == []


@pytest.mark.parametrize("decision_ms", [3.0, 8.0])
@pytest.mark.parametrize(("level_db", "floor_db"), [(-3, None), (-30, None), (-3, -80), (-30, -90)])
def test_bursts_are_found_to_the_sample(decision_ms: float, level_db: float, floor_db: float | None) -> None:
    x, times = bursts(200, level_db, floor_db, seed=round(-level_db))
    found = onsets(x, OnsetSettings(decision_ms=decision_ms))
    assert len(found) == len(times), "one burst, one onset"
    assert np.mean(found["time"] == times) >= 0.99
    assert (found["emitted"] - found["time"] <= samples(decision_ms)).all()
    assert (found["time"] < found["emitted"]).all()


@pytest.mark.parametrize("decision_ms", [3.0, 5.0, 8.0, 30.0])
def test_no_onset_is_later_than_its_decision(decision_ms: float) -> None:
    rng = np.random.default_rng(3)
    x, _ = bursts(60, -20, -45, seed=4)
    x += np.interp(
        np.arange(len(x)), np.arange(0, len(x), 3000), rng.uniform(0, 0.3, len(x) // 3000 + 1)
    ) * np.sin(2 * np.pi * 180 * np.arange(len(x)) / RATE)
    found = onsets(x, OnsetSettings(decision_ms=decision_ms))
    assert len(found) > 30
    assert (found["emitted"] - found["time"] <= samples(decision_ms)).all()
    assert (np.diff(found["time"]) >= samples(30)).all()
    assert (found["emitted"] % HOP == 0).all()


def test_whisper_to_clipping_and_louder_is_never_softer() -> None:
    velocities = []
    for level_db in (-60, -48, -36, -24, -12, -3):
        x, times = bursts(20, level_db, None, seed=5)
        found = onsets(x)
        assert len(found) == len(times)
        velocities.append(found["value"].mean())
        assert ((found["confidence"] > 0) & (found["confidence"] <= 1)).all()
    assert (np.diff(velocities) > 0).all()
    assert velocities[1] == pytest.approx(0.05, abs=0.02) and velocities[-1] == pytest.approx(1, abs=0.02)


def test_level_changes_nothing_but_velocity() -> None:
    x, _ = bursts(30, -6, -70, seed=6)
    loud, soft = onsets(x), onsets(x * 10 ** (-20 / 20))
    np.testing.assert_array_equal(loud["time"], soft["time"])


def calm_sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    t = np.arange(6 * RATE) / RATE
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    pink = np.fft.irfft(spectrum)
    return {
        "silence": np.zeros(len(t)),
        "dc": np.full(len(t), 0.7),
        "sine": np.sin(2 * np.pi * 60 * t),
        "square": np.sign(np.sin(2 * np.pi * 440 * t + 0.1)),
        "low square": np.sign(np.sin(2 * np.pi * 100 * t + 0.1)),
        "slow sweep": 0.9 * np.sin(2 * np.pi * 20 * 6 / np.log(1000) * (1000 ** (t / 6) - 1)),
        "vibrato": 0.5 * np.sin(2 * np.pi * 440 * t + 20 * np.sin(2 * np.pi * 6 * t)),
        "hiss": rng.standard_normal(len(t)) * 0.1,
        "soft hiss": rng.standard_normal(len(t)) * 0.001,
        "dither": rng.uniform(-1, 1, len(t)) / 32768,
        "pink": 0.5 * pink / np.abs(pink).max(),
    }


@pytest.mark.parametrize("name", calm_sounds())
def test_steady_sounds_are_no_strokes(name: str) -> None:
    found = onsets(calm_sounds()[name])
    assert (found["time"] >= RATE).sum() <= 1
    assert len(found) <= 6  # the sound's own beginning, and noise that is still new
    assert np.isfinite(found["value"]).all()


def test_a_minute_of_silence_then_a_whisper() -> None:
    x = np.zeros(60 * RATE)
    x[50 * RATE + 17 : 50 * RATE + 257] = 0.002 * np.random.default_rng(8).uniform(-1, 1, 240)
    (found,) = onsets(x)
    assert found["time"] == 50 * RATE + 17


def test_a_hat_is_heard_on_the_tail_of_a_kick() -> None:
    rng = np.random.default_rng(9)
    t = np.arange(RATE) / RATE
    x = np.zeros(2 * RATE)
    x[10_000 : 10_000 + RATE] += 0.8 * np.sin(2 * np.pi * 55 * t) * np.exp(-t / 0.2)
    x[13_333 : 13_333 + 2000] += 0.05 * np.diff(rng.uniform(-1, 1, 2001)) * np.exp(-np.arange(2000) / 500)
    found = onsets(x)
    assert len(found) == 2
    assert found["time"][0] == pytest.approx(10_000, abs=16) and found["time"][1] == pytest.approx(
        13_333, abs=3
    )


def test_sensitivity_opens_the_ears() -> None:
    x, _ = bursts(40, -20, -38, seed=10)
    counts = [len(onsets(x, OnsetSettings(sensitivity=s))) for s in (0.0, 0.5, 1.0)]
    assert counts[0] <= counts[1] <= counts[2] and counts[0] < counts[2]


def test_refractory_is_kept() -> None:
    x, times = bursts(40, -10, None, seed=11)
    found = onsets(x, OnsetSettings(refractory_ms=400))
    assert (np.diff(found["time"]) >= samples(400)).all()
    assert len(found) < len(times)


def test_onsets_keep_the_contract() -> None:
    x, _ = bursts(12, -10, -60, seed=12)
    events = verify_contract(
        lambda: Drums(NET, TRUSTING, OnsetSettings(decision_ms=3), ONSETS_ONLY),
        hops(x),
        Spec(hop=HOP, shape=(HOP,)),
        [1, 17, 18, 300, 301, 900],
    )
    assert events.dtype == EVENT and (events["id"] == np.arange(1, len(events) + 1)).all()


def test_a_soft_stroke_is_heard_soon_after_a_loud_one_has_stopped() -> None:
    """Strokes of any level in any order, 150 ms and more apart, each on its own sample."""
    rng = np.random.default_rng(3)
    starts = 12_000 + np.cumsum(rng.integers(7_200, 12_000, 80))
    x = np.zeros(starts[-1] + 9_600, np.float32)
    for start in starts:
        x[start : start + 240] = 10 ** (rng.uniform(-30, -3) / 20) * rng.uniform(-1, 1, 240)
    events = onsets(x, OnsetSettings(decision_ms=3))
    assert len(events) == len(starts)
    late = events["time"] - starts
    assert np.mean(late == 0) >= 0.98
    assert np.abs(late).max() <= 2
