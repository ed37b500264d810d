# SPDX-License-Identifier: GPL-3.0-or-later
"""From which likelihood a family of drums is believed: what finds most on real songs and on renders.

Real songs at hand, laid out as MDB Drums, are too few to tell by themselves: without the one that has most of the
cymbals, theirs would be set where none is heard any more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mir_eval
import numpy as np
import soundfile as sf
import soxr
from numba import njit
from scipy.ndimage import uniform_filter

from dsp.bands import FRAME, INPUTS, bands_state, bands_step
from dsp.drumnet import VOICES
from dsp.units import HOP, RATE
from models.train.drums import METAL
from models.train.studio import FAMILIES

GRID = np.concatenate([np.arange(0.1, 0.3, 0.05), np.arange(0.3, 0.96, 0.05)])
FIVE = FAMILIES[:-1]
MDB = {"KD": "kick", "SD": "snare", "HH": "hat", "TT": "tom", "CY": "cymbal"}
NONE = np.zeros(0)
OTHER = "OT"  # MDB's word for a side stick: a snare there is neither right nor wrong
REARM, REFRACTORY = 0.7, round(0.048 * RATE / FRAME)


def inputs_of(x: np.ndarray) -> np.ndarray:
    """What the net is given of audio at 48 kHz, shape (frames, INPUTS)."""
    out = np.zeros((len(x) // FRAME, INPUTS), np.float32)
    bands_step(bands_state(), x[: len(x) // HOP * HOP].reshape(-1, HOP).astype(np.float32), out)
    return out


@njit(cache=False)
def _crossings(p, threshold, out):  # type: ignore[no-untyped-def]
    """Frames at which p climbs through the threshold; how many."""
    n, armed, last = 0, True, -1000
    for t in range(len(p)):
        if armed and p[t] >= threshold:
            armed = False
            if t - last >= REFRACTORY:
                out[n], last = t, t
                n += 1
        elif p[t] < REARM * threshold:
            armed = True
    return n


class Song(NamedTuple):
    likely: np.ndarray  # (frames, lags, VOICES)
    struck: dict[str, np.ndarray]  # times of each family [s]
    excused: np.ndarray = NONE  # times at which a snare is neither right nor wrong [s]


def real_songs(folder: Path) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Real songs, drums alone and whole mixes: what the net is given, and times of a `Song`."""
    for path in sorted(folder.glob("*/drums.flac")) + sorted(folder.glob("*/mix.flac")):
        rows = [line.split() for line in (path.parent / "class.txt").read_text().splitlines() if line.strip()]
        x, rate = sf.read(path, dtype="float32", always_2d=True)
        struck = {f: np.unique([float(t) for t, word in rows if MDB.get(word) == f]) for f in FIVE}
        excused = np.unique([float(t) for t, word in rows if word == OTHER])
        yield inputs_of(soxr.resample(x.mean(1), rate, RATE)), struck, excused


def _matched(known: np.ndarray, said: np.ndarray) -> list[tuple[int, int]]:
    return list(mir_eval.util.match_events(known, said, 0.05)) if len(said) and len(known) else []


def _counts(known: np.ndarray, frames: np.ndarray, lag: int, excused: np.ndarray) -> np.ndarray:
    """Hits, extra, missed; what is excused takes one that was said in vain each."""
    said = (frames + 0.5 - lag) * FRAME / RATE
    found = _matched(known, said)
    hits, vain = len(found), np.delete(said, [j for _, j in found])
    return np.array([hits, len(vain) - len(_matched(excused, vain)), len(known) - hits])


def _odds(p: Any) -> Any:
    return p / (1 - p + 1e-9)


def _tally(songs: list[Song], row: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each family but the metal, (families, grid, 3), and of hat and cymbal together, (grid, grid, 3)."""
    alone, metal = np.zeros((len(FIVE), len(GRID), 3)), np.zeros((len(GRID), len(GRID), 3))
    work = np.zeros(100_000, np.int64)
    for song in songs:
        p = np.ascontiguousarray(song.likely[:, row])
        for j, family in enumerate(FIVE):
            excused = song.excused if family == "snare" else NONE
            for g, threshold in enumerate(GRID) if j not in METAL else ():
                n = _crossings(np.ascontiguousarray(p[:, j]), threshold, work)
                alone[j, g] += _counts(song.struck[family], work[:n], lag, excused)
        # One hand plays the metal: what is further beyond its threshold speaks for both.
        for g, hat in enumerate(GRID):
            for h, cymbal in enumerate(GRID):
                beyond = np.stack(
                    [_odds(p[:, j]) / _odds(np.float64(t)) for j, t in zip(METAL, (hat, cymbal), strict=True)]
                )
                winner = beyond.argmax(0)
                best = beyond.max(0)
                n = _crossings(best / (1 + best), 0.5, work)
                for k, j in enumerate(METAL):
                    frames = work[:n][winner[work[:n]] == k]
                    metal[g, h] += _counts(song.struck[FIVE[j]], frames, lag, NONE)
    return alone, metal


def thresholds(real: list[Song], rendered: list[Song], lags: np.ndarray) -> np.ndarray:
    """Where each family of each lag is believed, shape (lags, VOICES): the best micro F, both kinds weighing alike."""
    found = np.full((len(lags), VOICES), 0.5, np.float32)
    strokes = [sum(len(t) for song in songs for t in song.struck.values()) for songs in (real, rendered)]
    share = strokes[0] / max(strokes[1], 1) if real else 1
    for row, lag in enumerate(lags):
        alone, metal = (
            known + share * other
            for known, other in zip(_tally(real, row, lag), _tally(rendered, row, lag), strict=True)
        )
        chosen = [len(GRID) // 2] * len(FIVE)
        pair: Any = (len(GRID) // 2, len(GRID) // 2)

        def f(counts: np.ndarray) -> np.ndarray:
            hit, extra, missed = np.moveaxis(counts, -1, 0)
            return uniform_filter(2 * hit / np.maximum(2 * hit + extra + missed, 1), 3, mode="nearest")

        for _ in range(4):
            sums = {j: alone[j, chosen[j]] for j in range(len(FIVE)) if j not in METAL}
            for j in sums:
                rest = sum(v for k, v in sums.items() if k != j) + metal[pair]
                chosen[j] = int(np.argmax(f(rest + alone[j])))
                sums[j] = alone[j, chosen[j]]
            pair = np.unravel_index(int(np.argmax(f(sum(sums.values()) + metal))), metal.shape[:2])
        found[row, : len(FIVE)] = GRID[chosen]
        found[row, list(METAL)] = GRID[list(pair)]
        total = sum(alone[j, chosen[j]] for j in range(len(FIVE)) if j not in METAL) + metal[pair]
        print(f"lag {lag}: F {2 * total[0] / (2 * total[0] + total[1] + total[2]):.3f}", flush=True)
    return found
