# SPDX-License-Identifier: GPL-3.0-or-later
"""Music made by rule has the beats that it says it has."""

import numpy as np
import pytest

from models.train.feels import FEELS, Player, ruled
from models.train.rhythm import Score, Timeline


def starts(score: Score) -> np.ndarray:
    return np.array([time for time, message in score.messages if message.type == "note_on"])


def test_rows_of_a_feel_are_whole_bars() -> None:
    for feel in FEELS:
        assert 46 <= feel.slow < feel.fast <= 215 and feel.metre in (2, 3, 4)
        for row in feel.rows.values():
            assert len(row) % (feel.metre * feel.parts) == 0 and set(row) <= set("xo?.")
    assert {(feel.metre, feel.parts) for feel in FEELS} >= {(4, 2), (4, 3), (4, 4), (3, 2), (2, 3), (2, 2)}


@pytest.mark.parametrize("seed", range(12))
def test_notes_fall_upon_the_beats_that_are_told(seed: int) -> None:
    score, line = ruled(np.random.default_rng(seed))
    beats, notes = line.beats(), starts(score)
    assert len(beats) > 15 and (np.diff(beats[:, 0]) > 0.2).all()
    metre = int(beats[:, 1].max())
    assert (np.diff(beats[:, 1]) % metre == 1 % metre).all()
    near = np.abs(beats[:, 0, None] - notes).min(1)
    elsewhere = np.abs(beats[:-1, 0, None] + 0.17 * np.diff(beats[:, 0])[:, None] - notes).min(1)
    assert np.median(near) < 0.03 and np.median(near) < np.median(elsewhere)


def test_swing_leaves_beats_where_they_are() -> None:
    rng = np.random.default_rng(1)
    for feel in (FEELS[0], FEELS[10]):
        swung = 0
        for _ in range(40):
            player = Player(feel, Timeline(120, 4, rng, waltzes=0), Score(), rng)
            assert [player.beat(feel.parts * k) for k in range(5)] == pytest.approx(range(5))
            places = np.array([player.beat(k / 4) for k in range(60)])
            assert (np.diff(places) > 0).all()
            swung += player.beat(1) > 1 / feel.parts + 1e-6
        assert 2 <= swung <= 20


def test_bars_of_two_and_three_are_as_many_as_asked_for() -> None:
    rng = np.random.default_rng(3)
    assert {ruled(rng, 1.0)[1].metre for _ in range(8)} == {2, 3}
    assert {ruled(rng, 0.0)[1].metre for _ in range(4)} == {4}
