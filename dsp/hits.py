# SPDX-License-Identifier: GPL-3.0-or-later
"""What was struck: kick, snare, hat, tom or cymbal."""

import base64
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsp.events import DRUM, LABEL_ROW, LABELS
from dsp.hits_table import TABLE
from dsp.kernel import kernel
from dsp.onset import velocity_of
from dsp.settings import number, switch
from dsp.spectrum import BANDS, TIMES
from dsp.units import HOP, samples


@dataclass(frozen=True, slots=True)
class DrumSettings:
    enabled: bool = switch(True, "name every stroke as a drum")
    decision_ms: float = number(12, 3, 60, "ms", "how long after the stroke its name is decided")
    sensitivity: float = number(0.5, 0, 1, "", "0 names only clear strokes, 1 names everything")
    refractory_ms: float = number(48, 10, 500, "ms", "shortest time between two hits of one drum")


FAMILIES = ("kick", "snare", "hat", "tom", "cymbal")
NAMES = (  # family, label
    ("kick", "kick"),
    ("snare", "snare"),
    ("snare", "snare-side"),
    ("hat", "hat-closed"),
    ("hat", "hat-open"),
    ("tom", "tom-low"),
    ("tom", "tom-mid"),
    ("tom", "tom-high"),
    ("cymbal", "crash"),
    ("cymbal", "ride"),
)
FEATURES = 4 * BANDS
HIDDEN = 32
OUTPUTS = len(FAMILIES) + len(NAMES)
HABIT = 12  # strokes over which the usual stroke is averaged
DECISIONS = (3, 5, 8, 12, 20, 35, 60)  # [ms] each has its own part of the table
DOUBT = (0.35, 0.4, 0.22, 0.6, 0.22)  # likelihood from which a family is named, at sensitivity 0.5
HAT, CYMBAL = FAMILIES.index("hat"), FAMILIES.index("cymbal")
LEAN = np.float32(1.8)  # a hat must be this much likelier than a cymbal: renders have more hats than songs
# First and one past the last band whose level is the family's velocity, and what brings it to the peak [dB].
ATTACK = ((0, 5, 1.2), (3, 30, 3.0), (22, 30, 6.2), (1, 9, 2.8), (18, 30, 5.6))

SLOTS = 8  # strokes that may wait for their name at once: 60 ms of decision, 10 ms apart
CHANNEL = 10  # where General MIDI plays drums

HITS_PARAMS = np.dtype(
    [
        ("enabled", "i8"),
        ("decision", "i8"),  # [samples]
        ("refractory", "i8"),  # [samples]
        ("part", "i8"),  # of the table
        ("doubt", "f4", (len(FAMILIES),)),
    ],
    align=True,
)


class HitsState(NamedTuple):
    params: np.ndarray  # (1,) HITS_PARAMS
    first: np.ndarray  # (parts, FEATURES + 1, HIDDEN) of the table, bias last
    second: np.ndarray  # (parts, HIDDEN + 1, OUTPUTS) of the table, bias last
    family: np.ndarray  # (names,) row of FAMILIES of each name
    rows: np.ndarray  # (names,) row of LABELS of each name
    notes: np.ndarray  # (names,)
    attack: np.ndarray  # (families, 3)
    time: np.ndarray  # (SLOTS,) of strokes without a name, -1 where none waits [samples]
    id: np.ndarray  # (SLOTS,) of their onset
    before: np.ndarray  # (SLOTS, BANDS) background they rose from [dB]
    most: np.ndarray  # (SLOTS, BANDS) highest level since [dB]
    usual: np.ndarray  # (BANDS,) mean of `most` over the last strokes [dB]
    strokes: np.ndarray  # (1,) named so far, up to HABIT
    last: np.ndarray  # (families,) time of the newest hit of each [samples]
    features: np.ndarray  # (FEATURES,) of the stroke named last
    hidden: np.ndarray  # (HIDDEN,) work
    score: np.ndarray  # (OUTPUTS,) likelihood of each family and name, of the stroke named last


def table() -> tuple[np.ndarray, np.ndarray]:
    """First and second layer of all parts, from the whole numbers of `hits_table`."""
    parts = len(DECISIONS)
    first = np.zeros((parts, FEATURES + 1, HIDDEN), np.float32)
    second = np.zeros((parts, HIDDEN + 1, OUTPUTS), np.float32)
    blob, at = base64.b64decode(TABLE), 0
    for part in range(parts if blob else 0):
        for layer in (first[part], second[part]):
            scale = np.frombuffer(blob, "<f4", layer.shape[1], at)
            at += scale.nbytes
            whole = np.frombuffer(blob, np.int8, layer.size, at)
            at += whole.nbytes
            layer[...] = whole.reshape(layer.shape) * scale
    return first, second


def hits_params(settings: DrumSettings) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,)."""
    params = np.zeros(1, HITS_PARAMS)
    doubt = np.asarray(DOUBT)
    shift = np.exp(5 * (0.5 - settings.sensitivity))
    part = max(i for i, decision in enumerate(DECISIONS) if i == 0 or decision <= settings.decision_ms)
    params[0] = (
        settings.enabled,
        samples(settings.decision_ms),
        samples(settings.refractory_ms),
        part,
        shift * doubt / (1 - doubt + shift * doubt),
    )
    return params


def hits_state(settings: DrumSettings) -> HitsState:
    families = len(FAMILIES)
    rows = np.array([LABEL_ROW[name] for _, name in NAMES])
    return HitsState(
        hits_params(settings),
        *table(),
        np.array([FAMILIES.index(family) for family, _ in NAMES]),
        rows,
        np.array([LABELS[row].note for row in rows], np.float32),
        np.array(ATTACK, np.float32),
        np.full(SLOTS, -1),
        np.zeros(SLOTS, np.int64),
        np.zeros((SLOTS, BANDS), np.float32),
        np.zeros((SLOTS, BANDS), np.float32),
        np.zeros(BANDS, np.float32),
        np.zeros(1, np.int64),
        np.full(families, -(1 << 40)),
        np.zeros(FEATURES, np.float32),
        np.zeros(HIDDEN, np.float32),
        np.zeros(OUTPUTS, np.float32),
    )


@kernel
def hits_await(state, time, ref, background):
    """A stroke was decided; its name will follow."""
    for slot in range(SLOTS):
        if state.time[slot] < 0:
            state.time[slot] = time
            state.id[slot] = ref
            for band in range(BANDS):
                state.before[slot, band] = background[band]
                state.most[slot, band] = np.float32(-100)
            return


@kernel
def _describe(before, most, levels, usual, out):
    """Of each band: how far it rose, how it stands to the loudest and to the usual stroke, how far it fell again.

    A recording's own colour, such as a missing top, is in the usual stroke too.
    """
    loudest = np.float32(-100)
    for band in range(BANDS - TIMES):
        loudest = max(loudest, most[band])
    for band in range(BANDS):
        rise = min(max(most[band] - before[band], np.float32(0)), np.float32(40))
        stand = max(most[band] - loudest, np.float32(-50))
        fall = max(levels[band] - most[band], np.float32(-30))
        out[band] = rise / np.float32(20)
        out[BANDS + band] = stand / np.float32(20) + np.float32(1)
        out[2 * BANDS + band] = fall / np.float32(10)
        out[3 * BANDS + band] = min(
            max(most[band] - usual[band], np.float32(-40)), np.float32(40)
        ) / np.float32(10)


@kernel(fastmath={"contract", "reassoc", "nsz"})
def _layer(x, weights, out):
    """Weighted sums, the last row being the bias."""
    n = len(x)
    for j in range(len(out)):
        out[j] = weights[n, j]
    for i in range(n):
        v = x[i]
        for j in range(len(out)):
            out[j] += v * weights[i, j]


@kernel
def _judge(state, part):
    """Likelihoods of the families and names of the stroke in `features`."""
    hidden, score = state.hidden, state.score
    _layer(state.features, state.first[part], hidden)
    for j in range(HIDDEN):
        hidden[j] = max(hidden[j], np.float32(0))
    _layer(hidden, state.second[part], score)
    for j in range(OUTPUTS):
        score[j] = np.float32(1) / (np.float32(1) + np.exp(-score[j]))
    # One hand plays the metal: what speaks for a hat or for a cymbal speaks for the likelier of them.
    metal = np.float32(1) - (np.float32(1) - score[HAT]) * (np.float32(1) - score[CYMBAL])
    hat = score[HAT] >= LEAN * score[CYMBAL]
    score[HAT] = metal if hat else np.float32(0)
    score[CYMBAL] = np.float32(0) if hat else metal


@kernel
def _attack(most, attack):
    """Velocity of a family: the power of its bands together."""
    power = np.float32(1e-10)
    for band in range(int(attack[0]), int(attack[1])):
        power += np.float32(10) ** (most[band] / np.float32(10))
    return velocity_of(np.sqrt(power) * np.float32(10) ** (attack[2] / np.float32(20)))


@kernel
def hits_hop(state, levels, now, ids, out, n):
    """Name the strokes that can wait no longer; the number of events in `out` then.

    Parameters
    ----------
    state : HitsState
    levels : array, shape (BANDS,)
        Newest levels above the mask [dB].
    now : int
        Clock at the end of the hop [samples].
    ids : array, shape (1,)
    out : array of EVENT
        Holds `n` already; gains at most one a family and stroke.

    Notes
    -----
    Realtime: O(1), no allocation.
    """
    params, last, score = state.params[0], state.last, state.score
    for slot in range(SLOTS):
        time = state.time[slot]
        if time < 0:
            continue
        if now - time > params.decision:  # the ears were switched off meanwhile
            state.time[slot] = -1
            continue
        most = state.most[slot]
        for band in range(BANDS):
            most[band] = max(most[band], levels[band])
        if now + HOP - time <= params.decision:
            continue
        state.time[slot] = -1
        state.strokes[0] = min(state.strokes[0] + 1, HABIT)
        for band in range(BANDS):
            state.usual[band] += (most[band] - state.usual[band]) / np.float32(state.strokes[0])
        _describe(state.before[slot], most, levels, state.usual, state.features)
        _judge(state, params.part)
        best = 0  # every stroke gets a name: the family that clears its doubt by most, or lacks least
        for family in range(len(last)):
            if score[family] / params.doubt[family] > score[best] / params.doubt[best]:
                best = family
        for family in range(len(last)):
            clear = score[family] >= params.doubt[family] and time - last[family] >= params.refractory
            if not (clear or family == best):
                continue
            last[family] = time
            name = -1
            for other in range(len(state.family)):
                better = name < 0 or score[len(last) + other] > score[len(last) + name]
                if state.family[other] == family and better:
                    name = other
            ids[0] += 1
            event = out[n]
            event.id = ids[0]
            event.ref = state.id[slot]
            event.time = time
            event.emitted = now
            event.kind = DRUM
            event.channel = CHANNEL
            event.label = state.rows[name]
            event.number = state.notes[name]
            event.value = _attack(most, state.attack[family])
            event.confidence = score[family]
            n += 1
    return n
