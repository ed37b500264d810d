# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the note ear: written and real music through many instruments, in many rooms, under drums and talk.

    python -m models.train.notes render DATA WORK [--hours 4] [--part 0 --of 1]
    python -m models.train.notes train WORK [--minutes 60] [--device cpu]
    python -m models.train.notes export WORK
    python -m models.train.notes test DATA OUT

DATA holds `midi/pop909.zip` (POP909), `midi/groove.zip` (Groove MIDI Dataset), `drums/oneshots/KIT/...`
and `pitched/` (multisamples); further instruments come with Debian's timgm6mb-soundfont, csound-soundfont
and freepats, further drums with hydrogen-drumkits, talk with espeak-ng. Rendering and training can be stopped
and go on where they were; every draw is seeded. `export` writes the weights that ship. `test` writes what
none of it has heard: other songs (ASAP in `midi/asap.zip`, the last of POP909) by other soundfonts, with
every note in a MIDI file beside each sound.

Rendered sound is kept as powers of the bins that the ear hears. What a recording does to it is done to the
powers anew in every batch: another scene under it, drums or talk, equaliser, bandwidth, noise, gain.
"""

import argparse
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from dsp.tones import BINS, CHANNELS, FRAME, PITCHES, WINDOWS, relate, tones_of
from dsp.units import RATE
from models.train.backing import Songbook
from models.train.instruments import Players
from models.train.kits import shelf
from models.train.scenes import NOTE, Composer, noise
from models.train.studio import SECONDS, performances

FRAMES = SECONDS * RATE // FRAME  # of one scene
SCENES, NOISES = 9, 2  # of a shard
TIME, WARM, PRE = 168, 20, 80  # frames of an example, those not judged, those only heard before
STEADY = 0.7  # share of the training after which the rate falls
FLOOR = np.float32(1e-11)
LOWEST = 21  # MIDI number of the first pitch
HZ = 27.5 * 2 ** ((np.arange(BINS) - 1) / 36)


def powers(x: np.ndarray) -> np.ndarray:
    """log10 of the powers of each frame, shape (frames, WINDOWS, BINS)."""
    return np.log10(tones_of(x) + FLOOR).astype(np.float16)


def render_shards(data: Path, work: Path, hours: float, part: int, of: int) -> None:
    """Write this part's share of the corpus; shards that are there already stay."""
    work.mkdir(parents=True, exist_ok=True)
    composer = Composer(
        Players(data / "pitched", work), Songbook(data / "midi" / "pop909.zip"),
        performances(data / "midi" / "groove.zip", np.random.default_rng([1, part])),
        shelf(data / "drums" / "oneshots", soundfonts=False),
    )  # fmt: skip
    shards = int(np.ceil(hours * 3600 / (SCENES * SECONDS)))
    for shard in range(part, shards, of):
        path = work / f"notes_{shard:04d}.npy"
        if path.exists():
            continue
        rng, began = np.random.default_rng([3, shard]), time.time()
        composer.plays = performances(data / "midi" / "groove.zip", rng)
        heard: list[np.ndarray] = []
        truth = []
        while len(heard) < SCENES:
            sound, notes = composer.scene(rng)
            if len(notes) > 3 and np.isfinite(sound).all():
                heard.append(powers(sound))
                truth.append(notes)
        heard += [powers(noise(composer, rng)) for _ in range(NOISES)]
        counts = np.array([len(t) for t in truth])
        np.savez(work / f"truth_{shard:04d}.npz", truth=np.concatenate(truth), counts=counts)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.save(file, np.stack(heard))
        partial.rename(path)
        print(f"shard {shard} of {shards}, {time.time() - began:.0f} s", flush=True)


class Scene(NamedTuple):
    heard: np.ndarray  # (FRAMES, WINDOWS, BINS) log10 of powers, read from the disk as it is needed
    onset: np.ndarray  # (notes,) frame
    end: np.ndarray  # (notes,) frame
    pitch: np.ndarray  # (notes,)
    velocity: np.ndarray  # (notes,)


class Batch(NamedTuple):
    x: np.ndarray  # (size, TIME, CHANNELS, BINS)
    struck: np.ndarray  # (size, TIME, PITCHES) velocity of the note that begins in this frame, or 0
    sounding: np.ndarray  # (size, TIME, PITCHES) bool


class Corpus:
    """All shards, and batches drawn from them."""

    def __init__(self, work: Path, seed: int) -> None:
        self.scenes: list[Scene] = []
        self.noises: list[np.ndarray] = []
        self.rng = np.random.default_rng(seed)
        white = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
        self.white = (10 ** powers(white).astype(np.float32)[40:]).mean(0)
        self._work, self._known = work, set[Path]()
        self.refresh()

    def refresh(self) -> None:
        """Take in the shards that are new."""
        for path in sorted(self._work.glob("notes_????.npy")):
            if path in self._known:
                continue
            heard = np.load(path, mmap_mode="r")
            with np.load(path.with_name(path.stem.replace("notes", "truth") + ".npz")) as file:
                truths = np.split(file["truth"], np.cumsum(file["counts"])[:-1])
            for one, truth in zip(heard, truths, strict=False):
                assert truth.dtype == NOTE
                frames, ends = truth["start"] // FRAME, truth["end"] // FRAME
                self.scenes.append(Scene(one, frames, ends, truth["pitch"] - LOWEST, truth["velocity"]))
            self.noises += list(heard[len(truths) :])
            self._known.add(path)

    def colour(self, amount: float) -> np.ndarray:
        """An equaliser: gain in power of each bin."""
        rng, octaves = self.rng, np.log2(HZ / 1000)
        curve = rng.normal(0, 0.12 * amount / 0.35) * octaves
        for _ in range(3):
            at, width = rng.uniform(-5, 3.7), rng.uniform(0.3, 1.5)
            curve += rng.normal(0, amount) * np.exp(-0.5 * ((octaves - at) / width) ** 2)
        return (10**curve).astype(np.float32)

    def bandwidth(self) -> np.ndarray:
        """Where a recording ends, low and high: gain in power of each bin, shared by all that sounds."""
        rng, db = self.rng, np.zeros(BINS)
        if rng.random() < 0.4:
            cutoff, slope = (
                2 ** rng.uniform(np.log2(2500), np.log2(12000)),
                2 ** rng.uniform(np.log2(12), np.log2(200)),
            )
            db -= np.minimum(np.clip(np.log2(HZ / cutoff), 0, None) * slope, 90)
        if rng.random() < 0.25:
            cutoff, slope = 2 ** rng.uniform(5, 7.6), rng.uniform(6, 36)
            db -= np.minimum(np.clip(np.log2(cutoff / HZ), 0, None) * slope, 60)
        return (10 ** (db / 10)).astype(np.float32)

    def _excerpt(self, span: int) -> tuple[Scene, int, np.ndarray]:
        """A scene, its first frame, and what is heard from there on, often some semitones higher or lower."""
        rng = self.rng
        scene, start = self.scenes[rng.integers(len(self.scenes))], int(rng.integers(0, FRAMES - span))
        heard = scene.heard[start : start + span].astype(np.float32)
        up = int(rng.integers(-3, 4)) if rng.random() < 0.6 else 0
        if up:
            heard = np.roll(heard, 3 * up, 2)
            heard[..., : 3 * max(up, 0)] = np.log10(FLOOR)
            heard[..., BINS + 3 * min(up, 0) :] = np.log10(FLOOR)
            scene = scene._replace(pitch=scene.pitch + up)
        return scene, start, heard

    def batch(self, size: int) -> Batch:
        rng = self.rng
        out = Batch(
            np.empty((size, TIME, CHANNELS, BINS), np.float32), np.zeros((size, TIME, PITCHES), np.float32),
            np.zeros((size, TIME, PITCHES), bool),
        )  # fmt: skip
        for row in range(size):
            pre = int(rng.integers(10, PRE)) if rng.random() < 0.9 else 0
            span = pre + TIME
            scene, start, heard = self._excerpt(span)
            loud = float((10 ** heard[:, 1]).sum(1).mean()) + 1e-9
            silent = rng.random() < 0.1  # only what is no note
            beside = disturb = np.full((1, WINDOWS, BINS), -20, np.float32)
            under = over = 0.0
            if rng.random() < 0.15 and not silent:
                other, at, beside = self._excerpt(span)
                under = (
                    loud / (float((10 ** beside[:, 1]).sum(1).mean()) + 1e-9) * 10 ** rng.uniform(-1.5, 0.5)
                )
                self._write(other, at + pre, out.struck[row], out.sounding[row])
            if silent or (rng.random() < 0.35 and self.noises):
                clip, at = self.noises[rng.integers(len(self.noises))], int(rng.integers(0, FRAMES - span))
                disturb = clip[at : at + span].astype(np.float32)
                over = loud / (float((10 ** disturb[:, 1]).sum(1).mean()) + 1e-9) * 10 ** rng.uniform(-2, 0.6)
            hiss = np.zeros((WINDOWS, BINS), np.float32)
            if rng.random() < 0.5:
                hiss = self.white * (HZ / 1000) ** rng.uniform(-1.5, 0.2)
                hiss = hiss / hiss[1].sum() * loud * 10 ** rng.uniform(-6, -1.6)
            ends, gain = self.bandwidth(), 10 ** rng.uniform(-4, 0.5) / loud * 0.05
            _example(
                heard, self.colour(0.3) * ends * np.float32(1e-12 if silent else gain),
                beside, self.colour(0.3) * ends * np.float32(under * gain),
                disturb, self.colour(0.3) * ends * np.float32(over * gain),
                (hiss * ends * gain).astype(np.float32), pre, out.x[row],
            )  # fmt: skip
            if not silent:
                self._write(scene, start + pre, out.struck[row], out.sounding[row])
        return out

    @staticmethod
    def _write(scene: Scene, first: int, struck: np.ndarray, sounding: np.ndarray) -> None:
        for i in np.nonzero((scene.end >= first) & (scene.onset < first + TIME))[0]:
            onset, end, pitch = scene.onset[i] - first, scene.end[i] - first, scene.pitch[i]
            if not 0 <= pitch < PITCHES:
                continue
            if onset >= 0:
                struck[onset, pitch] = max(struck[onset, pitch], scene.velocity[i])
            sounding[max(onset, 0) : max(end, onset + 2), pitch] = True


@njit(cache=False, fastmath=True, nogil=True)
def _example(heard, gain, beside, under, disturb, over, hiss, pre, out):  # type: ignore[no-untyped-def]
    """Mix the powers and relate them as the ear does."""
    power, follower = np.zeros((WINDOWS, BINS), np.float32), np.zeros(2, np.float32)
    past, inputs = np.zeros((2, WINDOWS, BINS), np.float32), np.zeros((CHANNELS, BINS), np.float32)
    log10 = np.float32(2.302585093)
    others, others2, noisy = len(beside) > 1, len(disturb) > 1, hiss[1, 0] > 0
    for t in range(len(heard)):
        for w in range(WINDOWS):
            for k in range(BINS):
                power[w, k] = np.exp(log10 * heard[t, w, k]) * gain[k]
            if others:
                for k in range(BINS):
                    power[w, k] += np.exp(log10 * beside[t, w, k]) * under[k]
            if others2:
                for k in range(BINS):
                    power[w, k] += np.exp(log10 * disturb[t, w, k]) * over[k]
            if noisy:
                for k in range(BINS):
                    draw = np.random.random() + 1e-9  # noqa: NPY002 - inside a kernel
                    power[w, k] -= hiss[w, k] * np.float32(np.log(draw))
        relate(power, follower, past, inputs)
        if t >= pre:
            out[t - pre] = inputs


def batches(corpus: Corpus, size: int) -> Iterator[Batch]:
    """Batches without end, made ahead; new shards are taken in as they appear."""
    queue: Queue[Batch | BaseException] = Queue(3)

    def make() -> None:
        try:
            for n in range(1 << 30):
                if n % 50 == 49:
                    corpus.refresh()
                queue.put(corpus.batch(size))
        except BaseException as error:  # noqa: BLE001 - whoever waits for a batch must hear of it
            queue.put(error)

    threading.Thread(target=make, daemon=True).start()
    while True:
        batch = queue.get()
        if isinstance(batch, BaseException):
            raise batch
        yield batch


def later(x: Any, frames: int) -> Any:
    """The same, so many frames later."""
    if frames == 0:
        return x
    moved = x.new_zeros(x.shape)
    moved[:, frames:] = x[:, :-frames]
    return moved


def targets(struck: Any, sounding: Any, lags: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """What the heads shall say, and where they are judged, shape (size, TIME, PITCHES, lags + 1); velocities.

    An onset's head says yes `lag` frames after it and one more; beside that it is not judged. A pitch sounds
    one frame late; the frames around an onset are not judged.
    """
    import torch

    on = struck > 0
    wanted, judged = [], []
    for lag in lags:
        yes = later(on, lag) | later(on, lag + 1)
        beside = later(on, lag + 2) | later(on, lag + 3)
        for before in range(max(lag - 2, 0), lag):
            beside |= later(on, before)
        wanted.append(yes)
        judged.append(yes | ~beside)
    fresh = on | later(on, 1) | later(on, 2)
    wanted.append(later(sounding, 1))
    judged.append(~fresh)
    hard = torch.stack(
        [torch.maximum(later(struck, lag), later(struck, lag + 1)) for lag in (lags[0], lags[-1])], -1
    )
    return torch.stack(wanted, -1), torch.stack(judged, -1), hard.amax(-1)


def _niced(tensor: Any, device: str) -> Any:
    import torch

    return torch.from_numpy(tensor).to(device)


def train(
    work: Path,
    minutes: float,
    steps: int,
    size: int,
    rate: float,
    seed: int,
    device: str,
    name: str,
    half: bool,
) -> None:
    """Fit the net to the corpus until `minutes` or `steps` are over, from the last checkpoint on."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as entropy

    from models.train.notenet import LAGS, SOUNDING, VELOCITY, NoteNet

    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    if device == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    path = work / f"{name}.pt"
    net, average = NoteNet().to(device), NoteNet().to(device).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    done, spent = 0, 0.0  # steps and minutes so far
    if path.exists():
        saved = torch.load(path, weights_only=True, map_location=device)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        done, spent = saved["done"], saved["spent"]
    corpus = Corpus(work, seed + done)
    weights = sum(p.numel() for p in net.parameters())
    print(f"{len(corpus.scenes) * SECONDS / 3600:.2f} h, {weights} weights", flush=True)
    if done == 0:
        x = np.concatenate([corpus.batch(16).x for _ in range(4)]).transpose(2, 0, 1, 3).reshape(CHANNELS, -1)
        net.mu[:], net.sd[:] = torch.tensor(x.mean(1)), torch.tensor(x.std(1))
        average.load_state_dict(net.state_dict())
    weight = torch.ones(SOUNDING + 1, device=device)
    weight[:SOUNDING] = 2
    began, start, running = time.time(), done, np.zeros(3)
    for batch in batches(corpus, size):
        share = max(done / steps, (spent + (time.time() - began) / 60) / minutes)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            fall = max(0.0, share - STEADY) / (1 - STEADY)
            group["lr"] = float(rate * min(1, done / 60 + 0.02) * (0.5 + 0.5 * np.cos(np.pi * fall) + 0.01))
        struck, sounding = _niced(batch.struck, device), _niced(batch.sounding, device)
        wanted, judged, hard = targets(struck, sounding, LAGS)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            y = net(_niced(batch.x, device))
        y = y.float()[:, WARM:]
        wanted, judged, hard = wanted[:, WARM:].float(), judged[:, WARM:].float(), hard[:, WARM:]
        raw = entropy(y[..., :VELOCITY], wanted, weight=judged, pos_weight=weight, reduction="none").mean(
            (0, 1, 2)
        )
        known = hard > 0
        told = torch.sigmoid(y[..., VELOCITY]) - hard
        losses = raw[:SOUNDING].sum(), raw[SOUNDING], (told**2 * known).sum() / known.sum().clamp(min=1)
        loss = losses[0] + 0.5 * losses[1] + 0.3 * losses[2]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimiser.step()
        done += 1
        with torch.no_grad():
            keep = min(0.997, done / (done + 20))
            for mean, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                mean.lerp_(new, 1 - keep)
        running += [loss.item() for loss in losses]
        if done % 50 == 0:
            speed = (time.time() - began) / (done - start)
            shown = ", ".join(f"{x:.5f}" for x in running / 50)
            print(f"{done} ({100 * share:.0f} %), {speed:.2f} s a step, losses {shown}", flush=True)
            running[:] = 0
        if done % 100 == 0:
            _save(path, net, average, optimiser, done, spent + (time.time() - began) / 60)
    _save(path, net, average, optimiser, done, spent + (time.time() - began) / 60)


def _save(path: Path, net: Any, average: Any, optimiser: Any, done: int, spent: float) -> None:
    import torch

    state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(state | {"done": done, "spent": spent}, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("render")
    task.add_argument("data", type=Path)
    task.add_argument("work", type=Path)
    task.add_argument("--hours", type=float, default=4)
    task.add_argument("--part", type=int, default=0)
    task.add_argument("--of", type=int, default=1)
    task = tasks.add_parser("train")
    task.add_argument("work", type=Path)
    task.add_argument("--minutes", type=float, default=240)
    task.add_argument("--steps", type=int, default=20000)
    task.add_argument("--batch", type=int, default=8)
    task.add_argument("--rate", type=float, default=3e-3)
    task.add_argument("--seed", type=int, default=1)
    task.add_argument("--device", default="cpu")
    task.add_argument("--half", action="store_true", help="sums in bfloat16, where the processor has them")
    task.add_argument("--name", default="notes")
    task = tasks.add_parser("export")
    task.add_argument("work", type=Path)
    task.add_argument("--name", default="notes")
    task = tasks.add_parser("test")
    task.add_argument("data", type=Path)
    task.add_argument("out", type=Path)
    args = parser.parse_args()
    if args.task == "render":
        render_shards(args.data, args.work, args.hours, args.part, args.of)
    elif args.task == "train":
        train(
            args.work,
            args.minutes,
            args.steps,
            args.batch,
            args.rate,
            args.seed,
            args.device,
            args.name,
            args.half,
        )
    elif args.task == "test":
        from models.train.recital import render_test

        render_test(args.data, args.out)
    else:
        from models.train.note_export import export

        export(args.work, args.name)


if __name__ == "__main__":
    main()
