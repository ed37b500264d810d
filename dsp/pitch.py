# SPDX-License-Identifier: GPL-3.0-or-later
"""How high one voice sounds: its period, found by comparing it with its own past.

The sound is brought down to 12 kHz, where a period of low E is 291 samples. For
every lag the last stretch is compared with the stretch one lag earlier, a stretch
being about as long as the lag: so a high note is known from the floor of 8 ms, a
low one from two of its periods, and neither waits for the other.

References
----------
P. McLeod, G. Wyvill, "A smarter way to find pitch", ICMC 2005: the normalised
square difference (eq. 9) and the choice of the first good peak. Deviation: the
window grows with the lag, and sums are kept up chunk by chunk.
"""

from typing import NamedTuple

import numpy as np

from dsp.frame import push
from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.units import HOP, RATE, hz

FACTOR = 4
SLOW = RATE // FACTOR  # rate of the search [Hz]
CHUNK = HOP // FACTOR  # slow samples per hop
TAPS = 48  # of the low-pass before the decimation
DECIMATION_DELAY = (TAPS - 1) // 2 + 1  # [samples]
DELAY = DECIMATION_DELAY + 5 * HOP  # of a pitch whose period is short [samples]
LAGS = 464  # longest lag + 1 [slow samples]: A0, and a multiple of CHUNK
FLOOR = 6  # shortest stretch compared [chunks]: 8 ms
DEPTH = 32  # chunks remembered per lag: the stretch of the longest lag and to spare
PAST = 2 * LAGS + 2 * CHUNK  # slow samples looked back at
TAPE = PAST + 128 * CHUNK  # room to write backwards before the past is moved up
LASTING = 0.8  # how much of a peak must be left over the longest stretch
KEEN = 0.9  # how good the first peak must be against the best

PARAMS = np.dtype([("shortest", "i8"), ("longest", "i8"), ("quiet", "f8")], align=True)


class LagState(NamedTuple):
    """What is remembered to compare a slow sound with its own past."""

    params: np.ndarray  # (1,) PARAMS
    tape: np.ndarray  # (TAPE,) slow samples, newest first from head
    head: np.ndarray  # (3,) where the newest slow sample is; row of the next chunk; longest lag kept up
    products: np.ndarray  # (DEPTH, LAGS) sum of x[i] x[i - lag] over each chunk
    sums: np.ndarray  # (LAGS,) the same over the stretch of each lag
    wide: np.ndarray  # (LAGS,) the same over the longest lag
    energy: np.ndarray  # (PAST + 1,) energy of the newest j samples
    likeness: np.ndarray  # (LAGS,) normalised, 1 = the stretch repeats exactly


class SlowState(NamedTuple):
    """What the way down to the slow rate remembers."""

    taps: np.ndarray  # (TAPS,) low-pass
    recent: np.ndarray  # (TAPS - 1 + HOP,) input, oldest first
    blocker: np.ndarray  # (2,) memory of the DC blocker


class PitchState(NamedTuple):
    slow: SlowState
    lags: LagState
    last: np.ndarray  # (1,) period believed [slow samples], 0 for none


def pitch_params(low: float, high: float) -> np.ndarray:
    """Numbers of the search for MIDI notes `low` to `high`, shape (1,)."""
    params = np.zeros(1, PARAMS)
    params["shortest"] = max(4, int(SLOW / hz(high + 0.7)))
    params["longest"] = min(LAGS - 3, int(np.ceil(SLOW / hz(low - 0.7))))
    params["quiet"] = 1e-9  # energy of a slow sample that counts as silence
    return params


def slow_state() -> SlowState:
    t = np.arange(TAPS) - (TAPS - 1) / 2
    taps = np.sinc(2 * 5000 / RATE * t) * np.kaiser(TAPS, 5.0)
    return SlowState(
        (taps / taps.sum()).astype(np.float32), np.zeros(TAPS - 1 + HOP, np.float32), np.zeros(2)
    )


def lag_state(params: np.ndarray) -> LagState:
    """Room for the widest range, whatever `params` (1,) asks for now."""
    return LagState(
        params=params,
        tape=np.zeros(TAPE, np.float32),
        head=np.array([TAPE - PAST, 0, 0]),
        products=np.zeros((DEPTH, LAGS), np.float32),
        sums=np.zeros(LAGS),
        wide=np.zeros(LAGS),
        energy=np.zeros(PAST + 1),
        likeness=np.zeros(LAGS),
    )


def pitch_state(low: float, high: float) -> PitchState:
    """All that the search for one pitch remembers."""
    return PitchState(slow_state(), lag_state(pitch_params(low, high)), np.zeros(1))


@kernel(fastmath=True)
def _tap(taps, recent, at):
    total = np.float32(0.0)
    for i in range(TAPS):
        total += taps[i] * recent[at + i]
    return total


@kernel
def tape_room(state):
    """Make room for one more chunk on the tape and step to it; returns where the chunk starts."""
    tape, head = state.tape, state.head
    if head[0] < CHUNK:
        for i in range(PAST - 1, -1, -1):
            tape[TAPE - PAST + i] = tape[head[0] + i]
        head[0] = TAPE - PAST
    head[0] -= CHUNK
    return head[0]


@kernel
def slow_step(state, x, tape, start):
    """One hop x (HOP,) to CHUNK slow samples, newest first, at ``tape[start:]``."""
    recent, blocker = state.recent, state.blocker
    push(recent, x)
    for k in range(CHUNK):
        slow = float(_tap(state.taps, recent, FACTOR * (k + 1) - 1))
        # A DC offset or a slow rumble repeats at any lag.
        y = slow - blocker[0] + 0.988 * blocker[1]
        blocker[0] = slow
        blocker[1] = y if abs(y) > 1e-20 else 0.0
        tape[start + CHUNK - 1 - k] = blocker[1]


@kernel
def lag_step(state):
    """Compare the newest stretch with the one before, for every lag: fills `likeness` after a new chunk."""
    tape, head, sums = state.tape, state.head, state.sums
    start = head[0]
    longest = state.params[0].longest + 3
    if head[2] != longest:  # the range was changed live
        for row in range(DEPTH):
            for lag in range(LAGS):
                state.products[row, lag] = 0.0
        for lag in range(LAGS):
            sums[lag] = 0.0
            state.wide[lag] = 0.0
        head[2] = longest
    chunk = state.products[head[1] % DEPTH]
    for lag in range(longest):
        chunk[lag] = 0.0
    for i in range(CHUNK):
        now = tape[start + i]
        past = tape[start + i : start + i + longest]
        for lag in range(longest):
            chunk[lag] += now * past[lag]
    for block in range(0, longest, CHUNK):
        stop = min(longest, block + CHUNK)
        gone = state.products[(head[1] - max(FLOOR, block // CHUNK + 1)) % DEPTH]
        for lag in range(block, stop):
            sums[lag] += float(chunk[lag]) - float(gone[lag])
    gone = state.products[(head[1] - max(FLOOR, longest // CHUNK + 1)) % DEPTH]
    for lag in range(longest):
        state.wide[lag] += float(chunk[lag]) - float(gone[lag])
    head[1] += 1

    energy, likeness = state.energy, state.likeness
    total = 0.0
    for i in range(max(FLOOR * CHUNK, longest + CHUNK) + longest):
        total += float(tape[start + i]) * float(tape[start + i])
        energy[i + 1] = total
    quiet = state.params[0].quiet
    for block in range(0, longest, CHUNK):
        stop = min(longest, block + CHUNK)
        width = CHUNK * max(FLOOR, block // CHUNK + 1)
        base = energy[width] + quiet * width
        for lag in range(block, stop):
            likeness[lag] = 2 * sums[lag] / (base + energy[width + lag] - energy[lag])


@kernel
def lag_peak(y, lag):
    """Whether the likeness peaks at `lag`, and not only because its stretch differs from its neighbour's."""
    if y[lag] < y[lag - 1] or y[lag] <= y[lag + 1]:
        return False
    if lag >= FLOOR * CHUNK:
        if lag % CHUNK == 0 and y[lag - 1] < y[lag - 2]:
            return False
        if lag % CHUNK == CHUNK - 1 and y[lag + 1] < y[lag + 2]:
            return False
    return True


@kernel
def lag_summit(y, at):
    """(position, height) of the parabola through a peak and its neighbours."""
    a, b, c = y[at - 1], y[at], y[at + 1]
    bend = a - 2 * b + c
    if bend >= -1e-12:
        return float(at), b
    shift = 0.5 * (a - c) / bend
    return at + shift, b - 0.25 * (a - c) * shift


@kernel
def _lasts(state, lag, lasting):
    """Whether at least `lasting` of the likeness at `lag` is left over a stretch of the longest lag."""
    if lasting == 0:
        return True
    energy, width = state.energy, CHUNK * max(FLOOR, (state.params[0].longest + 3) // CHUNK + 1)
    whole = energy[width] + energy[width + lag] - energy[lag] + state.params[0].quiet * width
    return 2 * state.wide[lag] > lasting * state.likeness[lag] * whole


@kernel
def lag_refined(state, chosen, height):
    """A period told more finely by whole numbers of it; `height` is its likeness."""
    y, longest = state.likeness, state.params[0].longest
    count = int(min(96.0, longest - 1.0) / chosen)
    refined, times = chosen, 2
    while times <= min(4, count):
        middle = int(round(refined * times))
        if middle - 1 < 1 or middle + 2 > longest:
            break
        peak = middle
        if y[peak - 1] > y[peak]:
            peak -= 1
        elif y[peak + 1] > y[peak]:
            peak += 1
        if y[peak] < y[peak - 1] or y[peak] < y[peak + 1] or y[peak] < 0.85 * height:
            break
        refined = lag_summit(y, peak)[0] / times
        times += 1
    return refined


@kernel
def lag_search(state, expected, keen, lasting):
    """The period that explains the newest stretch best.

    `expected` [slow samples] is the period believed so far, 0 for none; it is kept
    while its peak is nearly as good as the best. The first peak that reaches
    `keen` times the best wins otherwise. `lasting` guards against a flat stretch of
    a long period being taken for a short one, at the price of slower changes.

    Returns
    -------
    lag : float
        Period [slow samples], 0 where nothing repeats.
    likeness : float
        Height of its peak, 0..1.
    """
    y = state.likeness
    shortest, longest = state.params[0].shortest, state.params[0].longest
    best = 0.0
    for lag in range(shortest, longest + 1):
        if y[lag] > best and lag_peak(y, lag) and _lasts(state, lag, lasting):
            best = y[lag]
    if best < 0.3:
        return 0.0, 0.0
    chosen, height = 0.0, 0.0
    for lag in range(shortest, longest + 1):
        if y[lag] > 0.3 and lag_peak(y, lag) and _lasts(state, lag, lasting):
            at, top = lag_summit(y, lag)
            near = expected > 0 and abs(at - expected) < 0.03 * expected + 0.5
            if top >= (keen - 0.06 if near else keen) * best and (height == 0.0 or near):
                chosen, height = at, top
                # A note believed an octave or more too low is no reason to stay there.
                times = np.floor(expected / at + 0.5)
                under = top > 0.96 * best and abs(expected - times * at) < 0.03 * expected
                if near or expected == 0.0 or under:
                    break
    if chosen == 0.0:
        return 0.0, 0.0
    return lag_refined(state, chosen, height), min(1.0, max(0.0, height))


@kernel
def pitch_step(state, x, out):
    """Pitch of each hop, x (n, HOP) -> out (n, 3): f0 [Hz], confidence 0..1, level (rms of 8 ms)."""
    lags = state.lags
    for hop in range(x.shape[0]):
        slow_step(state.slow, x[hop], lags.tape, tape_room(lags))
        lag_step(lags)
        lag, likeness = lag_search(lags, state.last[0], KEEN, LASTING)
        power = lags.energy[FLOOR * CHUNK] / (FLOOR * CHUNK)
        sure = likeness if power > 10 * lags.params[0].quiet else 0.0
        out[hop, 0] = SLOW / lag if lag > 0 and sure > 0.5 else 0.0
        state.last[0] = lag if sure > 0.8 else 0.0
        out[hop, 1] = sure
        out[hop, 2] = np.sqrt(power)
    return x.shape[0]


class Pitch(KernelStage):
    """f0 of one voice, hop by hop: hops of audio -> (f0 [Hz], confidence 0..1, level).

    f0 is 0 where nothing is voiced.

    Notes
    -----
    Delay: the decimator and half of what is compared, 7 ms within a hop; a period longer
    than 8 ms adds its own excess. Realtime: O(longest lag) a hop, no allocation.
    """

    step = staticmethod(pitch_step)

    def __init__(self, low: float = 28, high: float = 96) -> None:
        self.low, self.high = low, high

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._framed(spec, pitch_state(self.low, self.high), 1, (3,), DELAY)
