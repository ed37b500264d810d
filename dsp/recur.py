# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes and what comes again: pieces of half a beat, held against each other.

Where a chord or a bass note changes a bar is likely to begin, also where nobody
drums; what is alike after four beats and not after three tells the metre.
"""

import numpy as np

from dsp.kernel import kernel
from dsp.pulse import BANDS

PIECES = 64  # at most that are held against each other
FEWEST = 8
LAGS = 16  # how far apart
ROUND = 8  # pieces of four beats
BASS = 14  # lowest bands, up to 250 Hz or so
MARKS = LAGS + 3 * ROUND

FAST = {"contract", "reassoc", "nsz"}  # these loops are as long as there are bands, whatever the block


@kernel(fastmath=FAST)
def _apart(a, b):
    """How unlike two pieces are."""
    total = np.float32(0)
    for band in range(BANDS):
        total += abs(a[band] - b[band])
    return total


@kernel(fastmath=FAST)
def _turns(a, b, c, d):
    """How unlike two pieces are to the two before them."""
    total = np.float32(0)
    for band in range(BANDS):
        total += abs(a[band] + b[band] - c[band] - d[band])
    return total


@kernel(fastmath=FAST)
def _moves(a, b):
    """How much the bass changes, whatever its level."""
    mean, total = np.float32(0), np.float32(0)
    for band in range(BASS):
        mean += a[band] - b[band]
    mean /= np.float32(BASS)
    for band in range(BASS):
        total += abs(a[band] - b[band] - mean)
    return total


@kernel
def _even(marks):
    """Against their mean."""
    mean = np.float32(1e-4)
    for k in range(len(marks)):
        mean += marks[k] / np.float32(len(marks))
    for k in range(len(marks)):
        marks[k] /= mean


@kernel
def recur(pieces, count, out):
    """How alike pieces are after each number of them, then how much changes where each of four beats begins.

    Parameters
    ----------
    pieces : array, shape (PIECES, BANDS)
        Their bands, without their level, the newest last.
    count : int
        Of them, FEWEST at least.
    out : array, shape (MARKS,)
        After 1, 2 ... LAGS pieces; then, at the beginning of the newest piece, the
        one before and so on, changes of two pieces, of one, and of its bass.

    Notes
    -----
    Realtime: O(1), no allocation; asked once a beat.
    """
    out[:] = np.float32(0)
    lags, known = out[:LAGS], min(LAGS, count - 1)
    for lag in range(1, known + 1):
        for k in range(lag, count):
            lags[lag - 1] += _apart(pieces[k], pieces[k - lag])
        lags[lag - 1] /= np.float32(count - lag)
    mean = np.float32(1e-3)
    for k in range(known):
        mean += lags[k] / np.float32(known)
    for k in range(LAGS):
        lags[k] = lags[k] / mean if k < known else np.float32(1)
    wide = out[LAGS : LAGS + ROUND]
    near = out[LAGS + ROUND : LAGS + 2 * ROUND]
    bass = out[LAGS + 2 * ROUND :]
    for place in range(ROUND):
        met = np.float32(0)
        for k in range(count - 1 - place, 0, -ROUND):
            near[place] += _apart(pieces[k], pieces[k - 1])
            bass[place] += _moves(pieces[k], pieces[k - 1])
            met += np.float32(1)
        near[place] /= max(met, np.float32(1))
        bass[place] /= max(met, np.float32(1))
        met = np.float32(0)
        for k in range(count - 1 - place, 1, -ROUND):
            if k + 1 < count:
                wide[place] += _turns(pieces[k], pieces[k + 1], pieces[k - 1], pieces[k - 2])
                met += np.float32(1)
        wide[place] /= max(met, np.float32(1))
    _even(wide)
    _even(near)
    _even(bass)
