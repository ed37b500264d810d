# SPDX-License-Identifier: GPL-3.0-or-later
"""What corrects the word of the drum ear: the weights that were exported, and what they are given to weigh."""

import numpy as np
import pytest

from dsp.bands import INPUTS, SHORTS
from dsp.drumnet import FAMILIES, METAL, OUTPUTS, VOICES
from dsp.hitnet import (
    PAST,
    POSSIBLE,
    HitNetState,
    HitWeights,
    hitnet_forget,
    hitnet_look,
    hitnet_state,
    trusting,
)
from models.hits import load

LAGS = 5
KICK, HAT, CYMBAL = (FAMILIES.index(name) for name in ("kick", "hat", "cymbal"))
FLAT = np.full(INPUTS, -2, np.float32)


def told(state: HitNetState, words: np.ndarray, inputs: np.ndarray = FLAT) -> np.ndarray:
    """What is judged after each of the frames of a word, shape (frames, LAGS, OUTPUTS)."""
    judged = []
    for said in words:
        hitnet_look(state, said, inputs, True)
        judged.append(state.judged.copy())
    return np.array(judged)


def words(frames: int = PAST + 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-5, 3, (frames, LAGS, OUTPUTS)).astype(np.float32)


def summing() -> HitWeights:
    """Weights that change the word by a sum of all that is weighed."""
    weights = trusting(LAGS)
    rng = np.random.default_rng(0)
    weights.hidden[:, 0] = rng.uniform(0.005, 0.01, len(weights.hidden))
    weights.hidden_bias[:], weights.out[0] = 20, 1
    return weights


def test_who_has_learned_nothing_changes_nothing() -> None:
    said = words()
    np.testing.assert_array_equal(told(hitnet_state(trusting(LAGS)), said), said[..., :VOICES])


def test_only_what_is_possible_is_weighed() -> None:
    said = words()
    wary = trusting(LAGS)
    wary.out_bias[:] = -2
    judged = told(hitnet_state(wary), said)
    weighed = said[..., :VOICES].max(1, keepdims=True) > POSSIBLE
    weighed[: PAST - 1] = False  # until all that is remembered has been heard
    weighed[..., METAL] = False  # nothing is asked of it
    assert weighed[PAST:].any() and not weighed[PAST:].all()
    np.testing.assert_allclose(said[..., :VOICES] - judged, 2.0 * np.repeat(weighed, LAGS, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("ago", "row", "voice", "heard"),
    [
        (0, 0, HAT, True),
        (3, 4, HAT, True),
        (3, 4, CYMBAL, True),  # the likeliest of the others
        (16, 0, HAT, True),
        (16, 1, HAT, False),  # of long ago some rows are enough
        (4, 0, HAT, False),
        (0, 1, KICK, False),  # neither its own word nor the likeliest of the others
    ],
)
def test_a_voice_is_weighed_by_what_was_said(ago: int, row: int, voice: int, heard: bool) -> None:
    said = np.full((PAST, LAGS, OUTPUTS), -8, np.float32)
    said[:, :, CYMBAL] = -3
    said[-1, 0, HAT] = 1
    plain = told(hitnet_state(summing()), said)[-1]
    said[-1 - ago, row, voice] += 0.5
    other = told(hitnet_state(summing()), said)[-1]
    moved = other[:, HAT] - plain[:, HAT] - (said[-1, :, HAT] - [1, -8, -8, -8, -8])
    assert (np.abs(moved).max() > 1e-3) == heard


def test_a_voice_is_weighed_by_how_the_spectrum_rose() -> None:
    said = np.full((PAST, LAGS, OUTPUTS), -3, np.float32)
    rising = FLAT.copy()
    rising[:SHORTS] += 1
    plain, other = hitnet_state(summing()), hitnet_state(summing())
    told(plain, said[:-1])
    told(other, said[:-1])
    assert np.abs(told(plain, said[-1:]) - told(other, said[-1:], rising)).max() > 0.01


def test_a_second_look_replaces_the_first() -> None:
    once, twice = hitnet_state(load()), hitnet_state(load())
    said, hasty = words(), words(seed=1)
    for k, word in enumerate(said):
        hitnet_look(once, word, FLAT, True)
        hitnet_look(twice, hasty[k], FLAT + 1, False)
        hitnet_look(twice, word, FLAT, True)
        np.testing.assert_array_equal(once.judged, twice.judged)


def test_what_was_before_is_forgotten() -> None:
    state, fresh = hitnet_state(load()), hitnet_state(load())
    told(state, words(30, seed=1))
    assert state.judged.max() > POSSIBLE
    hitnet_forget(state)
    assert state.judged.max() < POSSIBLE > fresh.judged.max()
    said = words()
    np.testing.assert_array_equal(told(state, said), told(fresh, said))
