# SPDX-License-Identifier: GPL-3.0-or-later
"""Power spectrum of a real frame, without a byte allocated."""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel

LEAF = 8  # points of the smallest transform, written out


class FFT(NamedTuple):
    """Tables and work space for frames of one length."""

    cosine: np.ndarray  # (size / 2 - LEAF,) twiddles of all stages, widest first
    sine: np.ndarray
    bit_reversed: np.ndarray  # (size / 2 + 1,) where the last stage leaves bin k
    mirrored: np.ndarray  # (size / 2 + 1,) where it leaves bin -k
    unfold_cosine: np.ndarray  # (size / 2 + 1,) twiddles that unfold the half-size transform
    unfold_sine: np.ndarray
    real: np.ndarray  # (size / 2,) work
    imag: np.ndarray


def fft(size: int) -> FFT:
    """Tables for real frames of `size` samples, a power of two of at least 16."""
    half = size // 2
    bits = half.bit_length() - 1
    widths = [half >> (stage + 1) for stage in range(bits - 3)]
    phase = np.concatenate([np.zeros(0)] + [-np.pi * np.arange(width) / width for width in widths])
    order = np.array([int(f"{k:0{bits}b}"[::-1], 2) for k in range(half)], np.uint64)
    bins = np.arange(half + 1)
    unfold = -2 * np.pi * bins / size
    return FFT(
        np.cos(phase).astype(np.float32),
        np.sin(phase).astype(np.float32),
        order[bins % half],
        order[-bins % half],
        np.cos(unfold).astype(np.float32),
        np.sin(unfold).astype(np.float32),
        np.zeros(half, np.float32),
        np.zeros(half, np.float32),
    )


@kernel(fastmath={"contract", "nsz"})
def _stage(real, imag, start, width, cosine, sine, twiddle):
    """One butterfly of `width` pairs, decimation in frequency."""
    for j in range(width):
        a = start + j
        b = a + width
        c, s = cosine[twiddle + j], sine[twiddle + j]
        x, y = real[a] - real[b], imag[a] - imag[b]
        real[a] += real[b]
        imag[a] += imag[b]
        real[b] = c * x - s * y
        imag[b] = c * y + s * x


@kernel(fastmath={"contract", "nsz"})
def _leaf(real, imag, at):
    """Eight points in one breath: the last three stages, written out."""
    h = np.float32(0.7071067811865476)
    a0, a1, a2, a3 = real[at], real[at + 1], real[at + 2], real[at + 3]
    a4, a5, a6, a7 = real[at + 4], real[at + 5], real[at + 6], real[at + 7]
    b0, b1, b2, b3 = imag[at], imag[at + 1], imag[at + 2], imag[at + 3]
    b4, b5, b6, b7 = imag[at + 4], imag[at + 5], imag[at + 6], imag[at + 7]
    a0, a4, b0, b4 = a0 + a4, a0 - a4, b0 + b4, b0 - b4
    x, y = a1 - a5, b1 - b5
    a1, b1, a5, b5 = a1 + a5, b1 + b5, h * (x + y), h * (y - x)
    x, y = a2 - a6, b2 - b6
    a2, b2, a6, b6 = a2 + a6, b2 + b6, y, -x
    x, y = a3 - a7, b3 - b7
    a3, b3, a7, b7 = a3 + a7, b3 + b7, h * (y - x), -h * (x + y)
    a0, a2, b0, b2 = a0 + a2, a0 - a2, b0 + b2, b0 - b2
    a1, a3, b1, b3 = a1 + a3, b1 - b3, b1 + b3, a3 - a1
    a4, a6, b4, b6 = a4 + a6, a4 - a6, b4 + b6, b4 - b6
    a5, a7, b5, b7 = a5 + a7, b5 - b7, b5 + b7, a7 - a5
    real[at], real[at + 1], imag[at], imag[at + 1] = a0 + a1, a0 - a1, b0 + b1, b0 - b1
    real[at + 2], real[at + 3], imag[at + 2], imag[at + 3] = a2 + a3, a2 - a3, b2 + b3, b2 - b3
    real[at + 4], real[at + 5], imag[at + 4], imag[at + 5] = a4 + a5, a4 - a5, b4 + b5, b4 - b5
    real[at + 6], real[at + 7], imag[at + 6], imag[at + 7] = a6 + a7, a6 - a7, b6 + b7, b6 - b7


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
    Realtime: O(size log size), no allocation. Pairs of samples are taken as
    complex numbers, so the transform has half the length of the frame.
    """
    real, imag = tables.real, tables.imag
    half = len(real)
    for i in range(half):
        real[i] = frame[2 * i]
        imag[i] = frame[2 * i + 1]
    width, twiddle = half // 2, 0
    while width >= LEAF:
        for group in range(half // (2 * width)):
            _stage(real, imag, group * 2 * width, width, tables.cosine, tables.sine, twiddle)
        twiddle += width
        width //= 2
    for group in range(half // LEAF):
        _leaf(real, imag, group * LEAF)
    even = np.float32(0.5)
    for k in range(half + 1):
        a, b = tables.bit_reversed[k], tables.mirrored[k]
        even_real, even_imag = even * (real[a] + real[b]), even * (imag[a] - imag[b])
        odd_real, odd_imag = even * (imag[a] + imag[b]), even * (real[b] - real[a])
        c, s = tables.unfold_cosine[k], tables.unfold_sine[k]
        x = even_real + c * odd_real - s * odd_imag
        y = even_imag + c * odd_imag + s * odd_real
        out[k] = x * x + y * y
