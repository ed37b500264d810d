# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that feels the beat: from the bands of a frame to whether a beat, or a bar, begins in it.

A dense layer and two gated recurrent units, one upon the other. What it says of
a frame it says LAG frames later, when the stroke has been heard in full.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.net import dense, gru, rectify, sigmoid
from dsp.pulse import FRAME, HOPS, INPUTS, PulseState, pulse_hop, pulse_state
from dsp.stage import KernelStage, Spec

LAG = 3  # frames


class BeatWeights(NamedTuple):
    """As the kernels read them: inputs by outputs."""

    mean: np.ndarray  # (INPUTS,)
    scale: np.ndarray  # (INPUTS,)
    dense: np.ndarray  # (INPUTS, layer)
    dense_bias: np.ndarray
    low_input: np.ndarray  # (layer, 3 * memory)
    low_input_bias: np.ndarray
    low_state: np.ndarray  # (memory, 3 * memory)
    low_state_bias: np.ndarray
    high_input: np.ndarray  # (memory, 3 * memory)
    high_input_bias: np.ndarray
    high_state: np.ndarray
    high_state_bias: np.ndarray
    head: np.ndarray  # (2 * memory, 2)
    head_bias: np.ndarray


class BeatNetState(NamedTuple):
    weights: BeatWeights
    x: np.ndarray  # (INPUTS,) mean 0 and deviation 1
    layer: np.ndarray  # (layer,)
    gates: np.ndarray  # (2, 3 * memory) work
    memory: np.ndarray  # (2 * memory,) of both units, the low one first
    said: np.ndarray  # (2,) how likely a beat is, and that it begins a bar, LAG frames ago


def shapes(layer: int, memory: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    found: dict[str, tuple[int, ...]] = {"mu": (INPUTS,), "sd": (INPUTS,)}
    found |= {"dense.w": (layer, INPUTS), "dense.b": (layer,)}
    for name, width in (("low", layer), ("high", memory)):
        found |= {f"{name}.w_ih": (3 * memory, width), f"{name}.w_hh": (3 * memory, memory)}
        found |= {f"{name}.b_ih": (3 * memory,), f"{name}.b_hh": (3 * memory,)}
    return found | {"head.w": (2, 2 * memory), "head.b": (2,)}


def beat_weights(arrays: Mapping[str, np.ndarray]) -> BeatWeights:
    """Exported arrays, of `shapes`, turned to how the kernels read them."""

    def turned(name: str) -> np.ndarray:
        return np.ascontiguousarray(np.asarray(arrays[name], np.float32).T)

    units = [f"{unit}.{part}" for unit in ("low", "high") for part in ("w_ih", "b_ih", "w_hh", "b_hh")]
    names = ["dense.w", "dense.b", *units, "head.w", "head.b"]
    return BeatWeights._make([turned("mu"), 1 / turned("sd"), *(turned(name) for name in names)])


def beatnet_state(weights: BeatWeights) -> BeatNetState:
    """A net that has heard nothing."""
    layer, memory = len(weights.dense_bias), len(weights.low_state)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    return BeatNetState(
        weights,
        zeros(INPUTS),
        zeros(layer),
        zeros(2, 3 * memory),
        zeros(2 * memory),
        zeros(2),
    )


@kernel
def beatnet_look(state, inputs):
    """What is known of one more frame, into ``state.said``.

    Parameters
    ----------
    state : BeatNetState
    inputs : array, shape (INPUTS,)

    Notes
    -----
    Speaks of LAG frames ago.  Realtime: O(1), no allocation.
    """
    w, memory = state.weights, len(state.weights.low_state)
    for i in range(INPUTS):
        state.x[i] = (inputs[i] - w.mean[i]) * w.scale[i]
    dense(state.x, w.dense, w.dense_bias, state.layer)
    rectify(state.layer)
    low, high = state.memory[:memory], state.memory[memory:]
    dense(state.layer, w.low_input, w.low_input_bias, state.gates[0])
    dense(low, w.low_state, w.low_state_bias, state.gates[1])
    gru(state.gates[0], state.gates[1], low)
    dense(low, w.high_input, w.high_input_bias, state.gates[0])
    dense(high, w.high_state, w.high_state_bias, state.gates[1])
    gru(state.gates[0], state.gates[1], high)
    dense(state.memory, w.head, w.head_bias, state.said)
    state.said[0] = sigmoid(state.said[0])
    state.said[1] = sigmoid(state.said[1])


class BeatFeelState(NamedTuple):
    pulse: PulseState
    net: BeatNetState


@kernel
def beatnet_step(state, x, out):
    """What the net says of each frame that the hops in x, shape (n, HOP), complete."""
    n = 0
    for k in range(len(x)):
        if pulse_hop(state.pulse, x[k]):
            beatnet_look(state.net, state.pulse.inputs)
            out[n, 0] = state.net.said[0]
            out[n, 1] = state.net.said[1]
            n += 1
    return n


class BeatFeel(KernelStage):
    """Hops of audio in, how likely a beat and a downbeat are out, shape (2,) a frame."""

    step = staticmethod(beatnet_step)

    def __init__(self, weights: BeatWeights) -> None:
        self.weights = weights

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        state = BeatFeelState(pulse_state(), beatnet_state(self.weights))
        return self._framed(spec, state, HOPS, (2,), LAG * FRAME)
