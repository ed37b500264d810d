# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that hears chords, while it learns; `models.chordnet` is the same net at work.

    python -m models.train.chordnet render DATA WORK     # songs, as looks and labels; again, and it goes on
    python -m models.train.chordnet test DATA WORK       # songs that are never trained on, as sound
    python -m models.train.chordnet train WORK           # chords
    python -m models.train.chordnet keys WORK            # then keys
    python -m models.train.chordnet export WORK

DATA holds midi/pop909.zip and midi/groove.zip.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from dsp.events import NO_CHORD, QUALITIES
from dsp.units import RATE
from models.chordnet import KEY_INPUTS, LAG, NAME, ROOTS, checked, views
from models.chroma import HIGH, LOW, PITCHES
from models.key import Memory
from models.train import harmony
from models.train.fit import Fit, ahead, averaged
from models.train.plan import Plan, command_line, options, paths, planned
from models.train.seal import seal

LAYER, MEMORY, KEY_LAYER = 48, 64, 32
LENGTH, BATCH = 350, 6  # looks, songs
FEW = 20  # songs that validate
MEMORIES = (8.0, 12.0, 15.0, 20.0, 40.0)  # of the key, drawn at random [s]
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 120  # looks of the golden pair
UNKNOWN = -100  # what cross entropy leaves out
PLAN = Plan(steps=1500, minutes=60, rate=3e-3, warm=50, keep=0.99)
LOSSES = 1, 0.3  # weights of chords, of basses


class Harmony(nn.Module):
    """Looks, shape (batch, time, PITCHES), to logits of chords and basses, (batch, time, SAID)."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(views().shape[1], LAYER)
        self.gru = nn.GRU(2 * LAYER, MEMORY, batch_first=True)
        self.head, self.none = nn.Linear(MEMORY, len(QUALITIES) + 1), nn.Linear(MEMORY, 2)
        self.key, self.mode = nn.Linear(KEY_INPUTS, KEY_LAYER), nn.Linear(KEY_LAYER, 2)
        self.dropout = nn.Dropout(0.15)
        self.register_buffer("mu", torch.tensor(0.4))
        self.register_buffer("sd", torch.tensor(0.25))
        self.register_buffer("views", torch.from_numpy(views()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, looks, _ = x.shape
        x = (x[:, :, self.views] - self.mu) / self.sd  # (batch, time, root, inputs)
        own = F.relu(self.dense(x))
        x = self.dropout(torch.cat([own, own.mean(2, keepdim=True).expand_as(own)], -1))
        x = self.gru(x.transpose(1, 2).reshape(batch * ROOTS, looks, -1))[0]
        x = self.dropout(x).reshape(batch, ROOTS, looks, -1).transpose(1, 2)
        said, none = self.head(x), self.none(x.mean(2))
        chords = said[..., :-1].transpose(2, 3).flatten(2)
        return torch.cat([chords, none[..., :1], said[..., -1], none[..., 1:]], -1)

    def keys(self, x: Tensor) -> Tensor:
        """Logits of KEYS, shape (n, 24), from what each tonic hears, (n, 12, KEY_INPUTS)."""
        return self.mode(self.dropout(F.relu(self.key(x)))).transpose(1, 2).flatten(1)


def losses_of(said: Tensor, y: Tensor) -> list[Tensor]:
    """Of chords and of basses, by what is said of LAG looks ago; a label that is not known is -1."""
    said, y = said[:, LAG:].flatten(0, 1), y[:, :-LAG].flatten(0, 1).long()
    chord, bass = y[:, 0], y[:, 1]
    bass = torch.where(chord == NO_CHORD, ROOTS, bass)
    first = F.cross_entropy(said[:, : NO_CHORD + 1], chord.where(chord >= 0, UNKNOWN), ignore_index=UNKNOWN)
    bass = bass.where((chord >= 0) & (bass >= 0), UNKNOWN)
    return [first, F.cross_entropy(said[:, NO_CHORD + 1 :], bass, ignore_index=UNKNOWN)]


class Songs:
    """What was rendered."""

    def __init__(self, work: Path, size: int = BATCH) -> None:
        self.size = size
        self.x: list[np.ndarray] = []
        self.y: list[np.ndarray] = []
        for path in sorted(work.glob("song-*.npz")):
            with np.load(path) as file:
                self.x.append(file["x"])
                self.y.append(file["y"])
        rng = np.random.default_rng(0)
        for colour in (0.0, 0.5, 1.0):  # noise has no harmony
            spectrum = np.fft.rfft(rng.standard_normal(harmony.SECONDS * RATE))
            spectrum /= np.maximum(np.arange(len(spectrum)), 1000.0) ** colour
            noise = np.fft.irfft(spectrum)
            self.x.append(harmony.looks_of((0.1 * noise / noise.std()).astype(np.float32)).astype(np.float16))
            self.y.append(np.tile([NO_CHORD, -1, -1], (len(self.x[-1]), 1)))

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Parts of songs, some in another colour, some with silence before them."""
        x = np.zeros((self.size, LENGTH, PITCHES), np.float32)
        y = np.full((self.size, LENGTH, 3), NO_CHORD, np.int64)
        for k in range(self.size):
            song = (
                int(rng.integers(FEW, len(self.x) - 3)) if rng.random() < 0.97 else -int(rng.integers(1, 4))
            )
            skip = int(rng.integers(0, 60)) if rng.random() < 0.15 else 0
            start = int(rng.integers(0, len(self.x[song]) - LENGTH))
            part = self.x[song][start : start + LENGTH - skip].astype(np.float32)
            tilt = np.interp(np.arange(128), [24, 60, 101], rng.normal(0, 0.05, 3))
            tilt = np.concatenate([tilt[slice(*HIGH)], tilt[slice(*LOW)]]).astype(np.float32)
            x[k, skip:] = np.clip(part + tilt + rng.normal(0, 0.02, part.shape), 0, 1)
            y[k, skip:] = self.y[song][start : start + LENGTH - skip]
        return torch.from_numpy(x), torch.from_numpy(y)


def judged(net: Harmony, songs: Songs) -> tuple[float, float]:
    """Parts of the validating songs whose triads, and whose basses, are right."""
    net.eval()
    right, bass, n = 0, 0, 0
    with torch.no_grad():
        for x, y in zip(songs.x[:FEW], songs.y[:FEW], strict=True):
            said = net(torch.from_numpy(x[None].astype(np.float32)))[0, LAG:].numpy()
            chord, low = said[:, : NO_CHORD + 1].argmax(1), said[:, NO_CHORD + 1 :].argmax(1)
            true, true_low = y[:-LAG, 0], y[:-LAG, 1]
            known = (true >= 0) & (true < 5 * ROOTS)  # major, minor and their sevenths
            right += int(np.sum((triad(chord) == triad(true)) & known))
            bass += int(np.sum((low == true_low) & known))
            n += int(known.sum())
    net.train()
    return right / n, bass / n


def triad(rows: np.ndarray) -> np.ndarray:
    """Root, and 12 more where the third is minor; other chords by themselves."""
    quality, root = np.divmod(rows, ROOTS)
    kind = np.array([0, 1, 0, 0, 1, 2, 3, 4, 5, 6])[quality]
    return kind * ROOTS + root


def train(work: Path, plan: Plan, size: int, seed: int, name: str) -> None:
    """Learn chords; the checkpoint is ``work/NAME.pt``."""
    rng, songs = np.random.default_rng(seed), Songs(work, size)
    fit = Fit(work / f"{name}.pt", Harmony, plan, seed)

    def losses(net: Any, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        x, y = (part.to(plan.device) for part in batch)
        return losses_of(net(x).float(), y)

    fit.run(ahead(lambda: songs.batch(rng)), losses, LOSSES)
    print("triads {:.3f} basses {:.3f}".format(*judged(averaged(fit.path, Harmony()), songs)), flush=True)


def gathered(net: Harmony, songs: Songs, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each song, what the tonics have heard by many moments, and the key of then."""
    found = []
    net.eval()
    for x, y in zip(songs.x, songs.y, strict=True):
        with torch.no_grad():
            said = net(torch.from_numpy(x[None].astype(np.float32)))[0]
        chords = torch.softmax(said[:, : NO_CHORD + 1], -1).numpy()
        basses = torch.softmax(said[:, NO_CHORD + 1 :], -1).numpy()
        inputs, keys = [], []
        for memory in rng.choice(MEMORIES, 2, replace=False):
            sums = Memory(float(memory))
            begin = int(rng.integers(0, len(x) // 2))
            for k in range(begin, len(x)):
                sums.add(chords[k], basses[k], x[k].astype(np.float32))
                if (k - begin) % 24 == 23 and y[k, 2] >= 0:
                    inputs.append(sums.inputs())
                    keys.append(y[k, 2])
        if inputs:
            found.append((np.array(inputs), np.array(keys, np.int64)))
    net.train()
    return found


def train_keys(work: Path, steps: int = 1200) -> None:
    """Learn the key from the chords, basses and levels of some time, once chords are learned; ``work/keys.pt``."""
    rng, songs, net = np.random.default_rng(1), Songs(work), averaged(work / "chords.pt", Harmony())
    torch.manual_seed(1)
    heard = gathered(net, songs, rng)
    x, y = (np.concatenate([song[k] for song in heard[FEW:]]) for k in (0, 1))
    weight = np.concatenate([np.full(len(song[1]), 1 / len(song[1])) for song in heard[FEW:]])
    weight /= weight.sum()
    parameters = [*net.key.parameters(), *net.mode.parameters()]
    optimiser = torch.optim.AdamW(parameters, 3e-3, weight_decay=0.05)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (0.5 + 0.5 * np.cos(np.pi * step / steps)) + 1e-5
        some = rng.choice(len(x), 128, p=weight)
        loss = F.cross_entropy(
            net.keys(torch.from_numpy(x[some])), torch.from_numpy(y[some]), label_smoothing=0.02
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    with torch.no_grad():
        x, y = (np.concatenate([song[k] for song in heard[:FEW]]) for k in (0, 1))
        said = net.keys(torch.from_numpy(x)).argmax(1).numpy()
    print(f"keys {np.mean(said == y):.3f}", flush=True)
    torch.save(net.state_dict(), work / "keys.pt")


def export(work: Path) -> None:
    """Write the weights, a golden pair and their sums."""
    state = torch.load(work / "keys.pt", weights_only=True, map_location="cpu")
    net = Harmony()
    net.load_state_dict(state)
    net.eval()
    names = {"weight_ih_l0": "w_ih", "weight_hh_l0": "w_hh", "bias_ih_l0": "b_ih", "bias_hh_l0": "b_hh"}
    names |= {"weight": "w", "bias": "b"}
    arrays = {}
    for key, value in state.items():
        part, _, name = key.partition(".")
        arrays[f"{part}.{names[name]}" if name else part] = value.numpy()
    np.savez(WEIGHTS / NAME, **checked(arrays))  # type: ignore[arg-type]
    x = Songs(work).x[0][:GOLDEN].astype(np.float32)
    with torch.no_grad():
        said = net(torch.from_numpy(x[None]))[0]
        chords, basses = (torch.softmax(y, -1).numpy() for y in said.split([NO_CHORD + 1, ROOTS + 1], -1))
        sums = Memory(15.0)
        for look in zip(chords, basses, x, strict=True):
            sums.add(*look)
        keys = torch.softmax(net.keys(torch.from_numpy(sums.inputs()[None])), -1)[0].numpy()
    golden = f"{Path(NAME).stem}.golden.npz"
    np.savez(WEIGHTS / golden, x=x, chords=chords, basses=basses, inputs=sums.inputs(), keys=keys)
    seal(WEIGHTS, (NAME, golden))


def main() -> None:
    parser, tasks = command_line(__doc__)
    for verb, count in (("render", 720), ("test", 16)):
        one = paths(tasks.add_parser(verb), "data", "work")
        one.add_argument("--first", type=int, default=0)
        one.add_argument("--count", type=int, default=count)
    options(tasks.add_parser("train"), "chords", BATCH, PLAN)
    for verb in ("keys", "export"):
        paths(tasks.add_parser(verb), "work")
    args = parser.parse_args()
    if args.verb in ("render", "test"):
        harmony.render(args.data, args.work, args.first, args.count, test=args.verb == "test")
    elif args.verb == "train":
        train(args.work, planned(args, PLAN), args.batch, args.seed, args.name)
    else:
        {"keys": train_keys, "export": export}[args.verb](args.work)


if __name__ == "__main__":
    main()
