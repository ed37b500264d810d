# SPDX-License-Identifier: GPL-3.0-or-later
"""Pads: what is taught is said, by the kernels and by the kits they come from."""

import numpy as np
import pytest

from bridge.teaching import embedding, every_stroke, pads_of, teach
from dsp.events import LABEL_ROW, LABELS
from dsp.pads import PADS, RECENT, pads_keep, pads_kit, pads_name, pads_rename, pads_state
from models.kit import (
    Kit,
    Pad,
    Prior,
    Rows,
    discriminants,
    labels_of_pads,
    left_out,
    macro_f,
    nothing,
    rows_of,
    told_apart,
)

SIZE = 24


def spread(seed=0):
    """A covariance with a few wide and many narrow directions."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
    return turn @ np.diag(np.geomspace(4, 0.01, SIZE)) @ turn.T


def struck(means, each, seed, wide=1.0):
    """`each` strokes around each mean."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(spread()) * wide
    return [mean + rng.standard_normal((each, SIZE)) @ root.T for mean in means]


def kit_of(groups, names=("kick", "table", "snare", "clap")):
    kit = Kit("mine")
    for name, group in zip(names, groups, strict=False):
        kit = kit.with_pad(Pad(name)).with_strokes(len(kit.pads), group)
    return kit


@pytest.fixture
def means():
    return 1.2 * np.random.default_rng(5).standard_normal((4, SIZE)) @ np.linalg.cholesky(spread()).T


PRIOR = Prior(spread(), np.random.default_rng(9).standard_normal((len(LABELS), SIZE)))


# The kernels.


def test_a_kit_names_every_stroke_by_its_best_pad():
    state = pads_state(SIZE)
    assert not pads_kit(state)
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((5, SIZE + 1)).astype(np.float32)
    teach(state, Rows(weights, np.arange(30, 35), np.full(5, -1)), kit=True)
    assert pads_kit(state)
    for _ in range(20):
        e = rng.standard_normal(SIZE).astype(np.float32)
        scores = weights[:, :SIZE] @ e + weights[:, SIZE]
        label, sure = pads_name(state, e)
        assert label == 30 + scores.argmax()
        assert sure == pytest.approx(1 / np.exp(scores - scores.max()).sum(), rel=1e-4)


def test_a_hit_keeps_its_label_unless_a_correction_speaks_up():
    state = pads_state(SIZE)
    e = np.zeros(SIZE, np.float32)
    e[0] = 1
    assert pads_rename(state, e, 3) == 3
    weights = np.zeros((2, SIZE + 1), np.float32)
    weights[0, 0], weights[1, 0], weights[1, SIZE] = 1, 1, -2  # the second asks for more
    teach(state, Rows(weights, np.array([7, 8]), np.array([3, 4])), kit=False)
    assert not pads_kit(state)
    assert pads_rename(state, e, 3) == 7 and pads_rename(state, -e, 3) == 3
    assert pads_rename(state, e, 4) == 4 and pads_rename(state, 3 * e, 4) == 8
    assert pads_rename(state, e, 5) == 5


def test_what_is_taught_lies_in_the_other_bank_until_it_is_whole():
    state = pads_state(SIZE)
    before = int(state.use[0])
    every_stroke(state)
    assert state.use[0] == 1 - before and state.counts[before] == 0
    assert pads_name(state, np.ones(SIZE, np.float32)) == (len(LABELS), 1.0)
    teach(state, nothing(SIZE), kit=False)
    assert state.use[0] == before and not pads_kit(state)


def test_the_newest_hits_are_kept():
    state = pads_state(SIZE)
    for id in range(1, RECENT + 6):
        pads_keep(state, id, id % 7, np.full(SIZE, id, np.float32))
    assert embedding(state, 5) is None and embedding(state, 999) is None
    for id in range(6, RECENT + 6):
        assert np.all(embedding(state, id) == id)
        assert state.labels[np.flatnonzero(state.ids == id)[0]] == id % 7


def test_pads_are_found_wherever_they_are():
    state = pads_state(SIZE)
    assert pads_of((np.zeros(1), (np.zeros(2), state))) is state
    assert pads_of((np.zeros(1), (np.zeros(2),))) is None


# Kits.


def test_pads_that_are_labels_keep_their_rows():
    pads = [Pad("table"), Pad("snare"), Pad("clap-2"), Pad("kick")]
    assert labels_of_pads(pads) == [len(LABELS), LABEL_ROW["snare"], len(LABELS) + 1, LABEL_ROW["kick"]]


@pytest.mark.parametrize("prior", [None, PRIOR])
def test_a_kit_tells_new_strokes_apart(means, prior):
    kit = kit_of(struck(means, 12, 1))
    rows = rows_of(kit, prior)
    assert list(rows.says) == labels_of_pads(kit.pads) and set(rows.instead) == {-1}
    state = pads_state(SIZE)
    teach(state, rows, kit=True)
    right = [
        pads_name(state, e.astype(np.float32))[0] == rows.says[k]
        for k, group in enumerate(struck(means, 50, 2))
        for e in group
    ]
    assert np.mean(right) > (0.97 if prior else 0.85)


def test_the_prior_helps_where_strokes_are_few(means):
    groups, new = struck(means / 3, 3, 3), struck(means / 3, 100, 4)

    def right(prior):
        weights = discriminants(kit_of(groups), prior)
        return np.mean(
            [(weights[:, :SIZE] @ g.T + weights[:, SIZE:]).argmax(0) == k for k, g in enumerate(new)]
        )

    assert right(PRIOR) > right(None) + 0.05


def test_confidence_is_as_often_right_as_it_says(means):
    kit = kit_of(struck(means / 2, 12, 5))
    state = pads_state(SIZE)
    rows = rows_of(kit, PRIOR)
    teach(state, rows, kit=True)
    said = [
        (pads_name(state, e.astype(np.float32)), rows.says[k])
        for k, group in enumerate(struck(means / 2, 300, 6))
        for e in group
    ]
    sure = np.array([confidence for (_, confidence), _ in said])
    right = np.array([label == true for (label, _), true in said])
    assert 0.7 < right.mean() < 0.999
    assert abs(sure.mean() - right.mean()) < 0.1


def test_leaving_a_stroke_out_is_what_it_says(means):
    """By the same covariance, but a mean that does not know the stroke."""
    kit = kit_of(struck(means, 5, 7))
    scores, true = left_out(kit, PRIOR)
    weights = discriminants(kit, PRIOR)
    plain = kit.strokes @ weights[:, :SIZE].T + weights[:, SIZE]
    others = np.arange(len(means))[None] != true[:, None]
    assert np.allclose(scores[others], plain[others], atol=1e-3)
    assert np.all(scores[~others] < plain[~others])  # a mean is nearest to its own
    told = told_apart(kit, PRIOR)
    assert told.confusion.sum() == len(kit.strokes) and told.right > 0.9
    assert macro_f(told.confusion) == pytest.approx(told.right, abs=0.1)


def test_a_correction_pulls_its_pad_and_can_be_undone(means):
    kit = kit_of(struck(means, 10, 8))
    halfway = (means[0] + means[1])[None] / 2 + 0.05 * (means[1] - means[0])
    corrected = kit.with_strokes(0, halfway, taken_for=labels_of_pads(kit.pads)[1])
    assert corrected.counts() == [11, 10, 10, 10]

    def leaning(kit):
        weights = discriminants(kit, PRIOR)
        scores = weights[:, :SIZE] @ halfway[0] + weights[:, SIZE]
        return scores[0] - scores[1]

    assert leaning(corrected) > max(leaning(kit), 0)
    undone = corrected.without_last()
    assert np.array_equal(undone.strokes, kit.strokes) and undone.counts() == kit.counts()
    assert kit.without_last().counts() == kit.counts()  # nothing learned on purpose is lost


def test_a_pad_is_learned_anew_alone(means):
    kit = kit_of(struck(means, 4, 9)).without(1)
    assert kit.counts() == [4, 0, 4, 4]
    rows = rows_of(kit, PRIOR)
    assert len(rows.weights) == 3 and LABELS[rows.says[1]].name == "snare"


def test_corrections_rename_what_is_like_them_and_nothing_else():
    snare, kick, crash = (LABEL_ROW[name] for name in ("snare", "kick", "crash"))
    odd = PRIOR.means[snare] + 2 * np.random.default_rng(3).standard_normal(SIZE)
    kit = Kit("corrections", (Pad("kick"),), corrections=True).with_strokes(0, odd[None], taken_for=snare)
    rows = rows_of(kit, PRIOR)
    assert (list(rows.says), list(rows.instead)) == ([kick], [snare])
    state = pads_state(SIZE)
    teach(state, rows, kit=False)
    near = struck([odd], 50, 10, wide=0.3)[0].astype(np.float32)
    usual = struck([PRIOR.means[snare]], 200, 11, wide=0.3)[0].astype(np.float32)
    assert np.mean([pads_rename(state, e, snare) == kick for e in near]) > 0.95
    assert np.mean([pads_rename(state, e, snare) == snare for e in usual]) > 0.99
    assert all(pads_rename(state, e, crash) == crash for e in near)
    assert len(rows_of(kit, None).weights) == 0  # nothing is known of the usual sound: nothing is renamed


def test_a_kit_has_its_bounds():
    kit = Kit("full", tuple(Pad(f"pad-{k}") for k in range(PADS)))
    with pytest.raises(ValueError, match=f"at most {PADS} pads"):
        kit.with_pad(Pad("more"))
    with pytest.raises(ValueError, match="strokes"):
        kit.with_strokes(0, np.zeros((5000, SIZE)))
