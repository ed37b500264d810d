# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that feels the beat, while it learns; `dsp.beatnet` is the same net at work.

    python -m models.train.beatnet render DATA WORK [--part P --count N]   # clips, as inputs and beats
    python -m models.train.beatnet test DATA WORK    # clips of drummers and songs never trained on, as sound
    python -m models.train.beatnet train WORK        # stops and goes on where it was
    python -m models.train.beatnet export WORK

DATA holds midi/groove.zip and midi/pop909.zip.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from dsp.beatnet import LAG
from dsp.pulse import FRAME, INPUTS
from dsp.units import RATE
from models.train.fit import Fit, ahead, averaged
from models.train.plan import Plan, command_line, options, paths, planned
from models.train.rhythm import render
from models.train.seal import seal

LAYER, MEMORY = 32, 40
LENGTH, BATCH = 800, 10  # frames, clips
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 200  # frames of the golden pair
MOST_FEW = 40  # clips to begin with
ANEW = 25  # batches after which new clips are looked for
PLAN = Plan(steps=10_000, minutes=45, rate=3e-3, warm=50, keep=0.99)
LOSSES = 1, 0.3  # weights of beats, of downbeats among them


class BeatNet(nn.Module):
    """Frames of inputs, shape (batch, time, INPUTS), to logits of beat and downbeat; strictly causal."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.dense = nn.Linear(INPUTS, LAYER)
        self.low = nn.GRU(LAYER, MEMORY, batch_first=True)
        self.high = nn.GRU(MEMORY, MEMORY, batch_first=True)
        self.head = nn.Linear(2 * MEMORY, 2)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mu", torch.zeros(INPUTS))
        self.register_buffer("sd", torch.ones(INPUTS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(F.relu(self.dense((x - self.mu) / self.sd)))
        low = self.low(x)[0]
        high = self.high(self.dropout(low))[0]
        return self.head(self.dropout(torch.cat([low, high], -1)))


def targets(beats: np.ndarray, frames: int) -> np.ndarray:
    """What should be said of each frame, shape (frames, 3): beat, downbeat, and how much the latter counts."""
    out = np.zeros((frames, 3), np.float32)
    at = np.arange(frames)
    for when, place in beats:
        centre = when * RATE / FRAME - 0.5 + LAG
        near = np.exp(-0.5 * ((at - centre) / 0.75) ** 2)
        near[near < 0.05] = 0
        out[:, 0] = np.maximum(out[:, 0], near)
        out[near > 0.3, 1] = place == 1
        out[:, 2] = np.maximum(out[:, 2], near)
    return out


class Clips:
    """What was rendered, more of it as it comes."""

    def __init__(self, work: Path, seed: int, size: int = BATCH) -> None:
        self.work, self.rng, self.size = work, np.random.default_rng(seed), size
        self.x: list[np.ndarray] = []
        self.y: list[np.ndarray] = []
        self._seen: set[str] = set()
        self._drawn = 0

    def look(self) -> int:
        for path in sorted(self.work.glob("*.npz")):
            if path.name in self._seen or time.time() - path.stat().st_mtime < 2:
                continue
            with np.load(path) as file:
                x, beats = file["x"], file["beats"]
            self._seen.add(path.name)
            self.x.append(x)
            self.y.append(targets(beats, len(x)))
        return len(self.x)

    def batch(self) -> tuple[Tensor, Tensor]:
        self._drawn += 1
        if self._drawn % ANEW == 0:
            self.look()
        x, y = (np.zeros((self.size, LENGTH, n), np.float32) for n in (INPUTS, 3))
        for row in range(self.size):
            which = self.rng.integers(len(self.x))
            start = self.rng.integers(0, len(self.x[which]) - LENGTH)
            x[row], y[row] = self.x[which][start : start + LENGTH], self.y[which][start : start + LENGTH]
        half = x[:, :, : INPUTS // 2]
        half += self.rng.normal(0, 0.15, (self.size, 1, INPUTS // 2)).astype(np.float32)  # another colour
        return torch.from_numpy(x), torch.from_numpy(y)


def losses_of(said: Tensor, y: Tensor) -> list[Tensor]:
    """Of beats, and of downbeats among them."""
    two = torch.tensor(2.0, device=y.device)
    beat = F.binary_cross_entropy_with_logits(said[..., 0], y[..., 0], pos_weight=two)
    down = F.binary_cross_entropy_with_logits(said[..., 1], y[..., 1], reduction="none")
    return [beat, (down * y[..., 2]).sum() / (y[..., 2].sum() + 1)]


def train(work: Path, plan: Plan, size: int, seed: int, name: str) -> None:
    """Learn from what is rendered, and more as it comes; the checkpoint is ``work/NAME.pt``."""
    clips = Clips(work, seed, size)
    while clips.look() < MOST_FEW:
        time.sleep(5)
    fit = Fit(work / f"{name}.pt", BeatNet, plan, seed)
    if fit.done == 0:
        fit.begin(np.concatenate([x.astype(np.float32) for x in clips.x[:MOST_FEW]]), 0.05)

    def losses(net: Any, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        x, y = (part.to(plan.device) for part in batch)
        return losses_of(net(x).float(), y)

    fit.run(ahead(clips.batch), losses, LOSSES)


def export(work: Path) -> None:
    """Write `models/weights/beat.npz`, a golden pair and their sums."""
    net = averaged(work / "beat.pt", BeatNet())
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
    arrays |= {"head.w": state["head.weight"], "head.b": state["head.bias"]}
    np.savez(WEIGHTS / "beat.npz", **arrays)
    clips = Clips(work, 1)
    clips.look()
    x = clips.batch()[0][:1, :GOLDEN]
    with torch.no_grad():
        y = torch.sigmoid(net(x))[0].numpy()
    np.savez(WEIGHTS / "beat.golden.npz", x=x[0].numpy(), y=y)
    seal(WEIGHTS, ("beat.npz", "beat.golden.npz"))


def main() -> None:
    parser, tasks = command_line(__doc__)
    for verb, count in (("render", 500), ("test", 24)):
        one = paths(tasks.add_parser(verb), "data", "work")
        one.add_argument("--part", type=int, default=0, help="which of several at work, so that all differ")
        one.add_argument("--count", type=int, default=count)
    options(tasks.add_parser("train"), "beat", BATCH, PLAN)
    paths(tasks.add_parser("export"), "work")
    args = parser.parse_args()
    if args.verb in ("render", "test"):
        render(args.data, args.work, args.part, args.count, test=args.verb == "test")
    elif args.verb == "train":
        train(args.work, planned(args, PLAN), args.batch, args.seed, args.name)
    else:
        export(args.work)


if __name__ == "__main__":
    main()
