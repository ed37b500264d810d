# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that feels the beat, while it learns; `dsp.beatnet` is the same net at work.

    python -m models.train.beatnet render DATA WORK [--part P --count N]   # clips, as inputs and beats
    python -m models.train.beatnet test DATA WORK    # clips of drummers and songs never trained on, as sound
    python -m models.train.beatnet train WORK        # stops and goes on where it was
    python -m models.train.beatnet fold WORK         # the net that judges beats, once the first has learned
    python -m models.train.beatnet export WORK       # both

DATA holds midi/groove.zip and midi/pop909.zip.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from dsp.beatnet import LAG, beat_weights
from dsp.fold import SIZE
from dsp.pulse import BACK, BANDS, FRAME, INPUTS
from dsp.units import RATE
from models.train import foldnet
from models.train.beat_corpus import render, render_test
from models.train.fit import Fit, ahead, averaged
from models.train.plan import Plan, command_line, options, paths, planned
from models.train.seal import seal

LAYER, MEMORY = 64, 96
LENGTH, BATCH = 1400, 40  # frames, clips
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 200  # frames of the golden pair
MOST_FEW = 40  # clips to begin with
ANEW = 25  # batches after which new clips are looked for
PLAN = Plan(steps=10_000, minutes=60, rate=3e-3, steady=0.3, warm=50, keep=0.995)
LOSSES = 1, 0.3, 0.08  # weights of beats, of downbeats among them, of the pace
SPLICED, FASTER = 0.1, 0.18  # share of batches' rows made of two clips; how much faster or slower they run
SLOWEST, STEPS, PACES = 50.0, 12, 26  # the slowest pace that is told apart [bpm], those in an octave, all
FIRST = 150  # frames until a pace can be known


class BeatNet(nn.Module):
    """Frames of inputs, shape (batch, time, INPUTS), to logits of beat, downbeat and paces; strictly causal."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.dense = nn.Linear(INPUTS, LAYER)
        self.low = nn.GRU(LAYER, MEMORY, batch_first=True)
        self.high = nn.GRU(MEMORY, MEMORY, batch_first=True)
        self.head = nn.Linear(2 * MEMORY, 2 + PACES)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mu", torch.zeros(INPUTS))
        self.register_buffer("sd", torch.ones(INPUTS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(F.relu(self.dense((x - self.mu) / self.sd)))
        low = self.low(x)[0]
        high = self.high(self.dropout(low))[0]
        return self.head(self.dropout(torch.cat([low, high], -1)))


def targets(beats: np.ndarray, frames: int) -> np.ndarray:
    """What should be said of each frame, shape (frames, 4): beat, downbeat, how much the latter counts, pace."""
    out = np.zeros((frames, 4), np.float32)
    at = np.arange(frames)
    for when, place in beats[(beats[:, 0] > -0.2) & (beats[:, 0] < frames * FRAME / RATE + 0.2)]:
        centre = when * RATE / FRAME - 0.5 + LAG
        near = np.exp(-0.5 * ((at - centre) / 0.75) ** 2)
        near[near < 0.05] = 0
        out[:, 0] = np.maximum(out[:, 0], near)
        out[near > 0.3, 1] = place == 1
        out[:, 2] = np.maximum(out[:, 2], near)
    centres = (beats[1:, 0] + beats[:-1, 0]) / 2 * RATE / FRAME
    bpm = np.interp(at, centres, 60 / np.diff(beats[:, 0]))
    out[:, 3] = np.clip(np.round(STEPS * np.log2(bpm / SLOWEST)), 0, PACES - 1)
    return out


class Clips:
    """What was rendered, more of it as it comes."""

    def __init__(self, work: Path, seed: int, size: int = BATCH) -> None:
        self.work, self.rng, self.size = work, np.random.default_rng(seed), size
        self.levels: list[np.ndarray] = []
        self.beats: list[np.ndarray] = []
        self._seen: set[str] = set()
        self._drawn = 0

    def look(self) -> int:
        for path in sorted(self.work.glob("clip-*.npz")):
            if path.name in self._seen or time.time() - path.stat().st_mtime < 2:
                continue
            with np.load(path) as file:
                self.levels.append(file["x"][:, :BANDS])
                self.beats.append(file["beats"])
            self._seen.add(path.name)
        return len(self.levels)

    def batch(self) -> tuple[Tensor, Tensor]:
        self._drawn += 1
        if self._drawn % ANEW == 0:
            self.look()
        x, y = (np.zeros((self.size, LENGTH, n), np.float32) for n in (INPUTS, 4))
        for row in range(self.size):
            cut = int(self.rng.integers(300, LENGTH - 300)) if self.rng.random() < SPLICED else LENGTH
            for start, end in ((0, cut), (cut, LENGTH)):
                if end > start:
                    x[row, start:end], y[row, start:end] = self.excerpt(end - start)
        return torch.from_numpy(x), torch.from_numpy(y)

    def excerpt(self, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Of one clip: faster or slower, on another desk, in more noise, all of it at times."""
        rng, which = self.rng, self.rng.integers(len(self.levels))
        levels, beats = self.levels[which], self.beats[which]
        speed = float(np.exp(rng.uniform(-FASTER, FASTER))) if rng.random() < 0.6 else 1.0
        at = rng.uniform(0, max(len(levels) - frames * speed - BACK - 2, 1))
        at = at if speed != 1 else np.floor(at)
        where = np.clip(at + speed * np.arange(frames + BACK), 0, len(levels) - 1.001)
        low = where.astype(int)
        part = (where - low)[:, None].astype(np.float32)
        level = levels[low].astype(np.float32) * (1 - part) + levels[low + 1].astype(np.float32) * part
        colour = np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, 7), rng.normal(0, 0.3, 7))
        level += colour.astype(np.float32) if rng.random() < 0.7 else 0
        if rng.random() < 0.3:
            floor = 10 ** (rng.uniform(-5.5, -2.5) + rng.uniform(-1, 1) * np.linspace(-0.5, 0.5, BANDS))
            noise = floor * rng.gamma(8, 1 / 8, level.shape)
            level = np.log10(10**level + noise).astype(np.float32)
        inputs = np.concatenate([level[BACK:], np.maximum(level[BACK:] - level[:-BACK], 0)], 1)
        moved = beats.copy()
        moved[:, 0] = (beats[:, 0] - (at + BACK) * FRAME / RATE) / speed
        return inputs, targets(moved, frames)


def losses_of(said: Tensor, y: Tensor) -> list[Tensor]:
    """Of beats, of downbeats among them, and of paces."""
    two = torch.tensor(2.0, device=y.device)
    beat = F.binary_cross_entropy_with_logits(said[..., 0], y[..., 0], pos_weight=two)
    down = F.binary_cross_entropy_with_logits(said[..., 1], y[..., 1], reduction="none")
    pace = F.cross_entropy(said[:, FIRST:, 2:].flatten(0, 1), y[:, FIRST:, 3].flatten().long())
    return [beat, (down * y[..., 2]).sum() / (y[..., 2].sum() + 1), pace]


def train(work: Path, plan: Plan, size: int, seed: int, name: str) -> None:
    """Learn from what is rendered, and more as it comes; the checkpoint is ``work/NAME.pt``."""
    clips = Clips(work, seed, size)
    while clips.look() < MOST_FEW:
        time.sleep(5)
    fit = Fit(work / f"{name}.pt", BeatNet, plan, seed)
    if fit.done == 0:
        fit.begin(np.concatenate([clips.excerpt(LENGTH)[0] for _ in range(MOST_FEW)]), 0.05)

    def losses(net: Any, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        x, y = (part.to(plan.device) for part in batch)
        return losses_of(net(x).float(), y)

    fit.run(ahead(clips.batch), losses, LOSSES)


def exported(net: BeatNet) -> dict[str, np.ndarray]:
    """Its arrays, as `dsp.beatnet.shapes` has them."""
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    arrays = {
        "mu": state["mu"],
        "sd": state["sd"],
        "dense.w": state["dense.weight"],
        "dense.b": state["dense.bias"],
    }
    for name in ("low", "high"):
        for ours, theirs in (
            ("w_ih", "weight_ih"),
            ("w_hh", "weight_hh"),
            ("b_ih", "bias_ih"),
            ("b_hh", "bias_hh"),
        ):
            arrays[f"{name}.{ours}"] = state[f"{name}.{theirs}_l0"]
    return arrays | {"head.w": state["head.weight"][:2], "head.b": state["head.bias"][:2]}


def export(work: Path) -> None:
    """Write `models/weights/beat.npz` with both nets, golden pairs and their sums."""
    net = averaged(work / "beat.pt", BeatNet())
    with np.load(work / "fold.npz") as file:
        fold = dict(file)
    arrays: dict[str, Any] = exported(net) | fold
    np.savez(WEIGHTS / "beat.npz", **arrays)
    clips = Clips(work, 1)
    clips.look()
    x = torch.from_numpy(clips.excerpt(GOLDEN)[0])
    with torch.no_grad():
        y = torch.sigmoid(net(x[None]))[0, :, :2].numpy()
    laid = np.random.default_rng(1).normal(0, 1, SIZE).astype(np.float32)
    h = laid
    for name in ("low", "high", "head"):
        h = fold[f"fold.{name}.w"] @ (h if name == "low" else np.maximum(h, 0)) + fold[f"fold.{name}.b"]
    np.savez(WEIGHTS / "beat.golden.npz", x=x.numpy(), y=y, laid=laid, logits=h)
    seal(WEIGHTS, ("beat.npz", "beat.golden.npz"))


def main() -> None:
    parser, tasks = command_line(__doc__)
    for verb, count in (("render", 500), ("test", 24)):
        one = paths(tasks.add_parser(verb), "data", "work")
        one.add_argument("--part", type=int, default=0, help="which of several at work, so that all differ")
        one.add_argument("--count", type=int, default=count)
        one.add_argument("--spoil", action="store_true", help="tests: on a bad day")
        one.add_argument("--short", action="store_true", help="tests: by rule, bars of two and three")
    options(tasks.add_parser("train"), "beat", BATCH, PLAN)
    for verb in ("fold", "export"):
        paths(tasks.add_parser(verb), "work")
    args = parser.parse_args()
    if args.verb == "render":
        render(args.data, args.work, args.part, args.count)
    elif args.verb == "test":
        render_test(args.data, args.work, args.part, args.count, args.spoil, args.short)
    elif args.verb == "train":
        train(args.work, planned(args, PLAN), args.batch, args.seed, args.name)
    elif args.verb == "fold":
        foldnet.train(args.work, beat_weights(exported(averaged(args.work / "beat.pt", BeatNet()))))
    else:
        export(args.work)


if __name__ == "__main__":
    main()
