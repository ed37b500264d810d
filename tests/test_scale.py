# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes drawn to a key."""

import pytest

from dsp.scale import EVERY, SCALES, drawn, scale_mask


def test_all_leaves_every_note_where_it_is() -> None:
    assert all(drawn(scale_mask(EVERY), note) == note for note in range(128))
    assert drawn(0, 61) == 61  # a scale of nothing draws nothing


@pytest.mark.parametrize("name", SCALES[1:])
def test_a_scale_has_seven_notes_and_draws_to_the_nearest(name: str) -> None:
    mask = scale_mask(name)
    inside = [note for note in range(-24, 152) if (mask >> note % 12) & 1]
    assert len({note % 12 for note in inside}) == 7
    for note in range(128):
        assert drawn(mask, note) == min(inside, key=lambda other: (abs(other - note), other))


def test_relatives_share_their_notes() -> None:
    assert scale_mask("C major") == scale_mask("A minor") == 0b101010110101
    assert scale_mask("Eb major") == scale_mask("C minor")
