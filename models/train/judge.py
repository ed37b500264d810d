# SPDX-License-Identifier: GPL-3.0-or-later
"""Small nets that correct the word of an ear, while they learn: what it says is heard, kept and learned from alike."""

import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.train.fit import descend
from models.train.note_corpus import Batch, Corpus
from models.train.plan import command_line, paths, shared
from models.train.seal import seal

SHARD = 100  # examples
KEPT = 8  # of so many shards one is not learned from
BATCH, RATE_OF_LEARNING, STIFF, DROPPED = 2048, 2e-3, 1e-4, 0.1
LONG_AGO = 127
GOLDEN = 400  # pairs of the golden file
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"

Pair = tuple[np.ndarray, np.ndarray]  # x (n, features), and what is known of each, (n, ...)
Weighed = Callable[[int, bool], Pair]  # of a shard; from its number, and whether it is kept
# What each lag should say, (n, lags), and where it is judged, of what is known, (n, ...).
Wanted = Callable[[Tensor], tuple[Tensor, Tensor]]


def frames_since(marked: np.ndarray) -> np.ndarray:
    """Frames since each column was last marked, shape (frames, n), LONG_AGO at most."""
    frames = np.arange(len(marked))[:, None]
    began = np.maximum.accumulate(np.where(marked, frames, -LONG_AGO), 0)
    return np.minimum(frames - began, LONG_AGO).astype(np.int8)


def hear(work: Path, name: str, examples: int, part: int, of: int, weighed: Weighed) -> None:
    """Write this part's share of what is weighed; shards that are there already stay."""
    shards = -(-examples // SHARD)
    for shard in range(part, shards, of):
        path, began = work / f"{name}_{shard:04d}.npz", time.time()
        if path.exists():
            continue
        x, known = weighed(shard, shard % KEPT == 0)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, x=x, known=known)
        partial.rename(path)
        print(f"shard {shard} of {shards}, {time.time() - began:.0f} s", flush=True)


def note_scenes(work: Path, silent: float, seed: int, weighed: Callable[[Batch], Pair]) -> Weighed:
    """What is weighed of scenes for the note ear, one by one, of which a share of `silent` holds no note."""
    corpus = Corpus(work, 0, silent)
    scenes = corpus.scenes

    def shard(number: int, kept: bool) -> Pair:
        corpus.rng = np.random.default_rng([seed, number])
        corpus.scenes = [scene for k, scene in enumerate(scenes) if (k % KEPT == 0) == kept]
        pairs = [weighed(corpus.batch(1)) for _ in range(SHARD)]
        return np.concatenate([x for x, _ in pairs]), np.concatenate([known for _, known in pairs])

    return shard


class Judge(nn.Module):
    """What is weighed, shape (n, features), to logits at each lag, shape (n, lags)."""

    def __init__(self, features: int, hidden: int, lags: int) -> None:
        super().__init__()
        self.register_buffer("mu", torch.zeros(features))
        self.register_buffer("sd", torch.ones(features))
        self.hidden, self.out = nn.Linear(features, hidden), nn.Linear(hidden, lags)
        self.dropout = nn.Dropout(DROPPED)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def change(self, x: Tensor) -> Tensor:
        """What is added to what the ear said."""
        return self.out(self.dropout(torch.relu(self.hidden((x - self.mu) / self.sd))))

    def forward(self, x: Tensor) -> Tensor:
        said = x[:, : self.out.out_features]  # the newest word comes first
        return said + self.change(x)

    def arrays(self) -> dict[str, np.ndarray]:
        """As the kernels read them: inputs by outputs, and nothing to take off before."""
        hidden = self.hidden.weight / self.sd
        found = {
            "hidden.w": hidden.T, "hidden.b": self.hidden.bias - hidden @ self.mu,
            "out.w": self.out.weight.T, "out.b": self.out.bias,
        }  # fmt: skip
        return {name: np.ascontiguousarray(array.detach().numpy()) for name, array in found.items()}


def train(work: Path, name: str, shape: tuple[int, int, int], steps: int, wanted: Wanted) -> None:
    """Learn from what was heard, a `Judge` of this shape; the checkpoint is ``work/NAME.pt``."""
    torch.manual_seed(0)
    net = Judge(*shape)
    found: list[list[list[Tensor]]] = [[[], []], [[], []]]
    for path in sorted(work.glob(f"{name}_????.npz")):
        kept = int(path.stem[-4:]) % KEPT == 0
        with np.load(path) as file:
            for part, array in zip(found[kept], ("x", "known"), strict=True):
                part.append(torch.from_numpy(file[array]))
    (x, known), (x_kept, known_kept) = ([torch.cat(part) for part in parts] for parts in found)

    def loss(x: Tensor, known: Tensor) -> Tensor:
        target, judged = wanted(known)
        entropy = nn.functional.binary_cross_entropy_with_logits
        return entropy(net(x.float()), target.float(), weight=judged.float())

    some = x[:: max(1, len(x) // 100_000)].float()
    net.mu[:], net.sd[:] = some.mean(0), some.std(0) + 1e-2
    print(f"{len(x)} to learn from, {len(x_kept)} kept")

    def draw() -> Tensor:
        rows = torch.randint(0, len(x), (BATCH,))
        return loss(x[rows], known[rows])

    beside = slice(None, None, max(1, len(x_kept) // 200_000))
    descend(net, steps, RATE_OF_LEARNING, STIFF, draw, lambda: loss(x_kept[beside], known_kept[beside]))
    torch.save({"net": net.state_dict(), "x": x_kept[:GOLDEN].clone()}, work / f"{name}.pt")


def learned(work: Path, name: str, shape: tuple[int, int, int]) -> tuple[Judge, Tensor]:
    """The net of the checkpoint, and some of what it was not learned from."""
    saved, net = torch.load(work / f"{name}.pt", weights_only=True), Judge(*shape)
    net.load_state_dict(saved["net"])
    return net.eval(), saved["x"].float()


def export(name: str, net: Judge, x: Tensor, thresholds: dict[str, np.ndarray]) -> None:
    """Write `models/weights/NAME.npz`, a golden pair and their sums."""
    with torch.no_grad():
        y = net.change(x).numpy()
    np.savez(WEIGHTS / f"{name}.npz", **(net.arrays() | thresholds))  # type: ignore[arg-type]
    np.savez(WEIGHTS / f"{name}.golden.npz", x=x.numpy(), y=y)
    seal(WEIGHTS, (f"{name}.npz", f"{name}.golden.npz"))


def commands(
    doc: str | None,
    examples: int,
    hear: Callable[[Path, int, int, int], None],
    train: Callable[[Path], None],
    export: Callable[[Path], None],
) -> tuple[ArgumentParser, ArgumentParser]:
    """The command line of a net that corrects an ear, which says what to `do`, and that of its last verb."""
    parser, verbs = command_line(doc)
    verb = paths(verbs.add_parser("hear"), "work")
    verb.add_argument("--examples", type=int, default=examples)
    shared(verb)
    verb.set_defaults(do=lambda args: hear(args.work, args.examples, args.part, args.of))
    paths(verbs.add_parser("train"), "work").set_defaults(do=lambda args: train(args.work))
    verb = paths(verbs.add_parser("export"), "work")
    verb.set_defaults(do=lambda args: export(args.work))
    return parser, verb
