# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of small nets, one frame at a time.

Weights are laid out so that what is read next lies next: inputs by outputs.
"""

import numpy as np

from dsp.kernel import kernel

FAST = {"contract", "reassoc", "nsz"}  # these loops are as long as the net, whatever the block


@kernel(fastmath=FAST)
def tanh(x):
    """Hyperbolic tangent, within 2e-7.

    Notes
    -----
    Lambert's continued fraction for half the argument, cut after seven terms,
    then the formula of the double argument, with one division for both.
    """
    y = np.float32(0.5) * min(max(x, np.float32(-9)), np.float32(9))
    s = y * y
    odd = y * (np.float32(135135) + s * (np.float32(17325) + s * (np.float32(378) + s)))
    even = np.float32(135135) + s * (np.float32(62370) + s * (np.float32(3150) + s * np.float32(28)))
    product = odd * even
    return (product + product) / (even * even + odd * odd)


@kernel(fastmath=FAST)
def sigmoid(x):
    """Logistic function, within 2e-7."""
    return np.float32(0.5) + np.float32(0.5) * tanh(np.float32(0.5) * x)


@kernel(fastmath=FAST)
def rectify(x):
    """Negative numbers become 0, in place."""
    for i in range(len(x)):
        x[i] = max(x[i], np.float32(0))


@kernel(fastmath=FAST)
def shares(x):
    """Logits become likelihoods that sum to 1, in place."""
    most, total = x[0], np.float32(0)
    for i in range(1, len(x)):
        most = max(most, x[i])
    for i in range(len(x)):
        x[i] = np.exp(x[i] - most)
        total += x[i]
    for i in range(len(x)):
        x[i] /= total


@kernel(fastmath=FAST)
def dense(x, weights, bias, out):
    """Weighted sums.

    Parameters
    ----------
    x : array, shape (n,)
    weights : array, shape (n, m)
    bias : array, shape (m,)
    out : array, shape (m,)

    Notes
    -----
    Adds no delay. Realtime: O(n * m), no allocation. Eight inputs at a time, so
    that each output is read and written once for eight products.
    """
    n, m = weights.shape
    for j in range(m):
        out[j] = bias[j]
    whole = n - n % 8
    for i in range(0, whole, 8):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        e, f, g, h = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        for j in range(m):
            out[j] += (
                a * weights[i, j]
                + b * weights[i + 1, j]
                + c * weights[i + 2, j]
                + d * weights[i + 3, j]
                + e * weights[i + 4, j]
                + f * weights[i + 5, j]
                + g * weights[i + 6, j]
                + h * weights[i + 7, j]
            )
    for i in range(whole, n):
        a = x[i]
        for j in range(m):
            out[j] += a * weights[i, j]


@kernel
def perceptron(weights, x, hidden, out):
    """Two dense layers, what is negative between them being 0.

    Parameters
    ----------
    weights : tuple
        Its ``hidden``, ``hidden_bias``, ``out`` and ``out_bias`` are read.
    x : array, shape (n,)
    hidden, out : arrays, shapes (h,) and (m,)
    """
    dense(x, weights.hidden, weights.hidden_bias, hidden)
    rectify(hidden)
    dense(hidden, weights.out, weights.out_bias, out)


@kernel
def gather(x, stride, out):
    """What each position of a convolution sees of one more frame.

    Parameters
    ----------
    x : array, shape (channels, n)
    stride : int
    out : array, shape (channels * width, positions)
        0 where a position looks past an end.
    """
    channels, n = x.shape
    rows, positions = out.shape
    width = rows // channels
    for row in range(rows):
        channel = row // width
        first = row % width - width // 2
        for position in range(positions):
            at = first + position * stride
            out[row, position] = x[channel, at] if 0 <= at < n else np.float32(0)


@kernel(fastmath=FAST)
def conv(columns, weights, bias, out):
    """A convolution of what `gather` has laid out.

    Parameters
    ----------
    columns : array, shape (taps, positions)
    weights : array, shape (kernels, taps)
    bias : array, shape (kernels,)
    out : array, shape (kernels * positions,)
    """
    kernels, taps = weights.shape
    positions = columns.shape[1]
    whole = taps - taps % 6
    for k in range(kernels):
        row = out[k * positions : (k + 1) * positions]
        for p in range(positions):
            row[p] = bias[k]
        for t in range(0, whole, 6):
            a, b, c = weights[k, t], weights[k, t + 1], weights[k, t + 2]
            d, e, f = weights[k, t + 3], weights[k, t + 4], weights[k, t + 5]
            for p in range(positions):
                row[p] += (
                    a * columns[t, p]
                    + b * columns[t + 1, p]
                    + c * columns[t + 2, p]
                    + d * columns[t + 3, p]
                    + e * columns[t + 4, p]
                    + f * columns[t + 5, p]
                )
        for t in range(whole, taps):
            a = weights[k, t]
            for p in range(positions):
                row[p] += a * columns[t, p]


@kernel(fastmath=FAST)
def gru(from_input, from_state, state):
    """One step of a gated recurrent unit, in place.

    Parameters
    ----------
    from_input, from_state : arrays, shape (3 * n,)
        Sums of the gates reset, update, new: of the input, of the old state.
    state : array, shape (n,)

    Notes
    -----
    Realtime: O(n), no allocation. In place, as the compiler goes number by number
    where what is read and what is written may be one.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder
    for statistical machine translation", EMNLP 2014. Here the reset gate acts
    on the state after its matrix, as in cuDNN.
    """
    n = len(state)
    for i in range(n):
        reset = sigmoid(from_input[i] + from_state[i])
        update = sigmoid(from_input[n + i] + from_state[n + i])
        new = tanh(from_input[2 * n + i] + reset * from_state[2 * n + i])
        state[i] = new + update * (state[i] - new)
