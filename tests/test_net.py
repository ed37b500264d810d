# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of small nets do what their formulas say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.net import conv, dense, gather, gru, rectify, sigmoid, tanh
from tests.contract import forbidden_calls


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def logistic(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def test_curves_are_true_everywhere() -> None:
    for x in np.r_[np.linspace(-12, 12, 2001), -1e30, 1e30, -1e-30, 0].astype(np.float32):
        assert abs(tanh(x) - np.tanh(np.float64(x))) < 2e-7
        assert abs(sigmoid(x) - (1 + np.tanh(np.float64(x) / 2)) / 2) < 2e-7


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 3), (8, 34), (96, 288), (101, 96)])
def test_dense(n: int, m: int) -> None:
    x, weights, bias, out = draw(n), draw(n, m), draw(m), np.full(m, np.nan, np.float32)
    dense(x, weights, bias, out)
    np.testing.assert_allclose(out, np.float64(x) @ weights + bias, atol=1e-5 * np.sqrt(n))


def test_rectify() -> None:
    x = draw(50)
    expected = np.where(x > 0, x, 0)
    rectify(x)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(("n", "width", "stride"), [(40, 5, 2), (72, 7, 3), (6, 3, 1)])
def test_gather_and_conv_are_a_convolution(n: int, width: int, stride: int) -> None:
    """The same sums as a convolution over a padded line, one channel after another."""
    channels, kernels, positions = 2, 12, -(-n // stride)
    x, weights, bias = draw(channels, n), draw(kernels, channels, width), draw(kernels)
    columns = np.full((channels * width, positions), np.nan, np.float32)
    out = np.full(kernels * positions, np.nan, np.float32)
    gather(x, stride, columns)
    conv(columns, weights.reshape(kernels, -1), bias, out)
    padded = np.pad(x.astype(float), ((0, 0), (width // 2, width // 2)))
    for k in range(kernels):
        sums = sum(np.correlate(padded[c], weights[k, c].astype(float), "valid") for c in range(channels))
        got = out[k * positions : (k + 1) * positions]
        np.testing.assert_allclose(got, (sums + bias[k])[::stride], atol=1e-5)


def test_gru() -> None:
    n = 96
    from_input, from_state, state = 3 * draw(3 * n), 3 * draw(3 * n, seed=1), draw(n)
    before = state.copy()
    gru(from_input, from_state, state)
    a, b = from_input.reshape(3, n).astype(float), from_state.reshape(3, n)
    reset, update = logistic(a[0] + b[0]), logistic(a[1] + b[1])
    new = np.tanh(a[2] + reset * b[2])
    np.testing.assert_allclose(state, (1 - update) * new + update * before, atol=2e-6)


def test_layers_allocate_nothing() -> None:
    for layer in (tanh, sigmoid, rectify, dense, gather, conv, gru):
        assert layer.signatures, "the tests before have compiled it"
        assert forbidden_calls(layer) == []
