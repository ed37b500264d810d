# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells when a note is over: the weights that were exported, and what they are given to weigh."""

import numpy as np
import pytest

from dsp import polynet
from dsp.endnet import (
    EndWeights,
    endnet_begin,
    endnet_hear,
    endnet_look,
    endnet_state,
    trusting,
)
from dsp.hindsight import PAST, watched
from dsp.notenet import note_weights, notenet_state
from dsp.tones import BINS, BINS_A_PITCH, CHANNELS, PITCHES, WINDOWS
from tests.noteweights import EMBEDDING, random_arrays

LAGS = np.array([2, 3, 4, 7])
SOUNDING = len(LAGS)
A4 = 48


def looked(
    weights: EndWeights, said: np.ndarray, levels: np.ndarray | None = None, row: int = 2, begins: int = 5
) -> list[float]:
    """Logits, after each frame of a word and of levels, that A4 still sounds; it began at frame `begins`."""
    ear = notenet_state(note_weights(random_arrays()))
    heard = polynet.polynet_state(polynet.trusting(len(LAGS), EMBEDDING))
    state = endnet_state(weights, LAGS)
    found = []
    for frame, words in enumerate(said):
        inputs = np.full((CHANNELS, BINS), -3, np.float32) if levels is None else levels[frame]
        polynet.polynet_frame(heard, ear, words, inputs, frame)
        endnet_hear(state, inputs, frame)
        if frame == begins:
            endnet_begin(state, A4, 0)
        found.append(float(endnet_look(state, heard, ear, A4, row, frame)))
    return found


def words(frames: int = PAST + 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-2, 3, (frames, len(LAGS) + 2, PITCHES)).astype(np.float32)


def curious(lags: int = len(LAGS)) -> EndWeights:
    """Weights to which everything matters."""
    weights = trusting(lags, EMBEDDING)
    weights.hidden[:] = np.linspace(0.5, 1.5, weights.hidden.size).reshape(weights.hidden.shape)
    weights.hidden_bias[:], weights.out[:] = 1000, 0.01
    return weights


@pytest.mark.parametrize("row", range(len(LAGS)))
def test_who_has_learned_nothing_waits_for_silence_as_long_as_there_is_time(row: int) -> None:
    said = words()
    sounding = said[:, SOUNDING, A4]
    expected = [sounding[max(0, t + 1 - watched(LAGS[row])) : t + 1].max() for t in range(PAST, len(said))]
    np.testing.assert_array_equal(looked(trusting(len(LAGS), EMBEDDING), said, row=row)[PAST:], expected)


def test_the_word_stands_until_all_that_is_remembered_was_heard() -> None:
    weights, said = trusting(len(LAGS), EMBEDDING), words()
    plain = looked(weights, said)
    weights.out_bias[:] = 2
    longer = np.subtract(looked(weights, said), plain)
    np.testing.assert_allclose(longer[: PAST - 1], 0)
    np.testing.assert_allclose(longer[PAST:], 2, atol=1e-5)


@pytest.mark.parametrize(
    ("above", "heard"), [(0, True), (12, True), (19, True), (24, True), (5, False), (-12, False)]
)
def test_a_note_is_known_by_its_own_overtones(above: int, heard: bool) -> None:
    said = words()
    levels = np.full((len(said), CHANNELS, BINS), -3, np.float32)
    plain = looked(curious(), said, levels)
    first = BINS_A_PITCH * (A4 + above)
    levels[-2:, :WINDOWS, first : first + BINS_A_PITCH] -= 1
    # Three bins among all move the level of the whole a little.
    assert (abs(looked(curious(), said, levels)[-1] - plain[-1]) > 0.05) == heard


def test_what_fell_since_the_note_began_counts() -> None:
    said = words(60)
    levels = np.full((len(said), CHANNELS, BINS), -3, np.float32)
    plain = looked(curious(), said, levels)
    levels[20, :WINDOWS] = -1  # longer ago than levels are remembered
    assert looked(curious(), said, levels)[-1] != pytest.approx(plain[-1], abs=1e-3)
    assert looked(curious(), said, levels, begins=30)[-1] == pytest.approx(
        looked(curious(), said, np.full_like(levels, -3), begins=30)[-1], abs=1e-3
    )
