# SPDX-License-Identifier: GPL-3.0-or-later
"""The drum net in the fast lane computes what its formulas say, frame by frame."""

import numpy as np
import onnxruntime
import pytest

from dsp.bands import BANDS, FRAME, HOPS, INPUTS, SHORTS, Bands
from dsp.drumnet import (
    OUTPUTS,
    DrumNet,
    drum_weights,
    drumnet_forget,
    drumnet_look,
    drumnet_remember,
    drumnet_say,
    drumnet_state,
    drumnet_step,
)
from dsp.stage import Spec
from dsp.units import HOP, RATE
from models.archive import FOLDER
from models.drums import load
from tests.contract import forbidden_calls, verify_contract
from tests.drumweights import LAGS, random_arrays, random_weights

SPEC = Spec(hop=HOP, shape=(HOP,))


def hops(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    """Strokes of noise, softer and louder, over a quiet floor."""
    rng = np.random.default_rng(seed)
    x = 1e-4 * rng.standard_normal(int(seconds * RATE))
    for at in range(3000, len(x) - 3000, 9000):
        x[at : at + 3000] += (
            rng.uniform(0.02, 0.8) * rng.uniform(-1, 1, 3000) * np.exp(-np.arange(3000) / 600)
        )
    return x[: len(x) // HOP * HOP].astype(np.float32).reshape(-1, HOP)


def convolved(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Frames (t, 2, bands) over three frames and some bands, past and beside which there is nothing."""
    frames, width = weights.shape[2:]
    padded = np.pad(x, ((frames - 1, 0), (0, 0), (width // 2, width // 2)))
    out = []
    for t in range(len(x)):
        seen = padded[t : t + frames].transpose(1, 0, 2)
        spots = range(0, x.shape[2], stride)
        sums = [[np.sum(w * seen[:, :, p : p + width]) for p in spots] for w in weights]
        out.append(np.array(sums) + bias[:, None])
    return np.maximum(np.array(out), 0).reshape(len(x), -1)


def reference(a: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """The net by its formulas, in double precision: (t, INPUTS) in, (t, lags, OUTPUTS) out."""
    a = {name: array.astype(float) for name, array in a.items()}
    x = ((inputs - a["mu"]) / a["sd"]).reshape(-1, 2, BANDS)
    short = convolved(x[:, :, :SHORTS], a["conv_s.w"], a["conv_s.b"], 2)
    long = convolved(x[:, :, SHORTS:], a["conv_l.w"], a["conv_l.b"], 3)
    d = np.maximum(np.hstack([short, long]) @ a["dense.w"].T + a["dense.b"], 0)
    past = np.vstack([np.zeros((2, d.shape[1])), d])
    c = sum(past[k : k + len(d)] @ a["conv_t.w"][:, :, k].T for k in range(3)) + a["conv_t.b"]
    c = np.maximum(c, 0)
    n = a["gru.w_hh"].shape[1]
    h, out = np.zeros(n), []
    for row in c:
        i = (a["gru.w_ih"] @ row + a["gru.b_ih"]).reshape(3, n)
        s = (a["gru.w_hh"] @ h + a["gru.b_hh"]).reshape(3, n)
        r, z = 1 / (1 + np.exp(-(i[:2] + s[:2])))
        h = (1 - z) * np.tanh(i[2] + r * s[2]) + z * h
        out.append(a["head.w"] @ np.r_[h, row] + a["head.b"])
    return np.array(out)


@pytest.mark.parametrize("sizes", [{}, {"kernels": 5, "layer": 21, "memory": 13}])
def test_the_net_is_its_formulas(sizes: dict[str, int]) -> None:
    arrays = random_arrays(1, **sizes)
    inputs = np.random.default_rng(2).normal(-2, 1.5, (60, INPUTS)).astype(np.float32)
    state, out = drumnet_state(drum_weights(arrays)), np.zeros((60, len(LAGS), OUTPUTS), np.float32)
    for t, row in enumerate(inputs):
        drumnet_look(state, row)
        drumnet_remember(state)
        for lag in range(len(LAGS)):
            drumnet_say(state, lag, out[t, lag])
    expected = reference(arrays, inputs)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_a_look_that_is_not_remembered_leaves_no_trace() -> None:
    inputs = np.random.default_rng(3).normal(-2, 1.5, (20, INPUTS)).astype(np.float32)
    plain, curious = drumnet_state(random_weights()), drumnet_state(random_weights())
    for row in inputs:
        drumnet_look(plain, row)
        drumnet_remember(plain)
        drumnet_look(curious, row[::-1].copy())
        drumnet_look(curious, row)
        drumnet_remember(curious)
        np.testing.assert_array_equal(plain.embedding, curious.embedding)


def test_a_net_that_forgets_is_as_new() -> None:
    inputs = np.random.default_rng(5).normal(-2, 1.5, (20, INPUTS)).astype(np.float32)
    new, old = drumnet_state(random_weights()), drumnet_state(random_weights())
    for row in inputs[::-1]:
        drumnet_look(old, row)
        drumnet_remember(old)
    drumnet_forget(old)
    for row in inputs:
        for state in (new, old):
            drumnet_look(state, row)
            drumnet_remember(state)
        np.testing.assert_array_equal(new.embedding, old.embedding)


def test_sound_passes_the_bands_and_the_net() -> None:
    x, arrays = hops(0.4), random_arrays()
    bands, net = Bands(), DrumNet(drum_weights(arrays))
    spec = Spec(hop=HOP, shape=(HOP,), capacity=len(x))
    inputs, out = bands.prepare(spec).empty(), net.prepare(spec).empty()
    n = bands.process(x, out=inputs)
    assert net.process(x, out=out) == n == len(x) // HOPS
    np.testing.assert_allclose(out[:n], reference(arrays, inputs[:n]), atol=2e-5)


def test_the_net_keeps_the_contract() -> None:
    spec = DrumNet(random_weights()).prepare(SPEC)
    assert (spec.hop, spec.shape, spec.delay) == (FRAME, (len(LAGS), OUTPUTS), 0)
    verify_contract(lambda: DrumNet(random_weights()), hops(), SPEC, [1, 2, 3, 7, 100, 101, 500])


def test_silence_and_noise_stay_finite() -> None:
    rng = np.random.default_rng(4)
    parts = [
        np.zeros((60, HOP)),
        rng.uniform(-1, 1, (60, HOP)),
        np.full((60, HOP), 1e-30),
        np.zeros((300, HOP)),
    ]
    x = np.concatenate(parts).astype(np.float32)
    net = DrumNet(random_weights())
    out = net.prepare(Spec(hop=HOP, shape=(HOP,), capacity=len(x))).empty()
    n = net.process(x, out=out)
    assert np.isfinite(out[:n]).all()


def test_the_net_allocates_nothing() -> None:
    DrumNet(random_weights()).prepare(SPEC)
    assert forbidden_calls(drumnet_step) == []


def test_the_golden_pair_is_reproduced() -> None:
    """What the net said when it was exported, by these kernels and by onnxruntime."""
    with np.load(FOLDER / "drums.golden.npz", allow_pickle=False) as golden:
        x, y = golden["x"], golden["y"]
    state, out = drumnet_state(load()), np.zeros((len(x), len(load().lags), OUTPUTS), np.float32)
    session = onnxruntime.InferenceSession(FOLDER / "drums.onnx", providers=["CPUExecutionProvider"])
    first, *memory = session.get_inputs()
    states = {entry.name: np.zeros(entry.shape, np.float32) for entry in memory}
    for t, row in enumerate(x):
        drumnet_look(state, row)
        drumnet_remember(state)
        for lag in range(out.shape[1]):
            drumnet_say(state, lag, out[t, lag])
        said, *new = session.run(None, {first.name: row[None], **states})
        states = dict(zip(states, new, strict=True))
        np.testing.assert_allclose(said.ravel(), y[t].ravel(), atol=1e-4)
    assert np.abs(y).max() > 1
    np.testing.assert_allclose(out.reshape(y.shape), y, atol=1e-4)
