# SPDX-License-Identifier: GPL-3.0-or-later
"""What corrects the word of the note ear, while it learns; `dsp.polynet` is the same net at work.

    python -m models.train.polynet hear WORK [--examples 5000] [--part 0 --of 1]
    python -m models.train.polynet train WORK
    python -m models.train.polynet export WORK

WORK holds the scenes that the note ear learns from (`models.train.notes render`). `hear` writes what the ear that ships
says of them, spoilt anew, and goes on where it was.
"""

import time
from pathlib import Path

import numpy as np
import torch
from numba import njit
from torch import nn

from dsp.notenet import notenet_frame, notenet_state
from dsp.polynet import POSSIBLE, consider, features_of, polynet_hear, polynet_state, shapes, trusting
from dsp.tones import PITCHES
from models import notes
from models.train.fit import descend
from models.train.note_corpus import Corpus
from models.train.plan import command_line, paths, shared
from models.train.seal import seal

HIDDEN = 96
SHARD = 100  # examples
KEPT = 8  # of so many scenes one is not learned from
SILENT = 0.35  # of the examples hold no note
SETTLE = 20  # frames of an example that are not judged
FRESH = 12  # frames for which a note has just begun
BESIDE = 3  # and those after that are not judged
LONG_AGO = 127
STEPS, BATCH, RATE_OF_LEARNING, STIFF, DROPPED = 20_000, 2048, 2e-3, 1e-4, 0.1
# Likelihoods: of an onset at a head's own decision, and of one that need not wait for a later head.
THRESHOLD, SURE = (0.7, 0.7, 0.65, 0.6), (0.87, 0.87, 0.87, 0.6)
GOLDEN = 400  # pairs of the golden file
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


@njit(cache=False)
def _weighed(ear, state, x, rows, which):  # type: ignore[no-untyped-def]
    """What is weighed of each pitch that may have begun, and the frame and pitch it is of; how many."""
    n, lags = 0, len(ear.weights.lags)
    said = np.zeros((lags + 2, PITCHES), np.float32)
    for frame in range(len(x)):
        notenet_frame(ear, x[frame], said)
        polynet_hear(state, said, x[frame], frame)
        for pitch in range(PITCHES):
            if n < len(rows) and said[:lags, pitch].max() > POSSIBLE:
                consider(state, pitch, frame)
                rows[n] = state.x
                which[n, 0], which[n, 1] = frame, pitch
                n += 1
    return n


def weighed(x: np.ndarray, struck: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is weighed in an example, shape (n, features), and how many frames ago each began, shape (n,)."""
    ear = notes.load()
    state = polynet_state(trusting(len(ear.lags)))
    rows = np.zeros((len(x) * 24, len(state.x)), np.float32)
    which = np.zeros((len(rows), 2), np.int64)
    n = _weighed(notenet_state(ear), state, x, rows, which)
    frames = np.arange(len(struck))[:, None]
    began = np.maximum.accumulate(np.where(struck > 0, frames, -LONG_AGO), 0)
    ago = np.minimum(frames - began, LONG_AGO).astype(np.int8)
    judged = which[:n, 0] >= SETTLE
    return rows[:n][judged].astype(np.float16), ago[which[:n, 0], which[:n, 1]][judged]


def hear(work: Path, examples: int, part: int, of: int) -> None:
    """Write this part's share of what is weighed; shards that are there already stay."""
    corpus, shards = Corpus(work, 0, SILENT), -(-examples // SHARD)
    scenes = corpus.scenes
    for shard in range(part, shards, of):
        path, began = work / f"poly_{shard:04d}.npz", time.time()
        if path.exists():
            continue
        corpus.rng = np.random.default_rng([19, shard])
        corpus.scenes = [scene for k, scene in enumerate(scenes) if (k % KEPT == 0) == (shard % KEPT == 0)]
        batches = [corpus.batch(1) for _ in range(SHARD)]
        pairs = [weighed(batch.x[0], batch.struck[0]) for batch in batches]
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, x=np.concatenate([x for x, _ in pairs]), ago=np.concatenate([a for _, a in pairs]))
        partial.rename(path)
        print(f"shard {shard} of {shards}, {time.time() - began:.0f} s", flush=True)


class PolyNet(nn.Module):
    """What is weighed, shape (n, features), to logits of an onset at each lag, shape (n, lags)."""

    def __init__(self, lags: int) -> None:
        super().__init__()
        features = features_of(lags)
        self.register_buffer("mu", torch.zeros(features))
        self.register_buffer("sd", torch.ones(features))
        self.hidden, self.out = nn.Linear(features, HIDDEN), nn.Linear(HIDDEN, lags)
        self.dropout = nn.Dropout(DROPPED)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def change(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to what the ear said."""
        return self.out(self.dropout(torch.relu(self.hidden((x - self.mu) / self.sd))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        said = x[:, : self.out.out_features]  # the newest word comes first
        return said + self.change(x)


def train(work: Path) -> None:
    """Learn from what was heard; the checkpoint is ``work/poly.pt``."""
    torch.manual_seed(0)
    lags = torch.tensor(notes.load().lags)
    found: list[list[list[torch.Tensor]]] = [[[], []], [[], []]]
    for path in sorted(work.glob("poly_????.npz")):
        kept = int(path.stem[-4:]) % KEPT == 0
        with np.load(path) as file:
            for part, name in zip(found[kept], ("x", "ago"), strict=True):
                part.append(torch.from_numpy(file[name]))
    (x, ago), (x_kept, ago_kept) = ([torch.cat(part) for part in parts] for parts in found)

    def loss(x: torch.Tensor, ago: torch.Tensor) -> torch.Tensor:
        ago = ago[:, None].short()
        wanted = (ago >= lags) & (ago < FRESH)
        unsure = (ago >= FRESH) & (ago < FRESH + BESIDE) | (ago < lags) & (ago >= lags - 2)
        entropy = nn.functional.binary_cross_entropy_with_logits
        return entropy(net(x.float()), wanted.float(), weight=(~unsure).float())

    net = PolyNet(len(lags))
    some = x[:: max(1, len(x) // 100_000)].float()
    net.mu[:], net.sd[:] = some.mean(0), some.std(0) + 1e-2
    print(f"{len(x)} to learn from, {len(x_kept)} kept")

    def draw() -> torch.Tensor:
        rows = torch.randint(0, len(x), (BATCH,))
        return loss(x[rows], ago[rows])

    descend(net, STEPS, RATE_OF_LEARNING, STIFF, draw, lambda: loss(x_kept, ago_kept))
    torch.save({"net": net.state_dict(), "x": x_kept[:GOLDEN].clone()}, work / "poly.pt")


def export(work: Path) -> None:
    """Write `models/weights/poly.npz`, a golden pair and their sums."""
    saved = torch.load(work / "poly.pt", weights_only=True)
    net, x = PolyNet(len(THRESHOLD)).eval(), saved["x"].float()
    net.load_state_dict(saved["net"])
    with torch.no_grad():
        hidden = net.hidden.weight / net.sd
        arrays = {
            "hidden.w": hidden.T, "hidden.b": net.hidden.bias - hidden @ net.mu,
            "out.w": net.out.weight.T, "out.b": net.out.bias,
        }  # fmt: skip
        y = net.change(x).numpy()
    found = {name: np.ascontiguousarray(array.detach().numpy()) for name, array in arrays.items()}
    found |= {"threshold": np.array(THRESHOLD, np.float32), "sure": np.array(SURE, np.float32)}
    assert {name: array.shape for name, array in found.items()} == shapes(len(THRESHOLD), HIDDEN)
    np.savez(WEIGHTS / "poly.npz", **found)  # type: ignore[arg-type]
    np.savez(WEIGHTS / "poly.golden.npz", x=x.numpy(), y=y)
    seal(WEIGHTS, ("poly.npz", "poly.golden.npz"))


def main() -> None:
    parser, tasks = command_line(__doc__)
    task = paths(tasks.add_parser("hear"), "work")
    task.add_argument("--examples", type=int, default=5000)
    shared(task)
    for verb in ("train", "export"):
        paths(tasks.add_parser(verb), "work")
    args = parser.parse_args()
    if args.verb == "hear":
        hear(args.work, args.examples, args.part, args.of)
    else:
        (train if args.verb == "train" else export)(args.work)


if __name__ == "__main__":
    main()
