# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of music that come again, and those where it changes."""

import numpy as np
import pytest

from dsp.pulse import BANDS
from dsp.recur import BASS, FEWEST, LAGS, MARKS, PIECES, ROUND, recur


def marks(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of so many pieces, those of lags and, shape (3, ROUND), those of changes."""
    room, out = np.zeros((PIECES, BANDS), np.float32), np.full(MARKS, np.nan, np.float32)
    room[: len(pieces)] = pieces
    recur(room, len(pieces), out)
    assert np.isfinite(out).all()
    return out[:LAGS], out[LAGS:].reshape(3, ROUND)


@pytest.mark.parametrize("bar", [6, 8])
def test_what_comes_again_after_a_bar_tells_the_metre(bar: int) -> None:
    pieces = np.tile(np.random.default_rng(1).normal(0, 1, (bar, BANDS)), (6, 1))
    lags, _ = marks(pieces)
    assert lags[bar - 1] < 0.01 < 0.5 < np.delete(lags[:bar], bar - 1).min()
    np.testing.assert_allclose(marks(2 * pieces)[0], lags, rtol=0.01)


@pytest.mark.parametrize("newest", range(ROUND))
def test_where_chords_change_is_told_by_places_before_the_newest_beat(newest: int) -> None:
    chords = np.repeat(np.random.default_rng(2).normal(0, 1, (6, BANDS)), ROUND, axis=0)
    _, changes = marks(chords[: 5 * ROUND + newest + 1])
    assert (changes.argmax(1)[1:] == newest).all() and changes[1, newest] > 0.9 * ROUND
    if newest:  # two pieces after a change are known
        assert changes[0].argmax() == newest
    np.testing.assert_allclose(changes.mean(1), 1, rtol=0.01)


def test_a_bass_that_moves_is_told_from_one_that_is_louder() -> None:
    pieces = np.zeros((33, BANDS), np.float32)
    pieces[1::8] += 3  # louder, all of it
    for k in range(0, 33, 8):
        pieces[k : k + 4, :7] += 1
        pieces[k + 4 : k + 8, 7:BASS] += 1
    _, changes = marks(pieces)
    assert sorted(changes[2].argsort()[-2:]) == [0, 4]
    assert changes[2, [7, 6]].max() < 0.01 < changes[1, [7, 6]].min()


def test_few_pieces_are_enough() -> None:
    lags, changes = marks(np.random.default_rng(3).normal(0, 1, (FEWEST, BANDS)))
    assert (lags[FEWEST - 1 :] == 1).all() and (changes >= 0).all()
