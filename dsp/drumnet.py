# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned drum ear: from the bands of a frame to what each drum's voice says of it.

Two convolutions over three frames and the bands, a dense layer, a convolution
over three frames, a gated recurrent unit. What these know of a frame is its
embedding; a linear head for each lag reads it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.bands import BANDS, HOPS, INPUTS, LONGS, SHORTS, BandsState, bands_hop, bands_state, relate
from dsp.events import LABELS
from dsp.kernel import kernel
from dsp.net import conv, dense, gather, gru, rectify
from dsp.stage import KernelStage, Spec

FAMILIES = ("kick", "snare", "hat", "tom", "cymbal", "other")
METAL = len(FAMILIES)  # any hat or cymbal; its own logit only taught the net, the likelier of the two decides
VOICES = METAL + 1
NAMES = VOICES + len(LABELS)  # one past the logits of the labels, where the velocities begin
OUTPUTS = NAMES + len(FAMILIES)
FRAMES = 3  # that each convolution sees, the newest being the last
SHORT_STRIDE, LONG_STRIDE = 2, 3
SHORT_WIDTH, LONG_WIDTH = 5, 7
SHORT_POSITIONS, LONG_POSITIONS = -(-SHORTS // SHORT_STRIDE), -(-LONGS // LONG_STRIDE)


class DrumWeights(NamedTuple):
    """As the kernels read them: inputs by outputs; taps of a convolution by frame, channel, band."""

    mean: np.ndarray  # (2, BANDS)
    scale: np.ndarray  # (2, BANDS)
    short: np.ndarray  # (kernels, FRAMES * 2 * SHORT_WIDTH)
    short_bias: np.ndarray
    long: np.ndarray  # (kernels, FRAMES * 2 * LONG_WIDTH)
    long_bias: np.ndarray
    dense: np.ndarray  # (kernels * positions, layer)
    dense_bias: np.ndarray
    time: np.ndarray  # (FRAMES * layer, layer)
    time_bias: np.ndarray
    gru_input: np.ndarray  # (layer, 3 * memory)
    gru_input_bias: np.ndarray
    gru_state: np.ndarray  # (memory, 3 * memory)
    gru_state_bias: np.ndarray
    head: np.ndarray  # (lags, memory + layer, OUTPUTS)
    head_bias: np.ndarray  # (lags, OUTPUTS)
    lags: np.ndarray  # (lags,) frames


class DrumNetState(NamedTuple):
    weights: DrumWeights
    x: np.ndarray  # (2, BANDS) inputs of the newest frame, mean 0 and deviation 1
    short: np.ndarray  # (FRAMES * 2 * SHORT_WIDTH, positions) what each position sees, oldest frame first
    long: np.ndarray  # (FRAMES * 2 * LONG_WIDTH, positions)
    seen: np.ndarray  # (kernels * positions,)
    layers: np.ndarray  # (FRAMES * layer,) oldest first
    gates: np.ndarray  # (2, 3 * memory) work
    memory: np.ndarray  # (memory,) before the newest frame
    embedding: np.ndarray  # (memory + layer,) of the newest frame; begins with the new memory


def shapes(kernels: int, layer: int, memory: int, lags: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    seen = kernels * (SHORT_POSITIONS + LONG_POSITIONS)
    return {
        "mu": (INPUTS,),
        "sd": (INPUTS,),
        "conv_s.w": (kernels, 2, FRAMES, SHORT_WIDTH),
        "conv_s.b": (kernels,),
        "conv_l.w": (kernels, 2, FRAMES, LONG_WIDTH),
        "conv_l.b": (kernels,),
        "dense.w": (layer, seen),
        "dense.b": (layer,),
        "conv_t.w": (layer, layer, FRAMES),
        "conv_t.b": (layer,),
        "gru.w_ih": (3 * memory, layer),
        "gru.w_hh": (3 * memory, memory),
        "gru.b_ih": (3 * memory,),
        "gru.b_hh": (3 * memory,),
        "head.w": (lags, OUTPUTS, memory + layer),
        "head.b": (lags, OUTPUTS),
        "lags": (lags,),
    }


def drum_weights(arrays: Mapping[str, np.ndarray]) -> DrumWeights:
    """Exported arrays, of `shapes`, turned to how the kernels read them."""

    def turned(name: str, *axes: int) -> np.ndarray:
        array = np.asarray(arrays[name], np.float32).transpose(axes)
        return np.ascontiguousarray(array)

    def flat(name: str) -> np.ndarray:
        array = turned(name, 0, 2, 1, 3)
        return array.reshape(len(array), -1)

    time = turned("conv_t.w", 2, 1, 0)
    return DrumWeights(
        turned("mu", 0).reshape(2, BANDS),
        1 / turned("sd", 0).reshape(2, BANDS),
        flat("conv_s.w"),
        turned("conv_s.b", 0),
        flat("conv_l.w"),
        turned("conv_l.b", 0),
        turned("dense.w", 1, 0),
        turned("dense.b", 0),
        time.reshape(-1, time.shape[2]),
        turned("conv_t.b", 0),
        turned("gru.w_ih", 1, 0),
        turned("gru.b_ih", 0),
        turned("gru.w_hh", 1, 0),
        turned("gru.b_hh", 0),
        turned("head.w", 0, 2, 1),
        turned("head.b", 0, 1),
        np.asarray(arrays["lags"], np.int64).copy(),
    )


def drumnet_state(weights: DrumWeights) -> DrumNetState:
    """A net that has heard nothing."""
    layer, memory = len(weights.dense_bias), len(weights.gru_state)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    return DrumNetState(
        weights,
        zeros(2, BANDS),
        zeros(FRAMES * 2 * SHORT_WIDTH, SHORT_POSITIONS),
        zeros(FRAMES * 2 * LONG_WIDTH, LONG_POSITIONS),
        zeros(len(weights.dense)),
        zeros(FRAMES * layer),
        zeros(2, 3 * memory),
        zeros(memory),
        zeros(memory + layer),
    )


@kernel
def _move_rows(frames, length):
    """Frames of `length` rows grow older by one; the newest stays until it is overwritten."""
    for i in range(len(frames) - length):
        for j in range(frames.shape[1]):
            frames[i, j] = frames[i + length, j]


@kernel
def drumnet_look(state, inputs):
    """What is known of one more frame, into ``state.embedding``.

    Parameters
    ----------
    state : DrumNetState
    inputs : array, shape (INPUTS,)

    Notes
    -----
    Adds no delay. Realtime: O(1), no allocation. Nothing is remembered until
    `drumnet_remember`: a second look replaces the first.
    """
    w = state.weights
    for channel in range(2):
        for band in range(BANDS):
            value = inputs[channel * BANDS + band] - w.mean[channel, band]
            state.x[channel, band] = value * w.scale[channel, band]
    gather(state.x[:, :SHORTS], SHORT_STRIDE, state.short[(FRAMES - 1) * 2 * SHORT_WIDTH :])
    gather(state.x[:, SHORTS:], LONG_STRIDE, state.long[(FRAMES - 1) * 2 * LONG_WIDTH :])
    shorts = len(w.short_bias) * SHORT_POSITIONS
    conv(state.short, w.short, w.short_bias, state.seen[:shorts])
    conv(state.long, w.long, w.long_bias, state.seen[shorts:])
    rectify(state.seen)
    layer, memory = len(w.dense_bias), len(state.memory)
    newest = state.layers[(FRAMES - 1) * layer :]
    dense(state.seen, w.dense, w.dense_bias, newest)
    rectify(newest)
    embedding = state.embedding
    dense(state.layers, w.time, w.time_bias, embedding[memory:])
    rectify(embedding[memory:])
    dense(embedding[memory:], w.gru_input, w.gru_input_bias, state.gates[0])
    dense(state.memory, w.gru_state, w.gru_state_bias, state.gates[1])
    for i in range(memory):
        embedding[i] = state.memory[i]
    gru(state.gates[0], state.gates[1], embedding[:memory])


@kernel
def drumnet_remember(state):
    """The frame looked at last is over."""
    _move_rows(state.short, 2 * SHORT_WIDTH)
    _move_rows(state.long, 2 * LONG_WIDTH)
    layers, layer = state.layers, len(state.weights.dense_bias)
    for i in range(len(layers) - layer):
        layers[i] = layers[i + layer]
    for i in range(len(state.memory)):
        state.memory[i] = state.embedding[i]


@kernel
def drumnet_forget(state):
    """As if nothing had been heard."""
    for row in range(len(state.short)):
        for i in range(SHORT_POSITIONS):
            state.short[row, i] = np.float32(0)
    for row in range(len(state.long)):
        for i in range(LONG_POSITIONS):
            state.long[row, i] = np.float32(0)
    for i in range(len(state.layers)):
        state.layers[i] = np.float32(0)
    for i in range(len(state.memory)):
        state.memory[i] = np.float32(0)


@kernel
def drumnet_say(state, lag, out):
    """What the head of row `lag` says of the frame looked at last: logits and velocities, shape (OUTPUTS,)."""
    dense(state.embedding, state.weights.head[lag], state.weights.head_bias[lag], out)


class DrumEarState(NamedTuple):
    bands: BandsState
    net: DrumNetState


@kernel
def drumnet_step(state, x, out):
    """All that the net says of the frames that the hops in x, shape (n, HOP), complete."""
    n = 0
    bands, net = state.bands, state.net
    for k in range(len(x)):
        if bands_hop(bands, x[k]):
            relate(bands.power, bands.follower, bands.mean, bands.inputs)
            drumnet_look(net, bands.inputs)
            drumnet_remember(net)
            for lag in range(len(net.weights.lags)):
                drumnet_say(net, lag, out[n, lag])
            n += 1
    return n


class DrumNet(KernelStage):
    """Hops of audio in, what the net says at every lag out, shape (lags, OUTPUTS) a frame."""

    step = staticmethod(drumnet_step)

    def __init__(self, weights: DrumWeights) -> None:
        self.weights = weights

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        state = DrumEarState(bands_state(), drumnet_state(self.weights))
        return self._framed(spec, state, HOPS, (len(self.weights.lags), OUTPUTS))
