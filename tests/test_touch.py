# SPDX-License-Identifier: GPL-3.0-or-later
"""How hard a key was struck, told from levels; and how that is learned."""

import numpy as np

from dsp.tones import BINS, PITCHES, WINDOWS
from dsp.touch import REGISTER, STILLEST, TOUCH, touch
from models.train.note_corpus import Scene
from models.train.touch import MIDDLE, SPREAD, TOLD, features, fitted


def _powers(rng: np.random.Generator, frames: int) -> np.ndarray:
    return rng.uniform(-8, 0, (frames, WINDOWS, BINS)).astype(np.float32)


def test_the_kernel_weighs_what_was_fitted() -> None:
    rng = np.random.default_rng(1)
    heard, pitch = _powers(rng, 40), rng.integers(0, PITCHES, 40)
    weights = rng.normal(0, 0.03, TOUCH).astype(np.float32)
    x = features(heard, np.arange(40), pitch)
    assert x.shape == (40, TOUCH - 1)
    for row in range(40):
        told = np.float32(rng.normal())
        expected = np.clip(0.5 + weights[:-1] @ x[row] + weights[-1] * told, 0.01, 1)
        heard_now = (10 ** heard[row].astype(np.float64)).astype(np.float32)
        said = touch(heard_now, pitch[row], told, weights, np.float32(0.5))
        np.testing.assert_allclose(said, expected, atol=1e-4)


def test_silence_and_the_highest_pitch_are_felt_without_harm() -> None:
    flat = np.full(TOUCH, 0.01, np.float32)
    nothing = np.zeros((WINDOWS, BINS), np.float32)
    assert touch(nothing, 0, np.float32(0), flat, np.float32(0.5)) == np.float32(0.01)
    height = REGISTER * (PITCHES - 1) / PITCHES * (1 + (PITCHES - 1) / PITCHES)
    expected = 2.5 + 0.01 * (14 * np.log10(STILLEST) + height)
    said = touch(nothing, PITCHES - 1, np.float32(0), flat, np.float32(2.5))
    np.testing.assert_allclose(said, min(expected, 1), atol=1e-4)


def test_a_touch_that_levels_tell_is_learned() -> None:
    """Scenes by instruments that are louder or softer as a whole; only the touch within each counts."""
    rng, scenes = np.random.default_rng(2), []
    for _ in range(12):
        heard, onset = _powers(rng, 300), np.arange(0, 280, 4)
        pitch = rng.integers(0, PITCHES, len(onset))
        velocity = rng.uniform(0.2, 0.9, len(onset)).astype(np.float32)
        heard[onset + 3] += (4 * velocity + rng.normal(0, 1))[:, None, None]
        scenes.append(Scene(heard, onset, onset + 3, pitch, velocity))
    alike = scenes[0]._replace(velocity=np.full(70, 0.5, np.float32))  # tells nothing
    few = scenes[1]._replace(
        onset=scenes[1].onset[:9], pitch=scenes[1].pitch[:9], velocity=rng.random(9).astype(np.float32)
    )
    weights, bias = fitted([*scenes, alike, few], 3)
    np.testing.assert_array_equal(fitted(scenes, 3)[0], weights)
    assert weights[-1] == np.float32(SPREAD * TOLD)
    told = []
    for scene in scenes:
        x = features(scene.heard, scene.onset + 3, scene.pitch)
        said = bias + x @ weights[:-1]
        told.append(said)
        assert np.corrcoef(said, scene.velocity)[0, 1] > 0.8
    assert abs(np.mean(told) - MIDDLE) < 1e-3
