# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in the bar the music is: how likely every place of every tempo and metre, one frame after another."""

from typing import NamedTuple

import numpy as np

from dsp.fold import BETWEEN, HALF, OTHER, RIGHT, TWICE
from dsp.kernel import kernel
from dsp.pulse import FRAME
from dsp.units import RATE

SHORTEST, LONGEST = 25, 113  # frames between beats: 225 and 50 bpm
TEMPOS = LONGEST - SHORTEST + 1
METRES = (2, 3, 4)  # beats in a bar
OFTEN = (0.15, 0.4, 1.0)  # how often each is met, against the others
GOES_ON = (0.75, 0.95, 1.0)  # what is left of each after a bar, or four beats are counted as twice two
ROWS = sum(METRES)  # a row for each beat of each metre
STATES = sum(range(SHORTEST, LONGEST + 1))  # places of all tempos, within one beat

STIFF = 90.0  # how little a tempo changes from beat to beat
JUMP = 3e-3  # and how often it jumps to any other
TURN = 2e-3  # how often a bar begins where none was expected, or the metre changes
LEAK = 2e-4  # how much of each frame anything may have happened
USUAL, USUALLY = 112.0, 0.55  # the tempo that is expected [bpm], and how far from it [octaves]
EDGE = 2  # frames by which a beat may miss its place
MISS = (1.0, 0.7, 0.25)  # what it counts then
RATIO = 15.0  # frames without a beat for each that has one
DOWN = 0.28  # of all beats, those that begin a bar
TRUST = 0.8  # how much is believed of what begins a bar
ALIKE = 0.12  # tempi are one within this [octaves]


class PointerState(NamedTuple):
    likely: np.ndarray  # (2, ROWS, STATES) before and after the newest frame, in turn
    first: np.ndarray  # (TEMPOS + 1,) where the places of each tempo begin
    spread: np.ndarray  # (TEMPOS, TEMPOS) from tempo to tempo, at a beat
    usual: np.ndarray  # (TEMPOS,) how likely each tempo is before anything was heard
    follows: np.ndarray  # (ROWS,) the row before each
    next: np.ndarray  # (ROWS,) and the row after
    metre: np.ndarray  # (ROWS,) beats in the bar of each row
    often: np.ndarray  # (ROWS,) of OFTEN
    goes_on: np.ndarray  # (ROWS,) of GOES_ON where a bar begins, else 1
    allowed: np.ndarray  # (TEMPOS,) 0..1
    leaving: np.ndarray  # (ROWS, TEMPOS) work
    turning: np.ndarray  # (TEMPOS,) work
    arriving: np.ndarray  # (TEMPOS,) work
    places: np.ndarray  # (STATES,) likelihood of each place, whatever the row
    tempos: np.ndarray  # (TEMPOS,) of each tempo, whatever the place
    ahead: np.ndarray  # (LONGEST + 1,) of each number of frames until the next beat
    turn: np.ndarray  # (1,) which of `likely` is the newest
    scale: np.ndarray  # (1,) that makes it sum to 1
    found: (
        np.ndarray
    )  # (4,) frames until the next beat, frames between beats, likelihood of both, row of the next


def pointer_state() -> PointerState:
    lengths = np.arange(SHORTEST, LONGEST + 1)
    first = np.concatenate([[0], np.cumsum(lengths)])
    spread = np.exp(-STIFF * np.abs(lengths[None] / lengths[:, None] - 1))
    spread /= spread.sum(1, keepdims=True)
    bpm = 60 * RATE / FRAME / lengths
    usual = np.exp(-0.5 * (np.log2(bpm / USUAL) / USUALLY) ** 2) / lengths  # even in octaves
    usual /= usual.sum()
    spread = (1 - JUMP) * spread + JUMP * usual
    follows, follow, metre, at = [], [], [], 0
    often, goes_on = np.repeat(OFTEN, METRES), np.ones(ROWS)
    for k, beats in enumerate(METRES):
        goes_on[at] = GOES_ON[k]
        follow += [at + (place + 1) % beats for place in range(beats)]
        follows += [at + (place - 1) % beats for place in range(beats)]
        metre += [beats] * beats
        at += beats
    state = PointerState(
        np.zeros((2, ROWS, STATES), np.float32),
        first.astype(np.int64),
        spread.astype(np.float32),
        usual.astype(np.float32),
        np.array(follows),
        np.array(follow),
        np.array(metre),
        often.astype(np.float32),
        goes_on.astype(np.float32),
        np.ones(TEMPOS, np.float32),
        np.zeros((ROWS, TEMPOS), np.float32),
        np.zeros(TEMPOS, np.float32),
        np.zeros(TEMPOS, np.float32),
        np.zeros(STATES, np.float32),
        np.zeros(TEMPOS, np.float32),
        np.zeros(LONGEST + 1, np.float32),
        np.zeros(1, np.int64),
        np.ones(1, np.float32),
        np.zeros(4),
    )
    state.likely[:] = often[:, None] / often.sum() * np.repeat(usual / lengths, lengths)
    return state


FAST = {"contract", "reassoc", "nsz"}  # these loops are as long as a tempo, whatever the block


@kernel(fastmath=FAST)
def _shift(before, after, scale, leak):
    """Everything moves on by a frame."""
    for k in range(1, len(before)):
        after[k] = before[k - 1] * scale + leak


@kernel(fastmath=FAST)
def _sum(x):
    total = np.float32(0)
    for k in range(len(x)):
        total += x[k]
    return total


@kernel(fastmath=FAST)
def _add(x, share, out):
    for j in range(len(out)):
        out[j] += share * x[j]


@kernel
def _used(beats, metre):
    """Whether bars of so many beats are looked for."""
    return metre == 0 or beats == metre


@kernel
def pointer_hop(state, beat, down, metre):
    """Move on by a frame in which a beat sounds, or none.

    Parameters
    ----------
    state : PointerState
    beat : float
        How sure it is that a beat sounds in this frame, 0..1.
    down : float
        If one does, how sure it is that it begins a bar, 0..1.
    metre : int
        Beats in a bar; 0 where it is to be found.

    References
    ----------
    N. Whiteley, A. T. Cemgil, S. Godsill, "Bayesian modelling of temporal
    structure in musical audio", ISMIR 2006; F. Krebs, S. Boeck, G. Widmer, "An
    efficient state space model for joint tempo and meter tracking", ISMIR 2015:
    the states, and tempi that change at beats alone. A tempo may jump here, a
    bar begin early, and a beat counts within frames of its place rather than
    within a sixteenth of the beat.
    """
    now = state.turn[0]
    before, after = state.likely[now], state.likely[1 - now]
    state.turn[0] = 1 - now
    first, scale = state.first, state.scale[0]
    beat = min(max(beat, np.float32(0.002)), np.float32(0.998))
    ratio = np.float32(RATIO) * beat / (np.float32(1) - beat)
    down = np.float32(0.5) + np.float32(TRUST) * (down - np.float32(0.5))
    down = min(max(down, np.float32(0.03)), np.float32(0.97))
    bar, rest = down / np.float32(DOWN), (np.float32(1) - down) / np.float32(1 - DOWN)
    often = np.float32(0)
    for row in range(ROWS):
        often += state.often[row] if _used(state.metre[row], metre) else np.float32(0)
    for i in range(TEMPOS):
        state.turning[i] = np.float32(0)
    for row in range(ROWS):
        for i in range(TEMPOS):
            mass = before[row, first[i + 1] - 1] * scale
            state.leaving[row, i] = mass
            state.turning[i] += mass
    total = np.float32(0)
    for row in range(ROWS):
        if not _used(state.metre[row], metre):
            for k in range(STATES):
                after[row, k] = np.float32(0)
            continue
        begins = row == 0 or state.metre[row - 1] != state.metre[row]
        gain = ratio * (bar if begins else rest)
        leaving, arriving = state.leaving[state.follows[row]], state.arriving
        for j in range(TEMPOS):
            arriving[j] = np.float32(0)
        for i in range(TEMPOS):
            share = leaving[i] * state.goes_on[row]
            share += np.float32(TURN) * state.often[row] * state.turning[i] if begins else np.float32(0)
            _add(state.spread[i], share, arriving)
        for j in range(TEMPOS):
            length = first[j + 1] - first[j]
            leak = np.float32(LEAK) * state.usual[j] * state.often[row] / (np.float32(length) * often)
            places = after[row, first[j] : first[j + 1]]
            _shift(before[row, first[j] : first[j + 1]], places, scale, leak)
            places[0] = arriving[j] * state.allowed[j] + leak
            places[0] *= np.float32(1) + np.float32(MISS[0]) * (gain - np.float32(1))
            for edge in range(1, EDGE + 1):
                counts = np.float32(1) + np.float32(MISS[edge]) * (gain - np.float32(1))
                places[edge] *= counts
                places[length - edge] *= counts
            total += _sum(places)
    state.scale[0] = np.float32(1) / max(total, np.float32(1e-30))


@kernel
def pointer_read(state):
    """What is likeliest, into ``state.found``."""
    likely, first, scale = state.likely[state.turn[0]], state.first, state.scale[0]
    places, tempos, ahead = state.places, state.tempos, state.ahead
    for k in range(STATES):
        places[k] = np.float32(0)
    for row in range(ROWS):
        _add(likely[row], scale, places)
    best = 0
    for i in range(TEMPOS):
        tempos[i] = _sum(places[first[i] : first[i + 1]])
    most = np.float32(0)
    for i in range(TEMPOS):
        near = tempos[i] + (tempos[i - 1] if i > 0 else np.float32(0))
        near += tempos[i + 1] if i + 1 < TEMPOS else np.float32(0)
        if near > most:
            most, best = near, i
    length = SHORTEST + best
    low = max(0, best - max(2, length // 12))
    high = min(TEMPOS, best + max(2, length // 12) + 1)
    for d in range(LONGEST + 1):
        ahead[d] = np.float32(0)
    mass, mean = 0.0, 0.0
    for i in range(low, high):
        beats = SHORTEST + i
        mass += tempos[i]
        mean += tempos[i] * beats
        ahead[0] += places[first[i]]
        for k in range(1, beats):
            ahead[beats - k] += places[first[i] + k]
    mean /= max(mass, 1e-9)
    top, most = 0, np.float32(-1)
    for d in range(LONGEST + 1):
        near = ahead[d]
        if d > 0:
            near += ahead[d - 1]
        if d < LONGEST:
            near += ahead[d + 1]
        if near > most:
            most, top = near, d
    reach = max(2, length // 10)
    sure, centre = 0.0, 0.0
    for d in range(max(0, top - reach), min(LONGEST, top + reach) + 1):
        sure += ahead[d]
        centre += ahead[d] * d
    centre /= max(sure, 1e-9)
    row_most, row_best = -1.0, 0
    for row in range(ROWS):
        here = 0.0
        for i in range(low, high):
            beats = SHORTEST + i
            for d in range(max(1, top - reach), min(beats - 1, top + reach) + 1):
                here += likely[state.follows[row], first[i] + beats - d]
        if here > row_most:
            row_most, row_best = here, row
    state.found[0] = centre
    state.found[1] = mean
    state.found[2] = sure
    state.found[3] = row_best


@kernel
def pointer_weigh(state, length, ahead, kinds, places):
    """Take in what is said of beats `length` frames apart, the next of which is `ahead` frames away.

    Parameters
    ----------
    state : PointerState
    length, ahead : float
    kinds : array, shape (READINGS,)
        How many times as likely each of `dsp.fold`'s readings of these beats is.
    places : array, shape (BEATS,)
        And each place in the bar of the last of them.
    """
    likely, first = state.likely[state.turn[0]], state.first
    total = np.float32(0)
    for i in range(TEMPOS):
        beats = SHORTEST + i
        octaves = np.log2(beats / length)
        for k in range(beats):
            away = abs(beats - k - ahead)
            away = min(away, abs(beats - away)) / beats
            if abs(octaves) < ALIKE:
                kind = RIGHT if away < 0.25 else BETWEEN
            elif abs(octaves - 1) < ALIKE:
                kind = TWICE
            elif abs(octaves + 1) < ALIKE:
                kind = HALF
            else:
                kind = OTHER
            weight, right, row = kinds[kind] * state.scale[0], kind == RIGHT, 0
            for m in range(len(METRES)):
                for place in range(METRES[m]):
                    by_place = np.float32(1)
                    if right and METRES[m] == 4:
                        by_place = places[place]
                    elif right and METRES[m] == 2:
                        by_place = np.float32(0.5) * (places[place] + places[place + 2])
                    likely[row, first[i] + k] *= weight * by_place
                    total += likely[row, first[i] + k]
                    row += 1
    state.scale[0] = np.float32(1) / max(total, np.float32(1e-30))


@kernel
def pointer_believe(state, length, ahead):
    """Take it that beats are `length` frames apart, and the next is `ahead` frames away."""
    likely, first = state.likely[state.turn[0]], state.first
    sums = 0.0
    for row in range(ROWS):
        for k in range(STATES):
            likely[row, k] = np.float32(0)
        for i in range(TEMPOS):
            beats = SHORTEST + i
            away = (beats / length - 1) / 0.02
            if abs(away) > 4:
                continue
            to = ahead % length
            for k in range(beats):
                off = (beats - k - to) % beats
                off = min(off, beats - off)
                mass = np.exp(-0.5 * away * away - 0.5 * off * off) if off < 5 else 0.0
                likely[row, first[i] + k] = np.float32(mass)
                sums += mass
    state.scale[0] = np.float32(1 / max(sums, 1e-30))
