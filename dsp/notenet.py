# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned ear for notes: from the tones of a frame to what each pitch says of itself.

A convolution over three frames and seven bins gives each semitone a few features. A
pitch gathers those of its overtones, then hears from pitches that may be mistaken for
it and from a memory of the whole, and remembers by a gated recurrent unit that all
pitches share. Features lie in rows, pitches side by side: a row with a margin on both
sides is looked up at any interval without being moved.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.lanes import add_rows
from dsp.net import dense, gru, rectify
from dsp.stage import KernelStage, Spec
from dsp.tones import (
    BINS,
    CHANNELS,
    HOPS,
    PITCHES,
    SEMITONES,
    TonesState,
    relate,
    tones_hop,
    tones_state,
)
from dsp.touch import TOUCH

FRAMES = 3  # that the convolution sees, the newest being the last
STRIDE, WIDTH = 3, 7  # bins
BEFORE = 2  # bins it sees below the three of its semitone
TOPS = 3  # semitones of which the memory of the whole is told the strongest
SOUNDING, VELOCITY = -2, -1  # rows of the outputs, after an onset for each lag
SOUNDING_LAG = 1  # frames ago that `SOUNDING` speaks of


class NoteWeights(NamedTuple):
    """As the kernels read them: sums of rows have outputs by inputs, dense layers inputs by outputs."""

    mean: np.ndarray  # (CHANNELS,)
    scale: np.ndarray  # (CHANNELS,)
    conv: np.ndarray  # (features, FRAMES * CHANNELS * WIDTH)
    conv_bias: np.ndarray
    local: np.ndarray  # (harmonics, layer, features)
    local_bias: np.ndarray  # (layer, PITCHES)
    near: np.ndarray  # (near, layer)
    near_bias: np.ndarray
    mix_near: np.ndarray  # (neighbours, mix, near)
    mix_local: np.ndarray  # (mix, layer)
    mix_told: np.ndarray  # (told, mix)
    mix_bias: np.ndarray
    wide: np.ndarray  # (features * SEMITONES / TOPS, whole)
    wide_bias: np.ndarray
    whole_input: np.ndarray  # (whole, 3 * whole)
    whole_input_bias: np.ndarray
    whole_state: np.ndarray  # (whole, 3 * whole)
    whole_state_bias: np.ndarray
    told: np.ndarray  # (whole, told)
    told_bias: np.ndarray
    gru_input: np.ndarray  # (3 * memory, mix)
    gru_input_bias: np.ndarray
    gru_state: np.ndarray  # (3 * memory, memory)
    gru_state_bias: np.ndarray
    head_memory: np.ndarray  # (outputs, memory)
    head_mix: np.ndarray  # (outputs, mix)
    head_bias: np.ndarray
    harmonics: np.ndarray  # (harmonics,) semitones from a pitch
    neighbours: np.ndarray  # (neighbours,)
    lags: np.ndarray  # (lags,) frames
    over: np.ndarray  # (1,) likelihood of sounding below which a note is over
    touch: np.ndarray  # (lags, TOUCH) what tells how hard a note was struck
    touch_bias: np.ndarray  # (lags,)


class NoteNetState(NamedTuple):
    weights: NoteWeights
    x: np.ndarray  # (CHANNELS, BINS with margins) inputs of the newest frame, mean 0 and deviation 1
    seen: np.ndarray  # (FRAMES * CHANNELS * WIDTH, SEMITONES) what each semitone sees, oldest frame first
    features: np.ndarray  # (features, SEMITONES) of the newest frame
    tuned: np.ndarray  # (features, SEMITONES with margins) the same
    harmonic_at: np.ndarray  # (harmonics,) where the lowest pitch finds each in `tuned`
    top: np.ndarray  # (features * SEMITONES / TOPS,)
    whole_in: np.ndarray  # (whole,)
    whole_gates: np.ndarray  # (2, 3 * whole) work
    whole: np.ndarray  # (whole,) memory of the whole
    told: np.ndarray  # (told,)
    told_mix: np.ndarray  # (mix,)
    local: np.ndarray  # (layer, PITCHES)
    near: np.ndarray  # (near, PITCHES)
    around: np.ndarray  # (near, PITCHES with margins) the same
    neighbour_at: np.ndarray  # (neighbours,)
    mixed: np.ndarray  # (mix, PITCHES)
    gates: np.ndarray  # (2, 3 * memory, PITCHES) work
    flat_gates: np.ndarray  # (2, 3 * memory * PITCHES) the same numbers
    memory: np.ndarray  # (memory, PITCHES)
    flat_memory: np.ndarray  # (memory * PITCHES,) the same numbers


def shapes(sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training, for `sizes` as `sizes_of` gives them."""
    s = sizes
    return {
        "mu": (CHANNELS,),
        "sd": (CHANNELS,),
        "conv.w": (s["features"], CHANNELS, FRAMES, WIDTH),
        "conv.b": (s["features"],),
        "local.w": (s["layer"], s["harmonics"], s["features"]),
        "local.b": (s["layer"], PITCHES),
        "near.w": (s["near"], s["layer"]),
        "near.b": (s["near"],),
        "mix.near": (s["mix"], s["neighbours"], s["near"]),
        "mix.local": (s["mix"], s["layer"]),
        "mix.told": (s["mix"], s["told"]),
        "mix.b": (s["mix"],),
        "wide.w": (s["whole"], SEMITONES // TOPS, s["features"]),
        "wide.b": (s["whole"],),
        "all.w_ih": (3 * s["whole"], s["whole"]),
        "all.w_hh": (3 * s["whole"], s["whole"]),
        "all.b_ih": (3 * s["whole"],),
        "all.b_hh": (3 * s["whole"],),
        "told.w": (s["told"], s["whole"]),
        "told.b": (s["told"],),
        "gru.w_ih": (3 * s["memory"], s["mix"]),
        "gru.w_hh": (3 * s["memory"], s["memory"]),
        "gru.b_ih": (3 * s["memory"],),
        "gru.b_hh": (3 * s["memory"],),
        "head.w": (s["lags"] + 2, s["memory"] + s["mix"]),
        "head.b": (s["lags"] + 2,),
        "harmonics": (s["harmonics"],),
        "neighbours": (s["neighbours"],),
        "lags": (s["lags"],),
        "over": (1,),
        "touch.w": (s["lags"], TOUCH),
        "touch.b": (s["lags"],),
    }


MEASURED = {  # the array whose first axis says a size
    "features": "conv.b",
    "layer": "local.b",
    "near": "near.b",
    "mix": "mix.b",
    "whole": "wide.b",
    "told": "told.b",
    "harmonics": "harmonics",
    "neighbours": "neighbours",
    "lags": "lags",
}


def sizes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Sizes of an exported net."""
    return {size: len(arrays[name]) for size, name in MEASURED.items()} | {
        "memory": arrays["gru.w_hh"].shape[-1]
    }


def note_weights(arrays: Mapping[str, np.ndarray]) -> NoteWeights:
    """Exported arrays, of `shapes`, turned to how the kernels read them."""

    def turned(name: str, *axes: int) -> np.ndarray:
        array = np.asarray(arrays[name], np.float32)
        return np.ascontiguousarray(array.transpose(axes or range(array.ndim)))

    def whole(name: str) -> np.ndarray:
        return np.asarray(arrays[name], np.int64).copy()

    conv, wide = turned("conv.w", 0, 2, 1, 3), turned("wide.w", 2, 1, 0)
    memory = arrays["gru.w_hh"].shape[-1]
    head = turned("head.w")
    return NoteWeights(
        turned("mu"),
        1 / turned("sd"),
        conv.reshape(len(conv), -1),
        turned("conv.b"),
        turned("local.w", 1, 0, 2),
        turned("local.b"),
        turned("near.w"),
        turned("near.b"),
        turned("mix.near", 1, 0, 2),
        turned("mix.local"),
        turned("mix.told", 1, 0),
        turned("mix.b"),
        wide.reshape(-1, wide.shape[2]),
        turned("wide.b"),
        turned("all.w_ih", 1, 0),
        turned("all.b_ih"),
        turned("all.w_hh", 1, 0),
        turned("all.b_hh"),
        turned("told.w", 1, 0),
        turned("told.b"),
        turned("gru.w_ih"),
        turned("gru.b_ih"),
        turned("gru.w_hh"),
        turned("gru.b_hh"),
        np.ascontiguousarray(head[:, :memory]),
        np.ascontiguousarray(head[:, memory:]),
        turned("head.b"),
        whole("harmonics"),
        whole("neighbours"),
        whole("lags"),
        turned("over"),
        turned("touch.w"),
        turned("touch.b"),
    )


def embedding_size(weights: NoteWeights) -> int:
    """How many numbers a net keeps of each pitch: its memory, and what was mixed for it."""
    return weights.gru_state.shape[1] + len(weights.mix_bias)


def notenet_state(weights: NoteWeights) -> NoteNetState:
    """A net that has heard nothing."""

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    def margins(offsets: np.ndarray, width: int) -> tuple[int, int]:
        """Room below and above `width` columns for PITCHES of them at any of the offsets."""
        return max(0, -int(offsets.min())), max(0, int(offsets.max()) + PITCHES - width)

    w = weights
    features, layer, near, mix = len(w.conv_bias), len(w.local_bias), len(w.near_bias), len(w.mix_bias)
    whole, memory = len(w.whole_state), w.gru_state.shape[1]
    below, above = margins(w.harmonics, SEMITONES)
    under, over = margins(w.neighbours, PITCHES)
    gates, remembered = zeros(2, 3 * memory, PITCHES), zeros(memory, PITCHES)
    return NoteNetState(
        w,
        zeros(CHANNELS, BEFORE + BINS + WIDTH - STRIDE - BEFORE),
        zeros(FRAMES * CHANNELS * WIDTH, SEMITONES),
        zeros(features, SEMITONES),
        zeros(features, below + SEMITONES + above),
        w.harmonics + below,
        zeros(features * SEMITONES // TOPS),
        zeros(whole),
        zeros(2, 3 * whole),
        zeros(whole),
        zeros(len(w.told_bias)),
        zeros(mix),
        zeros(layer, PITCHES),
        zeros(near, PITCHES),
        zeros(near, under + PITCHES + over),
        w.neighbours + under,
        zeros(mix, PITCHES),
        gates,
        gates.reshape(2, -1),
        remembered,
        remembered.reshape(-1),
    )


@kernel
def _fill(out, bias):
    """Every row of `out` is its bias."""
    for k in range(len(out)):
        for p in range(out.shape[1]):
            out[k, p] = bias[k]


@kernel
def _rectify_into(x, out, first):
    """`x` without its negative numbers, in `out` from column `first` on."""
    for k in range(len(x)):
        for p in range(x.shape[1]):
            out[k, first + p] = max(x[k, p], np.float32(0))


@kernel
def _see(state, inputs):
    """One more frame joins what each semitone sees."""
    w, x, seen = state.weights, state.x, state.seen
    for channel in range(CHANNELS):
        for k in range(BINS):
            x[channel, BEFORE + k] = (inputs[channel, k] - w.mean[channel]) * w.scale[channel]
    frame = CHANNELS * WIDTH
    for i in range((FRAMES - 1) * frame):
        for s in range(SEMITONES):
            seen[i, s] = seen[i + frame, s]
    for i in range(frame):
        row, channel, first = seen[(FRAMES - 1) * frame + i], i // WIDTH, i % WIDTH
        for s in range(SEMITONES):
            row[s] = x[channel, first + s * STRIDE]


@kernel
def _remember_whole(state):
    """What all pitches are told of the whole."""
    w, features = state.weights, state.features
    tops = SEMITONES // TOPS
    for k in range(len(features)):
        for i in range(tops):
            at = i * TOPS
            state.top[k * tops + i] = max(features[k, at], features[k, at + 1], features[k, at + 2])
    dense(state.top, w.wide, w.wide_bias, state.whole_in)
    rectify(state.whole_in)
    dense(state.whole_in, w.whole_input, w.whole_input_bias, state.whole_gates[0])
    dense(state.whole, w.whole_state, w.whole_state_bias, state.whole_gates[1])
    gru(state.whole_gates[0], state.whole_gates[1], state.whole)
    dense(state.whole, w.told, w.told_bias, state.told)
    rectify(state.told)
    dense(state.told, w.mix_told, w.mix_bias, state.told_mix)


@kernel
def notenet_frame(state, inputs, out):
    """What each pitch says of itself after one more frame.

    Parameters
    ----------
    state : NoteNetState
    inputs : array, shape (CHANNELS, BINS)
        As `dsp.tones.relate` gives them.
    out : array, shape (lags + 2, PITCHES)
        Logits: an onset that many frames ago, for each lag; sounding; velocity.

    Notes
    -----
    Adds no delay. Realtime: O(1), no allocation.
    """
    w = state.weights
    _see(state, inputs)
    _fill(state.features, w.conv_bias)
    add_rows(state.seen, 0, w.conv, state.features)
    _rectify_into(state.features, state.features, 0)
    _rectify_into(state.features, state.tuned, state.harmonic_at[0] - w.harmonics[0])
    _remember_whole(state)
    local, near, mixed = state.local, state.near, state.mixed
    for k in range(len(local)):
        for p in range(PITCHES):
            local[k, p] = w.local_bias[k, p]
    for i in range(len(w.local)):
        add_rows(state.tuned, state.harmonic_at[i], w.local[i], local)
    _rectify_into(local, local, 0)
    _fill(near, w.near_bias)
    add_rows(local, 0, w.near, near)
    _rectify_into(near, state.around, state.neighbour_at[0] - w.neighbours[0])
    _fill(mixed, state.told_mix)
    add_rows(local, 0, w.mix_local, mixed)
    for i in range(len(w.mix_near)):
        add_rows(state.around, state.neighbour_at[i], w.mix_near[i], mixed)
    _rectify_into(mixed, mixed, 0)
    _fill(state.gates[0], w.gru_input_bias)
    add_rows(mixed, 0, w.gru_input, state.gates[0])
    _fill(state.gates[1], w.gru_state_bias)
    add_rows(state.memory, 0, w.gru_state, state.gates[1])
    gru(state.flat_gates[0], state.flat_gates[1], state.flat_memory)
    _fill(out, w.head_bias)
    add_rows(state.memory, 0, w.head_memory, out)
    add_rows(mixed, 0, w.head_mix, out)


@kernel
def embed(state, pitch, out):
    """What the newest frame left of one pitch, into `out`, and how many numbers: `embedding_size`."""
    remembered = len(state.memory)
    for row in range(remembered):
        out[row] = state.memory[row, pitch]
    for row in range(len(state.mixed)):
        out[remembered + row] = state.mixed[row, pitch]
    return remembered + len(state.mixed)


@kernel
def notenet_forget(state):
    """As if nothing had been heard."""
    for row in range(len(state.seen)):
        for s in range(SEMITONES):
            state.seen[row, s] = np.float32(0)
    for i in range(len(state.whole)):
        state.whole[i] = np.float32(0)
    for i in range(len(state.flat_memory)):
        state.flat_memory[i] = np.float32(0)


class NoteEarState(NamedTuple):
    tones: TonesState
    net: NoteNetState


@kernel
def notenet_step(state, x, out):
    """All that the net says of the frames that the hops in x, shape (n, HOP), complete."""
    n = 0
    tones, net = state.tones, state.net
    for k in range(len(x)):
        if tones_hop(tones, x[k]):
            relate(tones.power, tones.follower, tones.past, tones.inputs)
            notenet_frame(net, tones.inputs, out[n])
            n += 1
    return n


class NoteNet(KernelStage):
    """Hops of audio in, what each pitch says of itself out, shape (lags + 2, PITCHES) a frame."""

    step = staticmethod(notenet_step)

    def __init__(self, weights: NoteWeights) -> None:
        self.weights = weights

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        state = NoteEarState(tones_state(), notenet_state(self.weights))
        return self._framed(spec, state, HOPS, (len(self.weights.head_bias), PITCHES))
