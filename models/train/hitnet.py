# SPDX-License-Identifier: GPL-3.0-or-later
"""What corrects the word of the drum ear, while it learns; `dsp.hitnet` is the same net at work.

    python -m models.train.hitnet hear WORK [--examples 4800] [--part 0 --of 1]
    python -m models.train.hitnet train WORK
    python -m models.train.hitnet export WORK [--real MDB]

WORK holds performances that the drum ear did not learn from (`models.train.drums render --seed 2`): of those it knows
it is surer than of any other. `hear` writes what the ear that ships says of them, spoilt anew, and goes on where it
was. `export` sets the thresholds by what was kept, and with MDB, a folder of real songs laid out as MDB Drums, as
much by those (thresholds alone are tuned on recordings).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dsp.bands import FRAME
from dsp.drumnet import OUTPUTS, VOICES, drumnet_look, drumnet_remember, drumnet_say, drumnet_state
from dsp.events import LABELS
from dsp.hitnet import (
    POSSIBLE,
    consider,
    features_of,
    hit_weights,
    hitnet_hear,
    hitnet_look,
    hitnet_state,
    trusting,
)
from dsp.net import sigmoid
from dsp.units import RATE
from models import drums
from models.train import judge
from models.train.drum_corpus import Corpus
from models.train.drum_thresholds import FIVE, Song, real_songs, thresholds
from models.train.drums import METAL, WARM

NAME = "hits"
HIDDEN, STEPS = 64, 15_000
FRESH = 8  # frames after a lag for which a stroke has just been
BESIDE, EARLY = 2, 1  # frames after these and before a lag that are not judged
RENDERED = 80  # examples that thresholds are set by
LAGS = len(drums.load().lags)
SHAPE = features_of(LAGS), HIDDEN, LAGS


@njit(cache=False)
def _say(ear, x, said):  # type: ignore[no-untyped-def]
    """What all heads say of one more frame."""
    drumnet_look(ear, x)
    drumnet_remember(ear)
    for lag in range(len(said)):
        drumnet_say(ear, lag, said[lag])


@njit(cache=False)
def _weighed(ear, state, x, rows, which):  # type: ignore[no-untyped-def]
    """What is weighed of each voice that may have been struck, and the frame and voice it is of; how many."""
    n, said = 0, np.zeros((len(ear.weights.lags), OUTPUTS), np.float32)
    for frame in range(len(x)):
        _say(ear, x[frame], said)
        hitnet_hear(state, said, x[frame])
        for voice in range(VOICES):
            if n < len(rows) and said[:, voice].max() > POSSIBLE:
                consider(state, voice)
                rows[n] = state.x
                which[n, 0], which[n, 1] = frame, voice
                n += 1
        state.frame[0] += 1
    return n


def weighed(x: np.ndarray, onsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is weighed in an example, and frames since each was struck, and since what nobody can hear, (n, 2)."""
    state = hitnet_state(trusting(LAGS))
    rows = np.zeros((len(x) * VOICES, len(state.x)), np.float32)
    which = np.zeros((len(rows), 2), np.int64)
    n = _weighed(drumnet_state(drums.load()), state, x, rows, which)
    families = onsets[:, len(LABELS) :]
    metal = families[:, list(METAL)]
    struck = np.hstack([families, metal.max(1, keepdims=True)]) > 0
    hidden = np.hstack([families, metal.min(1, keepdims=True)]) < 0
    ago = np.stack([judge.frames_since(struck), judge.frames_since(hidden)], -1)
    judged = which[:n, 0] >= WARM
    return rows[:n][judged].astype(np.float16), ago[which[:n, 0], which[:n, 1]][judged]


class Draw:
    """Examples of the performances that are learned from, or of those that are kept."""

    def __init__(self, work: Path) -> None:
        self._corpus = corpus = Corpus(work, 0)
        self._all = corpus.drums, corpus.truth, corpus.backing_of

    def __call__(self, seed: int, kept: bool, examples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs (TIME, INPUTS) and onsets (TIME, labels + families)."""
        corpus, (drums, truth, backing_of) = self._corpus, self._all
        corpus.rng = np.random.default_rng([23, seed])
        # Two kits play the same performance, over the same music.
        own = [k for k in range(len(drums)) if (k // 2 % judge.KEPT == 0) == kept]
        corpus.drums, corpus.truth = [drums[k] for k in own], [truth[k] for k in own]
        corpus.backing_of = [backing_of[k] for k in own]
        for _ in range(examples):
            x, onsets, _ = corpus.batch(1)
            yield x[0], onsets[0]


def hear(work: Path, examples: int, part: int, of: int) -> None:
    """Write this part's share of what is weighed; shards that are there already stay."""
    draw = Draw(work)

    def shard(number: int, kept: bool) -> tuple[np.ndarray, np.ndarray]:
        pairs = [weighed(x, onsets) for x, onsets in draw(number, kept, judge.SHARD)]
        return np.concatenate([x for x, _ in pairs]), np.concatenate([ago for _, ago in pairs])

    judge.hear(work, NAME, examples, part, of, shard)


def train(work: Path) -> None:
    lags = torch.tensor(drums.load().lags)

    def wanted(ago: Tensor) -> tuple[Tensor, Tensor]:
        struck, hidden = (column[:, None].short() for column in ago.unbind(1))
        fresh = (struck >= lags) & (struck < lags + FRESH)
        unsure = (struck >= lags + FRESH) & (struck < lags + FRESH + BESIDE)
        unsure |= (struck < lags) & (struck >= lags - EARLY)
        unsure |= (hidden >= lags - EARLY) & (hidden < lags + FRESH + BESIDE) & ~fresh
        return fresh, ~unsure

    judge.train(work, NAME, SHAPE, STEPS, wanted)


@njit(cache=False)
def _judged(ear, state, x, out):  # type: ignore[no-untyped-def]
    said = np.zeros((len(ear.weights.lags), OUTPUTS), np.float32)
    for frame in range(len(x)):
        _say(ear, x[frame], said)
        hitnet_look(state, said, x[frame], True)
        for lag in range(len(said)):
            for voice in range(VOICES):
                out[frame, lag, voice] = sigmoid(state.judged[lag, voice])


def export(work: Path, real: Path | None) -> None:
    net, golden = judge.learned(work, NAME, SHAPE)
    weights = hit_weights(net.arrays() | {"threshold": np.full((LAGS, VOICES), 0.5, np.float32)})

    def likely(inputs: np.ndarray) -> np.ndarray:
        out = np.zeros((len(inputs), LAGS, VOICES), np.float32)
        _judged(drumnet_state(drums.load()), hitnet_state(weights), inputs, out)
        out[:WARM] = 0
        return out

    def song(x: np.ndarray, onsets: np.ndarray) -> Song:
        struck = onsets[:, len(LABELS) :] > 0
        struck[:WARM] = False
        times = {family: (np.flatnonzero(struck[:, j]) + 0.5) * FRAME / RATE for j, family in enumerate(FIVE)}
        return Song(likely(x), times)

    songs = [Song(likely(x), struck, excused) for x, struck, excused in real_songs(real)] if real else []
    found = thresholds(songs, [song(*pair) for pair in Draw(work)(0, True, RENDERED)], drums.load().lags)
    print(f"thresholds\n{found.round(3)}")
    judge.export(NAME, net, golden, {"threshold": found})


def main() -> None:
    parser, last = judge.commands(__doc__, 4800, hear, train, lambda work: export(work, None))
    last.add_argument("--real", type=Path, help="songs to set the thresholds by")
    last.set_defaults(do=lambda args: export(args.work, args.real))
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
