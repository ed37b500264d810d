# SPDX-License-Identifier: GPL-3.0-or-later
"""What hears the sustain pedal, while it learns; `dsp.pedal` is the same net at work.

    python -m models.train.pedal render DATA WORK   # clips, as what the note ear notices and what the foot did
    python -m models.train.pedal train WORK
    python -m models.train.pedal export WORK
    python -m models.train.pedal judge DATA         # pianists of ASAP, none of them trained on

DATA holds midi/pop909.zip, midi/asap.zip and pitched/. Pianists of POP909 with their own pedal and without it, and
scores by rule with and without, on pianos of `models.train.instruments.TRAIN` and a multisample.
"""

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import torch
from numba import njit
from scipy.signal import fftconvolve
from torch import Tensor, nn

from dsp.events import EVENT, PEDAL
from dsp.notes import NoteSettings
from dsp.pedal import FEATURES, PedalWeights
from dsp.poly import ROOM, poly_state, poly_step
from dsp.tones import FRAME
from dsp.units import HOP, RATE
from models import ends, notes, pedal, poly
from models.train import scores
from models.train.instruments import TEST, TRAIN, Instrument, Program, Sampled, multisamples
from models.train.plan import command_line, paths
from models.train.recital import Pianists, excerpt, performed
from models.train.scores import Note, Pedal, Rng, manner, pedalling, tidy
from models.train.seal import seal
from models.train.studio import SECONDS, room

MEMORY = 16
LAG = 12  # frames after which the foot is asked for
STEPS, BATCH, LENGTH, FIRST, RATE_OF_LEARNING = 1500, 32, 1000, 100, 1e-2
CLIPS = {"pop": 50, "popdry": 14, "gen": 20, "gendry": 24}
SEEDS = {"pop": 31, "popdry": 32, "gen": 33, "gendry": 34}
STYLES = ("keyboard", "keyboard", "counterpoint", "arpeggio", "chords")
PIANOS = (0, 1, 2, 3)  # programs
UNHEARD = 60  # songs of POP909 that are not trained on
SCALE = np.array(5 * [3] + [1] + 5 * [2] + 9 * [1], np.float32)  # of the features, while it learns
GOLDEN = 200  # frames of the golden pair
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


class PedalNet(nn.Module):
    """Frames of features, shape (batch, time, FEATURES), to logits of a pedal that is down; strictly causal."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.GRU(FEATURES, MEMORY, batch_first=True)
        self.head = nn.Linear(MEMORY, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(x)[0])[..., 0]


class Clip(NamedTuple):
    """What the note ear noticed, frame by frame, what it said of the pedal, and what the foot did."""

    x: np.ndarray  # (frames, FEATURES)
    said: np.ndarray  # (n,) EVENT, of pedals
    foot: Pedal


@njit(cache=False)
def _hear(state, x, seen, out):  # type: ignore[no-untyped-def]
    n = frames = 0
    for k in range(len(x)):
        n += poly_step(state, x[k : k + 1], out[n:])
        if state.pedal.frames[0] > frames:
            seen[frames] = state.pedal.x
            frames = state.pedal.frames[0]
    return n, frames


def hear(sound: np.ndarray, foot: Pedal, weights: PedalWeights | None = None) -> Clip:
    settings = NoteSettings(lines="many", low=21, high=108, decision_ms=40, pedal=True)
    state = poly_state(settings, notes.load(), poly.load(), ends.load(), np.zeros(1, np.int64), weights)
    x = sound[: len(sound) // HOP * HOP].astype(np.float32).reshape(-1, HOP)
    seen, out = np.zeros((len(x), FEATURES), np.float32), np.zeros(20 * len(x) + ROOM, EVENT)
    n, frames = _hear(state, x, seen, out)
    return Clip(seen[:frames], out[:n][out[:n]["kind"] == PEDAL], foot)


class Songs:
    """Pianists of POP909, alone or with the tune in their right hand."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)
        files = self._archive.namelist()
        self._names = sorted(n for n in files if n.count("/") == 2 and n.endswith(".mid"))[:-UNHEARD]

    def play(self, rng: Rng) -> tuple[list[Note], Pedal]:
        while True:
            name = self._names[rng.integers(len(self._names))]
            song = mido.MidiFile(file=io.BytesIO(self._archive.read(name)))
            tracks = {track.name: track for track in song.tracks}
            if sum(m.is_cc(64) for m in tracks.get("PIANO", ())) < UNHEARD:
                continue
            alone = mido.MidiFile(ticks_per_beat=song.ticks_per_beat)
            alone.tracks = [song.tracks[0], tracks["PIANO"]]
            if rng.random() < 0.5:
                tune = (m for m in tracks["MELODY"] if m.type != "control_change")
                alone.tracks.append(mido.MidiTrack(tune))
            played, foot, seconds = performed(alone)
            if seconds < SECONDS + 20:
                continue
            cut, foot = excerpt(played, foot, rng.uniform(8, seconds - SECONDS - 6))
            if len(cut) > 30:
                return cut, [(down, up) for down, up in foot if down < SECONDS]


def _piano(pitched: Path, rng: Rng) -> Instrument:
    if rng.integers(6) < 2:
        name, regions, low, high = next(m for m in multisamples(pitched)["keys"] if m[0] == "splendid")
        return Sampled(name, regions, low, high, rng)
    bank = ("timgm", "csound", "freepats")[rng.integers(3)]
    return Program(bank, TRAIN[bank], int(rng.choice(PIANOS)), 21, 108)


def _sound(player: Instrument, played: list[Note], foot: Pedal, rng: Rng) -> np.ndarray:
    x = player.play(played, foot, 0, SECONDS)
    x = x / max(np.sqrt(np.mean(x**2)), 1e-9)
    if rng.random() < 0.6:
        x = x + 10 ** (rng.uniform(-20, -8) / 20) * fftconvolve(x, room(rng))[: len(x)]
    x = x + rng.standard_normal(len(x)) * 10 ** (rng.uniform(-70, -45) / 20) * np.sqrt(np.mean(x**2))
    return 0.5 * x / np.abs(x).max()


def render(data: Path, work: Path) -> None:
    """Write what is heard of each clip, and where the pedal is down."""
    work.mkdir(parents=True, exist_ok=True)
    songs = Songs(data / "midi" / "pop909.zip")
    for kind, count in CLIPS.items():
        for i in range(count):
            rng = np.random.default_rng([SEEDS[kind], i])
            player = _piano(data / "pitched", rng)
            if kind.startswith("pop"):
                played, foot = songs.play(rng)
            else:
                m = manner(28, 100, SECONDS, rng)
                played = tidy(getattr(scores, STYLES[i % len(STYLES)])(m, rng), SECONDS)
                foot = pedalling(m, rng) if kind == "gen" else []
            foot = [] if kind.endswith("dry") else foot
            clip = hear(_sound(player, played, foot, rng), foot)
            np.savez(work / f"pedal-{kind}-{i:02d}.npz", x=clip.x, down=held_down(foot, len(clip.x)))
            print(f"{kind} {i}", flush=True)


def held_down(foot: Pedal, frames: int) -> np.ndarray:
    """Whether the pedal is down in the middle of each frame."""
    at, down = (np.arange(frames) + 0.5) * FRAME / RATE, np.zeros(frames, bool)
    for first, last in foot:
        down |= (at >= first) & (at < last)
    return down


def train(work: Path) -> None:
    """Learn from what is rendered; the checkpoint is ``work/pedal.pt``."""
    torch.manual_seed(0)
    clips = [dict(np.load(path)) for path in sorted(work.glob("pedal-*.npz"))]
    frames = min(len(clip["x"]) for clip in clips)
    x = torch.from_numpy(np.stack([clip["x"][:frames] for clip in clips]) / SCALE)
    late = [np.append(np.repeat(clip["down"][:1], LAG), clip["down"])[:frames] for clip in clips]
    y = torch.from_numpy(np.stack(late).astype(np.float32))
    net = PedalNet()
    fit = torch.optim.Adam(net.parameters(), RATE_OF_LEARNING)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(fit, STEPS)
    for step in range(STEPS):
        rows, at = torch.randperm(len(clips))[:BATCH], int(torch.randint(0, frames - LENGTH, (1,)))
        said = net(x[rows, at : at + LENGTH])[:, FIRST:]
        loss = nn.functional.binary_cross_entropy_with_logits(said, y[rows, at + FIRST : at + LENGTH])
        fit.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        fit.step()
        slower.step()
        if step % 100 == 0:
            print(step, round(float(loss.detach()), 3), flush=True)
    torch.save(net.state_dict(), work / "pedal.pt")


def export(work: Path) -> None:
    """Write `models/weights/pedal.npz`, a golden pair and their sums."""
    net = PedalNet()
    net.load_state_dict(torch.load(work / "pedal.pt", weights_only=True))
    names = {"w_ih": "memory.weight_ih_l0", "b_ih": "memory.bias_ih_l0"}
    names |= {"w_hh": "memory.weight_hh_l0", "b_hh": "memory.bias_hh_l0"}
    names |= {"head.w": "head.weight", "head.b": "head.bias"}
    state = net.state_dict()
    arrays = {ours: state[theirs].numpy() for ours, theirs in names.items()}
    arrays["w_ih"] = arrays["w_ih"] / SCALE
    np.savez(WEIGHTS / "pedal.npz", **arrays)  # type: ignore[arg-type]
    x = np.load(min(work.glob("pedal-pop-*.npz")))["x"][:GOLDEN]
    with torch.no_grad():
        y = torch.sigmoid(net(torch.from_numpy(x[None] / SCALE)))[0].numpy()
    np.savez(WEIGHTS / "pedal.golden.npz", x=x, y=y)
    seal(WEIGHTS, ("pedal.npz", "pedal.golden.npz"))


def _delays(clip: Clip, up: bool) -> list[float]:
    """From each move of the foot to when it was known, of those that are [ms]."""
    said = [e for e in clip.said if (e["value"] < 0.5) == up]
    found = []
    for move in (pair[up] for pair in clip.foot):
        near = [e["emitted"] / RATE - move for e in said if -0.05 < e["emitted"] / RATE - move < 1]
        if near:
            found.append(1000 * min(near, key=abs))
    return found


def judge(data: Path, excerpts: int = 12) -> None:
    """Pedal frame by frame, of pianists that nobody trained on, with the pedal and without."""
    pianists, weights = Pianists(data / "midi" / "asap.zip"), pedal.load()
    for title, seed, dry in (("as played", 7, False), ("never pressed", 27, True)):
        total, moves = np.zeros((2, 2), int), ([], [])  # type: tuple[np.ndarray, tuple[list[float], list[float]]]
        for i in range(excerpts):
            rng = np.random.default_rng([seed, 0, i])
            played, foot = pianists.play(rng)
            foot = [] if dry else foot
            player = Program("fluid", TEST["fluid"], (0, 0, 1)[i % 3], 21, 108)
            clip = hear(_sound(player, played, foot, np.random.default_rng([5, i])), foot, weights)
            true, spans, since = held_down(foot, len(clip.x)), [], -1.0
            for e in clip.said:
                if e["value"] < 0.5:
                    spans.append((since, e["time"] / RATE))
                since = e["time"] / RATE
            if len(clip.said) and clip.said[-1]["value"] > 0.5:
                spans.append((since, float(SECONDS)))
            said = held_down(spans, len(clip.x))
            np.add.at(total, (true.astype(int), said.astype(int)), 1)
            for up in (False, True):
                moves[up].extend(_delays(clip, up))
        (right, false), (missed, hit) = total
        score, down = 2 * hit / max(2 * hit + false + missed, 1), (hit + missed) / total.sum()
        heard, feigned = hit / max(hit + missed, 1), false / max(false + right, 1)
        print(f"{title}: F {score:.3f} (always down {2 * down / (1 + down):.3f}), said to be down in")
        print(f"  {heard:.2f} of the frames it is, {feigned:.3f} of the others;")
        for name, found in zip(("down", "up"), moves, strict=True):
            if found:
                print(f"  {name} known after {np.median(found):.0f} ms ({len(found)} moves)")


def main() -> None:
    parser, tasks = command_line(__doc__)
    for verb, names in (
        ("render", ("data", "work")),
        ("train", ("work",)),
        ("export", ("work",)),
        ("judge", ("data",)),
    ):
        paths(tasks.add_parser(verb), *names)
    args = parser.parse_args()
    if args.verb == "render":
        render(args.data, args.work)
    elif args.verb == "judge":
        judge(args.data)
    else:
        (train if args.verb == "train" else export)(args.work)


if __name__ == "__main__":
    main()
