# SPDX-License-Identifier: GPL-3.0-or-later
"""When a note began, and whether it is over: what the newest frames of the net's word tell together."""

import numpy as np

from dsp.kernel import kernel

PAST = 16  # frames remembered
LET_GO = 3  # frames for which what has ended is still likely to sound
NEWS = np.float32(0.1)  # rise of the earliest head's likelihood that tells when a note began


@kernel
def watched(frames):
    """In how many frames a pitch must be quiet to be over, for a decision after so many."""
    return min(max(frames - LET_GO, 2), PAST - 2)


@kernel
def started(rumour, first, pitch, least, most, expected, frame):
    """Frames since a note began: where the earliest head rose most.

    Parameters
    ----------
    rumour : array, shape (PAST, pitches)
        Likelihood of an onset by that head, frame `f` in row ``f % PAST``.
    first : int
        Its lag [frames].
    pitch : int
    least, most : int
        Frames among which it is looked for, `most` left out.
    expected : int
        What is said where it did not rise.
    frame : int
    """
    best, rose = expected, NEWS
    for since in range(max(first, least), most):
        at = frame - since + first
        rise = rumour[at % PAST, pitch] - rumour[(at - 1) % PAST, pitch]
        if rise > rose:
            best, rose = since, rise
    return best
