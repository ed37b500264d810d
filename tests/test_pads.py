# SPDX-License-Identifier: GPL-3.0-or-later
"""Pads: what is taught is said, by the kernels and by the kits they come from."""

import numpy as np
import pytest

from bridge.kit.teacher import every_stroke, known_of, pads_of, teach
from dsp import timbre
from dsp.events import LABEL_ROW, LABELS
from dsp.pads import PADS, RECENT, pads_keep, pads_kit, pads_look, pads_name, pads_rename, pads_state
from dsp.timbre import TIMBRE, timbre_look, timbre_state
from dsp.triangles import corners
from dsp.units import RATE, samples
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

SIZE = 24  # of an embedding
ALL = SIZE + TIMBRE


def spread(seed=0):
    """A covariance with a few wide and many narrow directions."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
    return turn @ np.diag(np.geomspace(4, 0.01, SIZE)) @ turn.T


def struck(means, each, seed, wide=1.0):
    """`each` strokes around each mean; all are of one timbre."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(spread()) * wide
    known = [mean + rng.standard_normal((each, SIZE)) @ root.T for mean in means]
    return [np.pad(strokes, ((0, 0), (0, TIMBRE))) for strokes in known]


def name(state, stroke):
    """What a kit takes a stroke (ALL,) for."""
    state.timbre[:] = stroke[SIZE:]
    return pads_name(state, stroke[:SIZE].astype(np.float32))


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
    weights = rng.standard_normal((5, ALL + 1)).astype(np.float32)
    teach(state, Rows(weights, np.arange(30, 35), np.full(5, -1)), kit=True)
    assert pads_kit(state)
    for _ in range(20):
        stroke = rng.standard_normal(ALL).astype(np.float32)
        scores = weights[:, :ALL] @ stroke + weights[:, ALL]
        label, sure = name(state, stroke)
        assert label == 30 + scores.argmax()
        assert sure == pytest.approx(1 / np.exp(scores - scores.max()).sum(), rel=1e-4)


def test_a_hit_keeps_its_label_unless_a_correction_speaks_up():
    state = pads_state(SIZE)
    e = np.zeros(SIZE, np.float32)
    e[0] = 1
    assert pads_rename(state, e, 3) == 3
    weights = np.zeros((2, ALL + 1), np.float32)
    weights[0, 0], weights[1, 0], weights[1, ALL] = 1, 1, -2  # the second asks for more
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
    teach(state, nothing(ALL), kit=False)
    assert state.use[0] == before and not pads_kit(state)


def test_the_newest_hits_are_kept():
    state = pads_state(SIZE)
    for id in range(1, RECENT + 6):
        state.timbre[:] = -id
        pads_keep(state, id, id % 7, np.full(SIZE, id, np.float32))
    assert known_of(state, 5) is None and known_of(state, 999) is None
    for id in range(6, RECENT + 6):
        assert np.all(known_of(state, id) == np.repeat([id, -id], [SIZE, TIMBRE]))
        assert state.labels[np.flatnonzero(state.ids == id)[0]] == id % 7


def test_pads_are_found_wherever_they_are():
    state = pads_state(SIZE)
    assert pads_of((np.zeros(1), (np.zeros(2), state))) is state
    assert pads_of((np.zeros(1), (np.zeros(2),))) is None


def heard_at(sound, onset, decision_ms=12, late=0):
    """Timbre of what begins at `onset` of a sound."""
    out, decision = np.zeros(TIMBRE, np.float32), samples(decision_ms)
    age = decision - late
    recent = np.zeros(2048, np.float32)
    newest = sound[max(0, onset + age - 2048) : onset + age]
    recent[2048 - len(newest) :] = newest
    timbre_look(timbre_state(), recent, age, decision, out)
    return out


def test_a_timbre_does_not_know_when_it_was_looked_at_nor_how_loud_it_was():
    rng = np.random.default_rng(0)
    sound = np.zeros(RATE, np.float32)
    sound[9000:] = rng.standard_normal(RATE - 9000) * np.exp(-np.arange(RATE - 9000) / 2000)
    for decision in (3, 6, 12, 25, 60):
        plain = heard_at(sound, 9000, decision)
        assert np.all(np.isfinite(plain))
        if decision < 40:  # what is further back is not kept
            assert np.array_equal(plain, heard_at(sound, 9000, decision, late=63))
        assert np.allclose(plain, heard_at(0.003 * sound, 9000, decision), atol=0.02)
    assert np.all(np.isfinite(heard_at(0 * sound, 9000)))


def test_a_timbre_is_high_where_the_sound_is():
    t = np.arange(2000) / RATE
    for pitch in (200, 1000, 6000):
        sound = np.concatenate([np.zeros(3000), np.sin(2 * np.pi * pitch * t)]).astype(np.float32)
        whole = heard_at(sound, 3000)[:56]
        centres = corners(timbre.SIZE, *timbre.RANGE, timbre.WHOLE)[1:-1] * RATE / timbre.SIZE
        assert abs(centres[whole.argmax()] / pitch - 1) < 0.25
    steps = heard_at(np.concatenate([np.zeros(3000), np.exp(-t / 0.003)]).astype(np.float32), 3000)[-16:-8]
    assert np.all(np.diff(steps[1:]) < 0)  # the first holds what lies before the stroke


def test_a_stroke_looked_at_is_kept_with_its_timbre():
    state = pads_state(SIZE)
    recent = np.random.default_rng(0).standard_normal(2048).astype(np.float32)
    pads_look(state, recent, 570, 576)
    pads_keep(state, 1, 0, np.zeros(SIZE, np.float32))
    out = np.zeros(TIMBRE, np.float32)
    timbre_look(timbre_state(), recent, 570, 576, out)
    assert np.array_equal(known_of(state, 1)[SIZE:], out)


# Kits.


def test_pads_that_are_labels_keep_their_rows():
    pads = [Pad("table"), Pad("snare"), Pad("clap-2"), Pad("kick")]
    assert labels_of_pads(pads) == [len(LABELS), LABEL_ROW["snare"], len(LABELS) + 1, LABEL_ROW["kick"]]


@pytest.mark.parametrize("each", [4, 12])
def test_a_kit_tells_new_strokes_apart(means, each):
    kit = kit_of(struck(means, each, 1))
    rows = rows_of(kit, None)
    assert list(rows.says) == labels_of_pads(kit.pads) and set(rows.instead) == {-1}
    state = pads_state(SIZE)
    teach(state, rows, kit=True)
    right = [name(state, e)[0] == rows.says[k] for k, group in enumerate(struck(means, 50, 2)) for e in group]
    assert np.mean(right) > (0.93 if each > 4 else 0.8)


def test_a_number_that_was_still_while_the_kit_was_learned_decides_nothing(means):
    learned, played = (struck(means, 20, seed) for seed in (1, 2))
    for k, group in enumerate(learned):
        group[:, SIZE:] = np.random.default_rng(k).standard_normal((20, TIMBRE))
        group[:, 3] = 1e-6 * np.random.default_rng(k).random(20)  # a unit of the net that is all but dead
    state = pads_state(SIZE)
    teach(state, rows_of(kit_of(learned), None), kit=True)
    right = 0
    for k, group in enumerate(played):
        group[:, SIZE:] = np.random.default_rng(9).standard_normal((20, TIMBRE))
        group[:, 3] = 0.06
        right += sum(name(state, stroke)[0] == state.says[state.use[0], k] for stroke in group)
    assert right > 0.85 * 4 * 20


def test_confidence_is_as_often_right_as_it_says(means):
    kit = kit_of(struck(means / 2, 12, 5))
    state = pads_state(SIZE)
    rows = rows_of(kit, PRIOR)
    teach(state, rows, kit=True)
    said = [
        (name(state, e), rows.says[k]) for k, group in enumerate(struck(means / 2, 300, 6)) for e in group
    ]
    sure = np.array([confidence for (_, confidence), _ in said])
    right = np.array([label == true for (label, _), true in said])
    assert 0.7 < right.mean() < 0.999
    assert abs(sure.mean() - right.mean()) < 0.1


def test_leaving_a_stroke_out_is_what_it_says(means):
    """By the same covariance, but a mean that does not know the stroke."""
    kit = kit_of(struck(means, 5, 7))
    scores, true = left_out(kit)
    weights = discriminants(kit)
    plain = kit.strokes @ weights[:, :ALL].T + weights[:, ALL]
    others = np.arange(len(means))[None] != true[:, None]
    shared = (scores - plain)[others].reshape(len(true), -1)
    plain += shared.mean(1, keepdims=True)  # what all pads share is left out of the weights
    assert np.allclose(scores[others], plain[others], atol=1e-3)
    assert np.all(scores[~others] < plain[~others])  # a mean is nearest to its own
    told = told_apart(kit)
    assert told.confusion.sum() == len(kit.strokes) and told.right > 0.9
    assert macro_f(told.confusion) == pytest.approx(told.right, abs=0.1)


def test_a_correction_pulls_its_pad_and_can_be_undone(means):
    kit = kit_of(struck(means, 10, 8))
    halfway = np.pad((0.45 * means[0] + 0.55 * means[1])[None], ((0, 0), (0, TIMBRE)))
    corrected = kit.with_strokes(0, halfway, taken_for=labels_of_pads(kit.pads)[1])
    assert corrected.counts() == [11, 10, 10, 10]

    def leaning(kit):
        weights = discriminants(kit)
        scores = weights[:, :ALL] @ halfway[0] + weights[:, ALL]
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
    kit = Kit("corrections", (Pad("kick"),), corrections=True).with_strokes(
        0, np.pad(odd, (0, TIMBRE))[None], taken_for=snare
    )
    rows = rows_of(kit, PRIOR)
    assert (list(rows.says), list(rows.instead)) == ([kick], [snare])
    state = pads_state(SIZE)
    teach(state, rows, kit=False)
    near = struck([odd], 50, 10, wide=0.3)[0][:, :SIZE].astype(np.float32)
    usual = struck([PRIOR.means[snare]], 200, 11, wide=0.3)[0][:, :SIZE].astype(np.float32)
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
