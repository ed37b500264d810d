# SPDX-License-Identifier: GPL-3.0-or-later
"""What corrects the word of the ear for notes: the weights that were exported, and what they are given to weigh."""

import numpy as np
import pytest

from dsp.hindsight import PAST
from dsp.notenet import NoteNetState, note_weights, notenet_state
from dsp.polynet import (
    POSSIBLE,
    PolyNetState,
    PolyWeights,
    polynet_forget,
    polynet_frame,
    polynet_state,
    trusting,
)
from dsp.tones import BINS, CHANNELS, PITCHES
from models import notes
from models.poly import load
from tests.noteweights import EMBEDDING, random_arrays

LAGS = 4


def ignorant() -> PolyWeights:
    return trusting(LAGS, EMBEDDING)


def told(
    state: PolyNetState, frames: np.ndarray, first: int = 0, ear: NoteNetState | None = None
) -> list[np.ndarray]:
    """What is judged after each of the frames of a word, shape (frames, LAGS + 2, PITCHES)."""
    judged = []
    ear = ear or notenet_state(note_weights(random_arrays()))
    for k, said in enumerate(frames):
        inputs = np.full((CHANNELS, BINS), -2 - 0.1 * (k % 3), np.float32)
        polynet_frame(state, ear, said, inputs, first + k)
        judged.append(state.judged.copy())
    return judged


def words(frames: int = PAST + 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-5, 3, (frames, LAGS + 2, PITCHES)).astype(np.float32)


def wary(by: float) -> PolyWeights:
    """Weights that take the same from every word."""
    weights = ignorant()
    weights.out_bias[:] = -by
    return weights


def test_who_has_learned_nothing_changes_nothing() -> None:
    said = words()
    np.testing.assert_array_equal(told(polynet_state(ignorant()), said), said[:, :LAGS])


def test_only_what_is_possible_is_weighed() -> None:
    said = words()
    judged = np.array(told(polynet_state(wary(2)), said))
    weighed = said[:, :LAGS].max(1) > POSSIBLE
    weighed[: PAST - 1] = False  # until all that is remembered has been heard
    assert 0.1 < weighed[PAST:].mean() < 0.9
    np.testing.assert_allclose(said[:, :LAGS] - judged, 2 * np.repeat(weighed[:, None], LAGS, 1), atol=1e-5)


@pytest.mark.parametrize(("shift", "heard"), [(0, True), (1, True), (12, True), (-28, True), (9, False)])
def test_a_pitch_is_weighed_by_what_is_said_of_its_kin(shift: int, heard: bool) -> None:
    weights = ignorant()
    weights.hidden[:], weights.hidden_bias[:], weights.out[:] = 0.01, 20, 1
    said = np.full((PAST, LAGS + 2, PITCHES), -6, np.float32)
    said[-1, 0, 40] = 1
    plain = told(polynet_state(weights), said)[-1]
    said[-1, 1, 40 + shift] = -5
    other = told(polynet_state(weights), said)[-1]
    assert (abs(other[0, 40] - plain[0, 40]) > 0.01) == heard


@pytest.mark.parametrize("part", ["memory", "mixed"])
def test_a_pitch_is_weighed_by_what_the_ear_keeps_of_it(part: str) -> None:
    weights, ear = ignorant(), notenet_state(note_weights(random_arrays()))
    weights.hidden[-EMBEDDING:], weights.hidden_bias[:], weights.out[:] = 1, 20, 1
    said = np.full((PAST, LAGS + 2, PITCHES), -6, np.float32)
    said[-1, 0, [40, 41]] = 1
    plain = told(polynet_state(weights), said, ear=ear)[-1]
    getattr(ear, part)[-1, 40] += 0.5
    other = told(polynet_state(weights), said, ear=ear)[-1]
    np.testing.assert_allclose(other[0, [40, 41]] - plain[0, [40, 41]], [4 * 0.5, 0], atol=1e-4)


def test_what_was_before_is_forgotten() -> None:
    state, fresh, ear = polynet_state(load()), polynet_state(load()), notenet_state(notes.load())
    told(state, words(30, seed=1), ear=ear)
    polynet_forget(state)
    said = words()
    np.testing.assert_array_equal(told(state, said, 30, ear), told(fresh, said, ear=ear))
