# SPDX-License-Identifier: GPL-3.0-or-later
"""Power spectrum of a real frame, without a byte allocated.

Pairs of samples are taken as complex numbers and laid in rows. A short transform down the columns, a turn of
each number, a transposition and a second short one down the columns are together the long one (Bailey 1990): all
but the transposition works on whole rows, many lanes at once, and bins come out in order.
"""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel


class FFT(NamedTuple):
    """Tables and work space for frames of one length, half of which is rows * columns."""

    cosine: np.ndarray  # (max(rows, columns) / 2,) of the short transforms
    sine: np.ndarray
    turn_cosine: np.ndarray  # (rows, columns) between them
    turn_sine: np.ndarray
    rows: np.ndarray  # (rows,) where the first leaves each frequency
    columns: np.ndarray  # (columns,) where the second does
    unfold_cosine: np.ndarray  # (rows * columns / 2 + 1,) what makes it one of real numbers
    unfold_sine: np.ndarray
    real: np.ndarray  # (rows, columns) work
    imag: np.ndarray
    turned_real: np.ndarray  # (columns, rows) work
    turned_imag: np.ndarray


def fft(size: int) -> FFT:
    """Tables for real frames of `size` samples, a power of two of at least 8."""
    half = size // 2
    rows = 1 << (half.bit_length() - 1) // 2
    columns, longest = half // rows, max(rows, half // rows)

    def circle(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of so many turns backwards."""
        return np.cos(-2 * np.pi * phase).astype(np.float32), np.sin(-2 * np.pi * phase).astype(np.float32)

    def reversed_bits(n: int) -> np.ndarray:
        return np.array([int(f"{k:0{n.bit_length() - 1}b}"[::-1], 2) for k in range(n)], np.int64)

    def work(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    order = reversed_bits(rows)
    return FFT(
        *circle(np.arange(longest // 2) / longest),
        *circle(np.outer(order, np.arange(columns)) / half),
        order,
        reversed_bits(columns),
        *circle(np.arange(half // 2 + 1) / size),
        work(rows, columns),
        work(rows, columns),
        work(columns, rows),
        work(columns, rows),
    )


@kernel(fastmath={"contract", "nsz"})
def _butterfly(ar, ai, br, bi, c, s):
    """Sums of two rows in the first, their differences, turned, in the second."""
    for k in range(len(ar)):
        x, y = ar[k] - br[k], ai[k] - bi[k]
        ar[k] += br[k]
        ai[k] += bi[k]
        br[k] = c * x - s * y
        bi[k] = c * y + s * x


@kernel
def _transform(real, imag, cosine, sine):
    """Each column to its frequencies, decimation in frequency: what lies in row k has its bits reversed."""
    rows = len(real)
    width = rows // 2
    while width:
        step = len(cosine) // width
        for group in range(0, rows, 2 * width):
            for j in range(width):
                a, b = group + j, group + j + width
                _butterfly(real[a], imag[a], real[b], imag[b], cosine[j * step], sine[j * step])
        width //= 2


@kernel(fastmath={"contract", "nsz"})
def _turn(tables):
    """What the first transform found, turned, as columns of the second."""
    real, imag = tables.turned_real, tables.turned_imag
    for row in range(len(tables.rows)):
        x, y, to = tables.real[row], tables.imag[row], tables.rows[row]
        c, s = tables.turn_cosine[row], tables.turn_sine[row]
        for k in range(len(x)):
            real[k, to] = c[k] * x[k] - s[k] * y[k]
            imag[k, to] = c[k] * y[k] + s[k] * x[k]


@kernel(fastmath={"contract", "nsz"})
def _pair(ar, ai, br, bi, c, s):
    """Power at a frequency and at its mirror image, from both of the complex transform."""
    half = np.float32(0.5)
    even_real, even_imag = half * (ar + br), half * (ai - bi)
    odd_real, odd_imag = half * (ai + bi), half * (br - ar)
    x, y = c * odd_real - s * odd_imag, c * odd_imag + s * odd_real
    return (even_real + x) ** 2 + (even_imag + y) ** 2, (even_real - x) ** 2 + (even_imag - y) ** 2


@kernel(fastmath={"contract", "nsz"})
def _pairs(ar, ai, br, bi, c, s, low, high):
    """`_pair` of all but the first of a row and those of its mirror image, which lie the other way round."""
    n = len(ar)
    for k in range(1, n):
        low[k], high[n - k] = _pair(ar[k], ai[k], br[n - k], bi[n - k], c[k], s[k])


@kernel(fastmath={"contract", "nsz"})
def power_spectrum(tables, frame, out):
    """Squared magnitude of each bin of a real frame.

    Parameters
    ----------
    tables : FFT
        Made for the length of `frame`; its work space is overwritten.
    frame : array, shape (size,)
    out : array, shape (size / 2 + 1,)

    Notes
    -----
    Realtime: O(size log size), no allocation.
    """
    rows, columns = tables.real.shape
    for row in range(rows):
        x, real, imag = frame[2 * row * columns :], tables.real[row], tables.imag[row]
        for k in range(columns):
            real[k] = x[2 * k]
            imag[k] = x[2 * k + 1]
    _transform(tables.real, tables.imag, tables.cosine, tables.sine)
    _turn(tables)
    real, imag, order = tables.turned_real, tables.turned_imag, tables.columns
    _transform(real, imag, tables.cosine, tables.sine)
    cosine, sine, half = tables.unfold_cosine, tables.unfold_sine, rows * columns
    for k in range(columns // 2):
        a, b, at = order[k], order[columns - 1 - k], k * rows
        c, s, high = cosine[at:], sine[at:], out[half - at - rows :]
        _pairs(real[a], imag[a], real[b], imag[b], c, s, out[at:], high)
    for k in range(columns // 2 + 1):
        a, b, at = order[k], order[(columns - k) % columns], k * rows
        ar, ai, br, bi = real[a, 0], imag[a, 0], real[b, 0], imag[b, 0]
        out[at], out[half - at] = _pair(ar, ai, br, bi, cosine[at], sine[at])
