# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that judges beats by what lies upon them, while it learns; `dsp.fold` is the same net at work.

Of each clip it is shown beats as they are, between the true ones, twice and half
as many, and others, and is asked which.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from dsp.beatnet import BeatWeights, beatnet_look, beatnet_state
from dsp.fold import (
    BEATS,
    BETWEEN,
    BINS,
    COMMON,
    FEATURES,
    GROUPS,
    HALF,
    LAID,
    OTHER,
    READINGS,
    RIGHT,
    SIZE,
    TWICE,
    fold_hop,
    fold_lay,
    fold_state,
    fold_weights,
    shapes,
)
from dsp.kernel import kernel
from dsp.pulse import FRAME
from dsp.units import RATE

LAYER = 128
EACH, TURNS, BATCH = 60, 10, 256  # examples of a clip; times all are seen; at once
RATE_OF_LEARNING = 2e-3
OTHERS = (3.0, 1 / 3, 1.5, 2 / 3, 4 / 3, 0.75)  # what else beats may be times as long
DRAWN = np.cumsum(COMMON)


class Example(NamedTuple):
    laid: np.ndarray  # (SIZE,)
    kind: int
    place: int  # of the newest beat, from 0 on
    metre: int


@kernel
def _feel(net, inputs, felt):
    for k in range(len(inputs)):
        beatnet_look(net, inputs[k])
        for j in range(2):
            felt[k, j] = net.said[j]


@kernel
def _hear(state, inputs, felt):
    for k in range(len(inputs)):
        fold_hop(state, inputs[k], felt[k])


def examples(
    inputs: np.ndarray, beats: np.ndarray, feel: BeatWeights, count: int, rng: np.random.Generator
) -> list[Example]:
    """Beats of a clip of inputs, and such as are none, `count` at most."""
    none = {name: np.zeros(shape, np.float32) for name, shape in shapes(1).items()}
    state, found = fold_state(fold_weights(none)), []
    felt = np.zeros((len(inputs), 2), np.float32)
    _feel(beatnet_state(feel), inputs, felt)
    at = beats[:, 0] * RATE / FRAME
    order = np.sort(rng.integers(9, max(len(at) - 1, 10), count))
    heard = 0
    for k in order[order < len(at) - 1]:
        until = min(int(at[k]) + 12, len(inputs))
        _hear(state, inputs[heard:until], felt[heard:until])
        heard, length, end = until, float(np.median(np.diff(at[k - 6 : k + 1]))), float(at[k])
        kind = int(np.searchsorted(DRAWN, rng.random()))
        if kind == BETWEEN:
            end -= length / 2
        elif kind == TWICE:
            length /= 2
            end -= length * int(rng.integers(2))
        elif kind == HALF:
            length *= 2
        elif kind == OTHER:
            length *= OTHERS[rng.integers(len(OTHERS))]
        length *= float(np.exp(rng.normal(0, 0.004)))
        if 20 < length < 130 and fold_lay(state, end + rng.normal(0, 0.6), length):
            found.append(Example(state.laid.copy(), kind, int(beats[k, 1]) - 1, int(beats[:, 1].max())))
    return found


def corpus(work: Path, feel: BeatWeights, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """All examples: what is laid out, which kind it is, and how likely its newest beat is each of four."""
    rng, found = np.random.default_rng(seed), []
    for path in sorted(work.glob("clip-*.npz")):
        with np.load(path) as file:
            if "beats" in file:
                found += examples(file["x"].astype(np.float32), file["beats"], feel, EACH, rng)
    places = np.full((len(found), BEATS), 1 / BEATS, np.float32)  # as of bars of three
    for row, example in zip(places, found, strict=True):
        if example.metre in (2, 4):
            row[:] = 0
            row[example.place :: example.metre] = example.metre / BEATS
    laid = torch.from_numpy(np.stack([example.laid for example in found]))
    return laid, torch.tensor([example.kind for example in found]), torch.from_numpy(places)


class FoldNet(nn.Module):
    """What is laid out, shape (n, SIZE), to logits of its kind and of the place of its newest beat."""

    def __init__(self, middle: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.low, self.high = nn.Linear(SIZE, LAYER), nn.Linear(LAYER, LAYER)
        self.head, self.dropout = nn.Linear(LAYER, READINGS + BEATS), nn.Dropout(0.3)
        self.register_buffer("middle", middle)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(F.relu(self.low(self.dropout((x - self.middle) * self.scale))))
        return self.head(self.dropout(F.relu(self.high(x))))


def scaled(laid: Tensor) -> tuple[Tensor, Tensor]:
    """What is taken from each number the net is given, and what it is then multiplied by."""
    spread = laid[:, :LAID].reshape(-1, FEATURES).std(0)
    changes = laid[:, LAID + 1 :]
    middle = torch.cat([torch.zeros(LAID + 1), changes.mean(0)])
    return middle, torch.cat([(1 / (1.5 * spread)).repeat(BINS), torch.ones(1), 1 / changes.std(0)])


def train(work: Path, feel: BeatWeights, seed: int = 1) -> None:
    """Learn from the clips in `work`, and what a net felt in them; the weights are ``work/fold.npz``."""
    torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    laid, kinds, places = corpus(work, feel, seed)
    net = FoldNet(*scaled(laid))
    noise = 0.1 / (1.5 * net.scale[:FEATURES])
    optimiser = torch.optim.AdamW(net.parameters(), RATE_OF_LEARNING, weight_decay=1e-2)
    steps = TURNS * len(laid) // BATCH
    print(f"{len(laid)} examples, {steps} steps", flush=True)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE_OF_LEARNING * min(1, (steps - step) / (0.8 * steps))
        rows = torch.randint(len(laid), (BATCH,))
        x, right = laid[rows].clone(), kinds[rows] == RIGHT
        bins = x[:, :LAID].view(-1, BINS, FEATURES)
        bins[:, :, :GROUPS] *= torch.exp(0.25 * torch.randn(BATCH, 1, GROUPS))  # another desk
        bins += noise * torch.randn_like(bins)
        said = net(x)
        loss = F.cross_entropy(said[:, :READINGS], kinds[rows], label_smoothing=0.03)
        loss = loss + 0.5 * F.cross_entropy(said[right, READINGS:], places[rows][right])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 500 == 0:
            print(f"{step} of {steps}, loss {float(loss.detach()):.3f}", flush=True)
    state = net.state_dict()
    low = state["low.weight"] * state["scale"]
    arrays = {"fold.low.w": low, "fold.low.b": state["low.bias"] - low @ state["middle"]}
    for name in ("high", "head"):
        arrays |= {f"fold.{name}.w": state[f"{name}.weight"], f"fold.{name}.b": state[f"{name}.bias"]}
    np.savez(work / "fold.npz", **{name: array.numpy() for name, array in arrays.items()})
