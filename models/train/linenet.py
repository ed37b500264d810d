# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells that a note of one line has begun, while it learns; `dsp.linenet` is the same net at work.

    python -m models.train.linenet render DATA WORK [--scenes 1200] [--part 0 --of 1]
    python -m models.train.linenet train WORK
    python -m models.train.linenet export WORK

DATA is what the note ear learns from (`models.train.notes`): lines of its composer, each by one player in a room, and
sounds that hold no note. It learns from what the note ear that ships knows of them. Rendering goes on where it was.
"""

import time
from pathlib import Path

import numpy as np
import torch
from numba import njit
from torch import nn

from dsp.line import line_hear, line_state
from dsp.linenet import LineWeights, features_of, possible, weigh
from dsp.notenet import embedding_size
from dsp.notes import NoteSettings
from dsp.tones import FRAME, LOWEST, PITCHES
from dsp.units import HOP
from models import notes
from models.train.fit import descend
from models.train.plan import command_line, paths, shared
from models.train.scenes import Composer, composer, noise
from models.train.scores import Rng
from models.train.seal import seal
from models.train.studio import performances

HIDDEN = 64
SHARD, NOISES = 10, 2  # scenes of a shard, and those of them that hold no note
FRESH = 8  # frames for which a note has just begun
STEPS, BATCH, RATE_OF_LEARNING, STIFF = 20_000, 1024, 2e-3, 1e-4
KEPT = 8  # of so many shards one is not learned from
ASKED = 0.65
# Talk has pitches, and whoever follows one voice may want them: it is neither asked for nor forbidden.
NOTHING = {"drums": 0.4, "air": 0.35, "claps": 0.25}
GOLDEN = 400  # pairs of the golden file
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def spoilt(x: np.ndarray, author: Composer, rng: Rng) -> np.ndarray:
    """A line at any level, with a hiss or something else under it now and then."""
    if rng.random() < 0.5:
        hiss = np.cumsum(rng.standard_normal(len(x))) if rng.random() < 0.3 else rng.standard_normal(len(x))
        x = x + 10 ** (rng.uniform(-70, -30) / 20) * hiss / np.sqrt(np.mean(hiss**2))
    if rng.random() < 0.12:
        x = x + 10 ** (rng.uniform(-40, -15) / 20) * noise(author, rng, NOTHING)
    return np.asarray(x / max(1, np.abs(x).max()) * 10 ** (rng.uniform(-36, 0) / 20))


def render(data: Path, work: Path, scenes: int, part: int, of: int) -> None:
    """Write this part's share of the sounds and their notes; shards that are there already stay."""
    work.mkdir(parents=True, exist_ok=True)
    author = composer(data, work, part)
    shards = -(-scenes // SHARD)
    for shard in range(part, shards, of):
        path = work / f"line_{shard:04d}.npz"
        if path.exists():
            continue
        rng, began, found = np.random.default_rng([13, shard]), time.time(), {}
        author.plays = performances(data / "midi" / "groove.zip", rng)
        for i in range(SHARD):
            sound, truth = author.line(rng) if i >= NOISES else (noise(author, rng, NOTHING), None)
            sound = spoilt(sound, author, rng)
            found[f"x{i}"] = np.round(32767 * np.clip(sound, -1, 1)).astype(np.int16)
            if truth is not None:
                found[f"y{i}"] = np.stack([truth["start"], truth["pitch"]], 1)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, **found)
        partial.rename(path)
        print(f"shard {shard} of {shards}, {time.time() - began:.0f} s", flush=True)


@njit(cache=False)
def _weighed(state, x, rows, which):  # type: ignore[no-untyped-def]
    """What is weighed of each pitch that is possible, and the frame and pitch it is of; how many."""
    n = 0
    for k in range(len(x)):
        if line_hear(state, x[k]):
            frame = state.clock[1]
            state.clock[1] += 1
            for pitch in range(PITCHES):
                if n < len(rows) and possible(state.net, pitch):
                    weigh(state.net, state.ear, state.sound, pitch, frame)
                    rows[n] = state.net.x
                    which[n, 0], which[n, 1] = frame, pitch
                    n += 1
    return n


def blank() -> LineWeights:
    """A net that knows nothing, to have weighed what a net shall learn from."""
    ear = notes.load()
    features = features_of(embedding_size(ear))
    shapes = (features, HIDDEN), (HIDDEN,), (HIDDEN,), (1,), (1,)
    return LineWeights(*(np.full(shape, 0.5, np.float32) for shape in shapes))


def weighed(x: np.ndarray, truth: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """What is weighed in a sound, shape (n, features), and whether a note has just begun there, shape (n,)."""
    state = line_state(NoteSettings(), notes.load(), blank(), np.zeros(1, np.int64))
    hops = (x[: len(x) // HOP * HOP].reshape(-1, HOP) / np.float32(32768)).astype(np.float32)
    rows = np.zeros((len(hops) * 4, len(state.net.x)), np.float32)
    which = np.zeros((len(rows), 2), np.int64)
    n = _weighed(state, hops, rows, which)
    begun = np.zeros((len(hops) + FRESH, PITCHES), bool)
    for start, number in truth if truth is not None else ():
        if 0 <= number - LOWEST < PITCHES:
            begun[start // FRAME : start // FRAME + FRESH, number - LOWEST] = True
    return rows[:n].astype(np.float16), begun[which[:n, 0], which[:n, 1]]


def learned_from(work: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is weighed in every shard, and what it should have come to."""
    found, wanted, paths = [], [], sorted(work.glob("line_????.npz"))
    for k, path in enumerate(paths):
        with np.load(path) as file:
            pairs = [weighed(file[f"x{i}"], file.get(f"y{i}")) for i in range(SHARD)]
        found.append(np.concatenate([x for x, _ in pairs]))
        wanted.append(np.concatenate([y for _, y in pairs]))
        print(f"heard {k + 1} of {len(paths)} shards", end="\r", flush=True)
    print()
    return found, wanted


class LineNet(nn.Module):
    """What is weighed, shape (n, features), to logits of a note that has just begun, shape (n,)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mu", torch.zeros(features))
        self.register_buffer("sd", torch.ones(features))
        self.hidden, self.out = nn.Linear(features, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.hidden((x - self.mu) / self.sd)))[..., 0]


def train(work: Path) -> None:
    """Learn from what is rendered; the checkpoint is ``work/line.pt``."""
    torch.manual_seed(0)
    found, wanted = learned_from(work)
    kept = [k % KEPT == 0 for k in range(len(found))]
    sets = []
    for keep in (False, True):
        chosen = [k for k, one in enumerate(kept) if one == keep]
        sets.append([torch.from_numpy(np.concatenate([part[k] for k in chosen])) for part in (found, wanted)])
    (x, y), (x_kept, y_kept) = sets
    net = LineNet(x.shape[1])
    net.mu[:], net.sd[:] = x.float().mean(0), x.float().std(0) + 1e-3
    print(f"{len(x)} to learn from, {len(x_kept)} kept")

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.binary_cross_entropy_with_logits(net(x.float()), y.float())

    def draw() -> torch.Tensor:
        rows = torch.randint(0, len(x), (BATCH,))
        return loss(x[rows], y[rows])

    descend(net, STEPS, RATE_OF_LEARNING, STIFF, draw, lambda: loss(x_kept, y_kept))
    torch.save({"net": net.state_dict(), "x": x_kept[:GOLDEN].clone()}, work / "line.pt")


def export(work: Path) -> None:
    """Write `models/weights/line.npz`, a golden pair and their sums."""
    saved = torch.load(work / "line.pt", weights_only=True)
    net, x = LineNet(saved["x"].shape[1]), saved["x"].float()
    net.load_state_dict(saved["net"])
    with torch.no_grad():
        weight = net.hidden.weight / net.sd
        bias = net.hidden.bias - weight @ net.mu
        y = torch.sigmoid(net(x)).numpy()
    arrays = {
        "hidden.w": np.ascontiguousarray(weight.numpy().T), "hidden.b": bias.numpy(),
        "out.w": net.out.weight.detach().numpy()[0], "out.b": net.out.bias.detach().numpy(),
        "asked": np.array([ASKED], np.float32),
    }  # fmt: skip
    np.savez(WEIGHTS / "line.npz", **arrays)  # type: ignore[arg-type]
    np.savez(WEIGHTS / "line.golden.npz", x=x.numpy(), y=y)
    seal(WEIGHTS, ("line.npz", "line.golden.npz"))


def main() -> None:
    parser, tasks = command_line(__doc__)
    task = paths(tasks.add_parser("render"), "data", "work")
    task.add_argument("--scenes", type=int, default=1200)
    shared(task)
    for verb in ("train", "export"):
        paths(tasks.add_parser(verb), "work")
    args = parser.parse_args()
    if args.verb == "render":
        render(args.data, args.work, args.scenes, args.part, args.of)
    else:
        (train if args.verb == "train" else export)(args.work)


if __name__ == "__main__":
    main()
