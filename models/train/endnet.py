# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells when a note is over, while it learns; `dsp.endnet` is the same net at work.

    python -m models.train.endnet hear WORK [--examples 4800] [--part 0 --of 1]
    python -m models.train.endnet train WORK
    python -m models.train.endnet export WORK

WORK holds scenes that the note ear did not learn from (`models.train.notes render --seed 4`). `hear` writes what is
weighed of the notes that the ears that ship believe in, spoilt anew, and goes on where it was.
"""

from pathlib import Path

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dsp.endnet import consider, endnet_begin, endnet_hear, endnet_state, features_of, trusting
from dsp.net import sigmoid
from dsp.notenet import embedding_size, notenet_frame, notenet_state
from dsp.polynet import polynet_frame, polynet_state
from dsp.tones import PITCHES
from models import notes, poly
from models.train import judge
from models.train.note_corpus import Batch

NAME = "ends"
HIDDEN, STEPS = 64, 10_000
SILENT = 0.1  # of the examples hold no note
SETTLE = 20  # frames of an example that are not judged
EVERY = 3  # of so many frames of a note one is learned from
AFTER = 75  # frames for which a note is watched that no longer sounds
AT = 2  # row of the head that begins notes
REARM = np.float32(0.7)
OVER = 0.55  # likelihood of sounding below which a note is over
LAGS = notes.load().lags
SHAPE = features_of(len(LAGS), embedding_size(notes.load())), HIDDEN, len(LAGS)


@njit(cache=False)
def _weighed(ear, heard, state, x, sounding, rows, known):  # type: ignore[no-untyped-def]
    """What is weighed of each note that was believed, and whether it sounded at each lag; how many."""
    n, lags = 0, state.lags
    said = np.zeros((len(lags) + 2, PITCHES), np.float32)
    quiet = np.full(PITCHES, AFTER)  # frames since it sounded
    believed, armed = np.zeros(PITCHES, np.bool_), np.ones(PITCHES, np.bool_)
    asked = heard.weights.threshold[AT]
    for frame in range(len(x)):
        notenet_frame(ear, x[frame], said)
        polynet_frame(heard, ear, said, x[frame], frame)
        endnet_hear(state, x[frame], frame)
        for pitch in range(PITCHES):
            quiet[pitch] = 0 if sounding[frame, pitch] else quiet[pitch] + 1
            believed[pitch] &= quiet[pitch] < AFTER
            if believed[pitch]:
                consider(state, heard, ear, pitch, frame)
                if frame >= SETTLE and (frame + pitch) % EVERY == 0 and n < len(rows):
                    rows[n] = state.x
                    for row in range(len(lags)):
                        known[n, row] = sounding[frame - lags[row], pitch]
                    n += 1
            likely = sigmoid(heard.judged[AT, pitch])
            if likely < REARM * asked:
                armed[pitch] = True
            elif likely >= asked and armed[pitch]:
                armed[pitch], believed[pitch] = False, True
                quiet[pitch] = min(quiet[pitch], AFTER // 2)
                endnet_begin(state, pitch, lags[AT])
    return n


def weighed(x: np.ndarray, sounding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is weighed in an example, shape (n, features), and whether each sounded at each lag, (n, lags)."""
    state = endnet_state(trusting(len(LAGS), embedding_size(notes.load())), LAGS)
    rows = np.zeros((len(x) * 8, len(state.x)), np.float32)
    known = np.zeros((len(rows), len(LAGS)), np.int8)
    n = _weighed(notenet_state(notes.load()), polynet_state(poly.load()), state, x, sounding, rows, known)
    return rows[:n].astype(np.float16), known[:n]


def hear(work: Path, examples: int, part: int, of: int) -> None:
    """Write this part's share of what is weighed; shards that are there already stay."""

    def of_batch(batch: Batch) -> judge.Pair:
        return weighed(batch.x[0], batch.sounding[0])

    judge.hear(work, NAME, examples, part, of, judge.note_scenes(work, SILENT, 29, of_batch))


def train(work: Path) -> None:
    def wanted(known: Tensor) -> tuple[Tensor, Tensor]:
        return known > 0, torch.ones(known.shape, dtype=torch.bool)

    judge.train(work, NAME, SHAPE, STEPS, wanted)


def export(work: Path) -> None:
    net, x = judge.learned(work, NAME, SHAPE)
    judge.export(NAME, net, x, {"over": np.full(len(LAGS), OVER, np.float32)})


def main() -> None:
    args = judge.commands(__doc__, 4800, hear, train, export)[0].parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
