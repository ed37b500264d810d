# SPDX-License-Identifier: GPL-3.0-or-later
"""The net for notes in the fast lane computes what its formulas say, frame by frame."""

from itertools import pairwise

import numpy as np
import pytest

from dsp.notenet import NoteNet, note_weights, notenet_forget, notenet_frame, notenet_state, notenet_step
from dsp.stage import Spec
from dsp.tones import BINS, CHANNELS, FRAME, HOPS, PITCHES, SEMITONES, Tones
from dsp.units import HOP, RATE
from tests.contract import forbidden_calls, verify_contract
from tests.noteweights import LAGS, random_arrays

SPEC = Spec(hop=HOP, shape=(HOP,))
OUTPUTS = len(LAGS) + 2

Arrays = dict[str, np.ndarray]


def hops(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    """Decaying tones over a quiet floor."""
    rng = np.random.default_rng(seed)
    x = 1e-4 * rng.standard_normal(int(seconds * RATE))
    t = np.arange(9000) / RATE
    for at in range(3000, len(x) - 9000, 5000):
        x[at : at + 9000] += 0.3 * np.exp(-8 * t) * np.sin(2 * np.pi * rng.uniform(80, 1500) * t)
    return x[: len(x) // HOP * HOP].astype(np.float32).reshape(-1, HOP)


def looked_up(rows: np.ndarray, offset: int) -> np.ndarray:
    """Column p + offset of `rows` for each pitch p; 0 where there is none."""
    columns = np.arange(PITCHES) + offset
    inside = (columns >= 0) & (columns < rows.shape[1])
    return np.where(inside, rows[:, np.clip(columns, 0, rows.shape[1] - 1)], 0.0)


def recurrent(a: Arrays, name: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    n = len(h)
    i = (a[f"{name}.w_ih"] @ x + a[f"{name}.b_ih"][:, None]).reshape(3, n, -1)
    s = (a[f"{name}.w_hh"] @ h + a[f"{name}.b_hh"][:, None]).reshape(3, n, -1)
    reset, update = 1 / (1 + np.exp(-(i[:2] + s[:2])))
    return (1 - update) * np.tanh(i[2] + reset * s[2]) + update * h


def reference(arrays: Arrays, inputs: np.ndarray) -> np.ndarray:
    """The net by its formulas, in double precision: (t, CHANNELS, BINS) in, (t, OUTPUTS, PITCHES) out."""
    a = {name: array.astype(float) for name, array in arrays.items()}
    x = (inputs - a["mu"][:, None]) / a["sd"][:, None]
    x = np.pad(x, ((2, 0), (0, 0), (2, 2)))
    memory, whole = np.zeros((a["gru.w_hh"].shape[1], PITCHES)), np.zeros((len(a["wide.b"]), 1))
    out = []
    for t in range(len(inputs)):
        seen = np.stack([x[t : t + 3, :, 3 * s : 3 * s + 7] for s in range(SEMITONES)], -1)
        features = np.maximum(np.einsum("kctw,tcws->ks", a["conv.w"], seen) + a["conv.b"][:, None], 0)
        top = features.reshape(len(features), -1, 3).max(2)
        heard = np.maximum(np.einsum("jsk,ks->j", a["wide.w"], top) + a["wide.b"], 0)
        whole = recurrent(a, "all", heard[:, None], whole)
        told = np.maximum(a["told.w"] @ whole + a["told.b"][:, None], 0)
        local = a["local.b"] + sum(
            a["local.w"][:, i] @ looked_up(features, int(o)) for i, o in enumerate(a["harmonics"])
        )
        local = np.maximum(local, 0)
        near = np.maximum(a["near.w"] @ local + a["near.b"][:, None], 0)
        mixed = a["mix.b"][:, None] + a["mix.told"] @ told + a["mix.local"] @ local
        for i, o in enumerate(a["neighbours"]):
            mixed = mixed + a["mix.near"][:, i] @ looked_up(near, int(o))
        mixed = np.maximum(mixed, 0)
        memory = recurrent(a, "gru", mixed, memory)
        out.append(a["head.w"] @ np.vstack([memory, mixed]) + a["head.b"][:, None])
    return np.array(out)


def random_inputs(frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(-2, 1.5, (frames, CHANNELS, BINS)).astype(np.float32)


@pytest.mark.parametrize("sizes", [{}, {"features": 5, "layer": 11, "near": 3, "mix": 9, "memory": 7}])
def test_the_net_is_its_formulas(sizes: dict[str, int]) -> None:
    arrays, inputs = random_arrays(1, **sizes), random_inputs(40, 2)
    state, out = notenet_state(note_weights(arrays)), np.zeros((40, OUTPUTS, PITCHES), np.float32)
    for frame, said in zip(inputs, out, strict=True):
        notenet_frame(state, frame, said)
    expected = reference(arrays, inputs)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_a_net_that_forgets_is_as_new() -> None:
    inputs, weights = random_inputs(12, 6), note_weights(random_arrays())
    new, old = notenet_state(weights), notenet_state(weights)
    a, b = np.zeros((2, OUTPUTS, PITCHES), np.float32)
    for frame in inputs[::-1]:
        notenet_frame(old, frame, a)
    notenet_forget(old)
    for frame in inputs:
        notenet_frame(new, frame, a)
        notenet_frame(old, frame, b)
        np.testing.assert_array_equal(a, b)


def test_sound_passes_the_tones_and_the_net() -> None:
    x, arrays = hops(0.4), random_arrays()
    tones, net = Tones(), NoteNet(note_weights(arrays))
    spec = Spec(hop=HOP, shape=(HOP,), capacity=len(x))
    inputs, out = tones.prepare(spec).empty(), net.prepare(spec).empty()
    n = tones.process(x, out=inputs)
    assert net.process(x, out=out) == n == len(x) // HOPS
    np.testing.assert_allclose(out[:n], reference(arrays, inputs[:n]), atol=1e-4)


def test_the_net_keeps_the_contract() -> None:
    spec = NoteNet(note_weights(random_arrays())).prepare(SPEC)
    assert (spec.hop, spec.shape, spec.delay) == (FRAME, (OUTPUTS, PITCHES), 0)
    verify_contract(lambda: NoteNet(note_weights(random_arrays())), hops(), SPEC, [1, 2, 7, 100, 101, 500])


def test_silence_and_noise_stay_finite() -> None:
    rng = np.random.default_rng(4)
    parts = [np.zeros((60, HOP)), rng.uniform(-1, 1, (60, HOP)), np.full((60, HOP), 1e-30)]
    x = np.concatenate([*parts, np.zeros((300, HOP))]).astype(np.float32)
    net = NoteNet(note_weights(random_arrays()))
    out = net.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(x))).empty()
    n = net.process(x, out=out)
    assert np.isfinite(out[:n]).all()
    assert all(np.abs(b - a).max() < 1 for a, b in pairwise(out[n - 5 : n]))


def test_the_net_allocates_nothing() -> None:
    NoteNet(note_weights(random_arrays())).prepare(SPEC)
    assert forbidden_calls(notenet_step) == []
