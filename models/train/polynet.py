# SPDX-License-Identifier: GPL-3.0-or-later
"""What corrects the word of the note ear, while it learns; `dsp.polynet` is the same net at work.

    python -m models.train.polynet hear WORK [--examples 12000] [--part 0 --of 1]
    python -m models.train.polynet train WORK
    python -m models.train.polynet export WORK

WORK holds scenes that the note ear did not learn from (`models.train.notes render --seed 4`): of those it knows it is
surer than of any other. `hear` writes what the ear that ships says of them, spoilt anew, and goes on where it was.
"""

from pathlib import Path

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dsp.notenet import embedding_size, notenet_frame, notenet_state
from dsp.polynet import POSSIBLE, consider, features_of, polynet_hear, polynet_state, trusting
from dsp.tones import PITCHES
from models import notes
from models.train import judge
from models.train.note_corpus import Batch

NAME = "poly"
HIDDEN, STEPS = 192, 20_000
SILENT = 0.35  # of the examples hold no note
SETTLE = 20  # frames of an example that are not judged
FRESH = 12  # frames for which a note has just begun
BESIDE = 3  # and those after that are not judged
EVERY = 2  # of so many frames of a pitch one is learned from
# Likelihoods: of an onset at a head's own decision, and of one that need not wait for a later head.
THRESHOLD, SURE = (0.7, 0.7, 0.7, 0.65), (0.95, 0.95, 0.95, 0.65)
SHAPE = features_of(len(THRESHOLD), embedding_size(notes.load())), HIDDEN, len(THRESHOLD)


@njit(cache=False)
def _weighed(ear, state, x, rows, which):  # type: ignore[no-untyped-def]
    """What is weighed of each pitch that may have begun, and the frame and pitch it is of; how many."""
    n, lags = 0, len(ear.weights.lags)
    said = np.zeros((lags + 2, PITCHES), np.float32)
    for frame in range(len(x)):
        notenet_frame(ear, x[frame], said)
        polynet_hear(state, said, x[frame], frame)
        for pitch in range(PITCHES):
            if (frame + pitch) % EVERY == 0 and n < len(rows) and said[:lags, pitch].max() > POSSIBLE:
                consider(state, ear, pitch, frame)
                rows[n] = state.x
                which[n, 0], which[n, 1] = frame, pitch
                n += 1
    return n


def weighed(x: np.ndarray, struck: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is weighed in an example, shape (n, features), and how many frames ago each began, shape (n,)."""
    ear = notes.load()
    state = polynet_state(trusting(len(ear.lags), embedding_size(ear)))
    rows = np.zeros((len(x) * 24, len(state.x)), np.float32)
    which = np.zeros((len(rows), 2), np.int64)
    n = _weighed(notenet_state(ear), state, x, rows, which)
    judged = which[:n, 0] >= SETTLE
    ago = judge.frames_since(struck > 0)
    return rows[:n][judged].astype(np.float16), ago[which[:n, 0], which[:n, 1]][judged]


def hear(work: Path, examples: int, part: int, of: int) -> None:
    """Write this part's share of what is weighed; shards that are there already stay."""

    def of_batch(batch: Batch) -> judge.Pair:
        return weighed(batch.x[0], batch.struck[0])

    judge.hear(work, NAME, examples, part, of, judge.note_scenes(work, SILENT, 19, of_batch))


def train(work: Path) -> None:
    lags = torch.tensor(notes.load().lags)

    def wanted(ago: Tensor) -> tuple[Tensor, Tensor]:
        ago = ago[:, None].short()
        unsure = (ago >= FRESH) & (ago < FRESH + BESIDE) | (ago < lags) & (ago >= lags - 2)
        return (ago >= lags) & (ago < FRESH), ~unsure

    judge.train(work, NAME, SHAPE, STEPS, wanted)


def export(work: Path) -> None:
    net, x = judge.learned(work, NAME, SHAPE)
    found = {"threshold": np.array(THRESHOLD, np.float32), "sure": np.array(SURE, np.float32)}
    judge.export(NAME, net, x, found)


def main() -> None:
    args = judge.commands(__doc__, 12_000, hear, train, export)[0].parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
