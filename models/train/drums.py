# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the drum ear: real drummers' performances on many kits, in many rooms, under much music.

    python -m models.train.drums render DATA WORK [--hours 8] [--part 0 --of 2]
    python -m models.train.drums train WORK [--steps 8000] [--device cpu]
    python -m models.train.drums export WORK [--real MDB]
    python -m models.train.drums test DATA OUT

DATA holds `drums/oneshots/KIT/...`, `midi/groove.zip` (Groove MIDI Dataset) and `midi/pop909.zip`
(POP909); further kits come with Debian's hydrogen-drumkits, fluid-soundfont-gm and
musescore-general-soundfont. Rendering and training can be stopped and go on where they were; every draw
is seeded. `export` writes the weights that ship; with MDB, a folder of real songs laid out as MDB Drums,
it sets the thresholds there (they alone are tuned on recordings). `test` writes what none of it has
heard: other drummers on other kits, with what was struck and how hard beside each file.

Rendered sound is kept as band powers, drums and music apart. What a recording does to both is done
to the powers anew in every batch: balance, equaliser, bandwidth, compressor, noise, gain.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from dsp.bands import BANDS, FRAME, INPUTS, band_frequencies, bands_hop, bands_state, relate
from dsp.events import LABELS
from dsp.units import HOP, RATE
from models.train.backing import Songbook, backing
from models.train.kits import PIECES, shelf
from models.train.studio import FAMILIES, SECONDS, performances, rearranged, render

FRAMES = SECONDS * RATE // FRAME  # of one performance
PER_SHARD = 12  # performances, each on two kits
TIME, WARM, PRE = 320, 64, 500  # frames of an example, those not judged, those only heard before
METAL = (FAMILIES.index("hat"), FAMILIES.index("cymbal"))
FLOOR = np.float32(1e-10)
FAMILY_OF_LABEL = np.array([FAMILIES.index(label.family) for label in LABELS])


@njit(cache=False)
def _powers(state, hops, out):  # type: ignore[no-untyped-def]
    n = 0
    for k in range(len(hops)):
        if bands_hop(state, hops[k]):
            out[n] = state.power
            n += 1


def powers(x: np.ndarray) -> np.ndarray:
    """log10 of the band powers of each frame, shape (frames, BANDS)."""
    hops = x[: len(x) // HOP * HOP].reshape(-1, HOP).astype(np.float32)
    out = np.zeros((len(x) // FRAME, BANDS), np.float32)
    _powers(bands_state(), hops, out)
    return np.log10(out + FLOOR).astype(np.float16)


def render_shards(data: Path, work: Path, hours: float, part: int, of: int) -> None:
    """Write this part's share of the corpus; shards that are there already stay."""
    work.mkdir(parents=True, exist_ok=True)
    kits = shelf(data / "drums" / "oneshots")
    songbook = Songbook(data / "midi" / "pop909.zip")
    shards = int(np.ceil(hours * 3600 / (2 * PER_SHARD * SECONDS)))
    for shard in range(part, shards, of):
        path = work / f"shard_{shard:04d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([1, shard])
        plays = performances(data / "midi" / "groove.zip", rng)
        drums, music, truth = [], [], []
        for _ in range(PER_SHARD):
            played = next(plays)
            for _ in range(2):
                sound, hits = render(rearranged(played, rng), kits, rng)
                drums.append(powers(sound))
                truth.append(hits)
            music.append(powers(backing(songbook, played.beat, played.downbeat, rng)))
        counts = np.array([len(t) for t in truth])
        partial = path.with_suffix(".part.npz")
        np.savez(partial, drums=drums, music=music, truth=np.concatenate(truth), counts=counts)
        partial.rename(path)
        print(f"shard {shard} of {shards}", flush=True)


class Corpus:
    """All shards, and batches drawn from them."""

    def __init__(self, work: Path, seed: int) -> None:
        self.drums: list[np.ndarray] = []  # (FRAMES, BANDS) each
        self.music: list[np.ndarray] = []
        self.backing_of: list[int] = []
        self.truth: list[np.ndarray] = []
        self.rng = np.random.default_rng(seed)
        self.hz = band_frequencies()
        # White noise in each band: the width of its triangle.
        noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
        self.white = (10 ** powers(noise).astype(np.float32)[20:]).mean(0)
        self._work, self._known = work, set[Path]()
        self.refresh()

    def refresh(self) -> None:
        """Take in the shards that are new."""
        for path in sorted(self._work.glob("shard_????.npz")):
            if path in self._known:
                continue
            with np.load(path, allow_pickle=False) as shard:
                base = len(self.music)
                self.drums += list(shard["drums"])
                self.music += list(shard["music"])
                self.backing_of += [base + i // 2 for i in range(len(shard["drums"]))]
                self.truth += np.split(shard["truth"], np.cumsum(shard["counts"])[:-1])
            self._known.add(path)

    def rarity(self) -> np.ndarray:
        """What a stroke of each label weighs, so that the rare ones are learned too."""
        struck = np.concatenate(self.truth)["label"] if self.truth else np.zeros(0, int)
        counts = np.bincount(struck[struck >= 0], minlength=len(LABELS)) + 1
        return np.clip(np.sqrt(counts.mean() / counts), 0.5, 4).astype(np.float32)

    def colour(self, amount: float) -> np.ndarray:
        """An equaliser: gain in power of each band."""
        rng, octaves = self.rng, np.log2(self.hz / 1000)
        curve = rng.normal(0, 0.12 * amount) * octaves
        for _ in range(3):
            at, width = rng.uniform(-4.5, 4.2), rng.uniform(0.4, 1.5)
            curve += rng.normal(0, amount) * np.exp(-0.5 * ((octaves - at) / width) ** 2)
        if rng.random() < 0.2:
            curve -= np.clip(octaves - np.log2(rng.uniform(5, 14)), 0, None) * 3 * amount
        if rng.random() < 0.2:
            curve -= np.clip(np.log2(rng.uniform(0.04, 0.12)) - octaves, 0, None) * 2 * amount
        return (10**curve).astype(np.float32)

    def bandwidth(self) -> np.ndarray:
        """Where a recording ends, low and high: gain in power of each band, shared by all that sounds."""
        rng, db = self.rng, np.zeros(BANDS)
        if rng.random() < 0.6:
            cutoff, slope = (
                2 ** rng.uniform(np.log2(4500), np.log2(18000)),
                2 ** rng.uniform(np.log2(40), np.log2(900)),
            )
            db -= np.minimum(np.clip(np.log2(self.hz / cutoff), 0, None) * slope, 110)
        if rng.random() < 0.15:
            cutoff, slope = 2 ** rng.uniform(5.3, 7.3), rng.uniform(12, 48)
            db -= np.minimum(np.clip(np.log2(cutoff / self.hz), 0, None) * slope, 80)
        return (10 ** (db / 10)).astype(np.float32)

    def batch(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs (size, TIME, INPUTS), onsets (size, TIME, labels + families) 1 / 0 / -1 unknown, velocities."""
        rng = self.rng
        x = np.empty((size, TIME, INPUTS), np.float32)
        onsets = np.zeros((size, TIME, len(LABELS) + len(FAMILIES)), np.int8)
        velocities = np.zeros((size, TIME, len(FAMILIES)), np.float32)
        for row in range(size):
            i = int(rng.integers(len(self.drums)))
            pre = int(rng.integers(0, PRE)) if rng.random() < 0.9 else 0
            start = int(rng.integers(0, FRAMES - TIME - pre))
            drums = self.drums[i][start : start + pre + TIME].astype(np.float32)
            music = np.full_like(drums, -10)
            drum_power = float((10**drums).sum(1).mean()) + 1e-9
            loud = 0.0
            draw = rng.random()
            if draw < 0.62:
                if draw < 0.42:
                    j, at = self.backing_of[i], start
                else:
                    j, at = int(rng.integers(len(self.music))), int(rng.integers(0, FRAMES - TIME - pre))
                music = self.music[j][at : at + pre + TIME].astype(np.float32)
                loud = drum_power / (float((10**music).sum(1).mean()) + 1e-9) * 10 ** rng.uniform(-1.4, 0.9)
            silent = loud > 0 and rng.random() < 0.04  # only music
            noise = np.zeros(BANDS, np.float32)
            if rng.random() < 0.45:
                noise = self.white * (self.hz / 1000) ** rng.uniform(-1.5, 0.2)
                noise = noise / noise.sum() * drum_power * 10 ** rng.uniform(-5.5, -1.5)
            ends = self.bandwidth()
            gain = drum_power and 10 ** rng.uniform(-4.2, 0.2) / drum_power * 0.05
            threshold, ratio, release = np.inf, 1.0, 0.1
            if rng.random() < 0.3:
                threshold, ratio, release = (
                    drum_power * gain * 10 ** rng.uniform(-1, 1),
                    rng.uniform(1.5, 6),
                    rng.uniform(0.05, 0.4),
                )
            told = np.zeros(pre + TIME, np.float32)
            _example(
                drums, music, self.colour(0.35) * ends * np.float32(1e-9 if silent else gain),
                self.colour(0.35) * ends * np.float32(loud * gain), (noise * ends * gain).astype(np.float32),
                threshold, ratio, release, pre, told, x[row],
            )  # fmt: skip
            if not silent and len(self.truth[i]):
                self._write(self.truth[i], start + pre, told[pre:], onsets[row], velocities[row])
        return x, onsets, velocities

    @staticmethod
    def _write(
        truth: np.ndarray, first: int, told: np.ndarray, onsets: np.ndarray, velocities: np.ndarray
    ) -> None:
        frames = truth["start"] // FRAME - first
        inside = (frames >= 0) & (frames < TIME)
        loudest = truth["level"].max()
        for frame, hit in zip(frames[inside], truth[inside], strict=True):
            # Loud enough in its own mix, and in some band not below the music and the noise.
            audible = hit["level"] > loudest - 36 and told[frame : frame + 4].max() > 0.5
            family = len(LABELS) + hit["family"]
            if not audible:
                onsets[frame, family] = onsets[frame, family] or -1
                continue
            onsets[frame, family] = 1
            if hit["label"] >= 0:
                onsets[frame, hit["label"]] = 1
            velocities[frame, hit["family"]] = max(velocities[frame, hit["family"]], hit["velocity"])


@njit(cache=False, fastmath=True, nogil=True)
def _example(drums, music, drum_gain, music_gain, noise, threshold, ratio, release, pre, told, out):  # type: ignore[no-untyped-def]
    """Mix the powers, press them, and relate them as the ear does; `told` is the drums' best share of a band."""
    power, follower = np.zeros(BANDS, np.float32), np.zeros(2, np.float32)
    mean, inputs = np.zeros(BANDS, np.float32), np.zeros(INPUTS, np.float32)
    level = 0.0
    fall = np.exp(-FRAME / RATE / release)
    for t in range(len(drums)):
        total, best = 0.0, 0.0
        for k in range(BANDS):
            d = np.exp(2.302585093 * drums[t, k]) * drum_gain[k]
            m = np.exp(2.302585093 * music[t, k]) * music_gain[k]
            if noise[k] > 0:
                m += noise[k] * -0.5 * np.log(np.random.random() * np.random.random() + 1e-12)  # noqa: NPY002 - inside a kernel
            power[k] = d + m
            total += d + m
            share = d / (d + m + 1e-12)
            if share > best and d > 1e-4 * follower[0] + 1e-11:
                best = share
        told[t] = best
        level = total if total > level else level * fall
        if level > threshold:
            press = (threshold / level) ** (1 - 1 / ratio)
            for k in range(BANDS):
                power[k] *= press
        relate(power, follower, mean, inputs)
        if t >= pre:
            out[t - pre] = inputs


class Batch(NamedTuple):
    x: np.ndarray
    onsets: np.ndarray
    velocities: np.ndarray


def batches(corpus: Corpus, size: int) -> Iterator[Batch]:
    """Batches, made ahead by a thread of their own."""
    queue: Queue[Batch] = Queue(4)

    def work() -> None:
        count = 0
        while True:
            queue.put(Batch(*corpus.batch(size)))
            count += 1
            if count % 200 == 0:
                corpus.refresh()

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield queue.get()


def _shipped() -> dict[str, Any]:
    """The weights that ship, by the names of the net in training."""
    import torch

    from models.drums import weights

    names = {
        "conv_s.w": "conv_s.weight", "conv_s.b": "conv_s.bias", "conv_l.w": "conv_l.weight", "conv_l.b": "conv_l.bias",
        "dense.w": "dense.weight", "dense.b": "dense.bias", "conv_t.w": "conv_t.weight", "conv_t.b": "conv_t.bias",
        "gru.w_ih": "gru.weight_ih_l0", "gru.w_hh": "gru.weight_hh_l0", "gru.b_ih": "gru.bias_ih_l0",
        "gru.b_hh": "gru.bias_hh_l0", "mu": "mu", "sd": "sd",
    }  # fmt: skip
    arrays = weights()
    state = {ours: torch.tensor(arrays[theirs]) for theirs, ours in names.items()}
    state["head.weight"] = torch.tensor(arrays["head.w"]).flatten(0, 1)
    state["head.bias"] = torch.tensor(arrays["head.b"]).flatten()
    return state


def train(
    work: Path,
    steps: int,
    size: int,
    rate: float,
    seed: int,
    device: str,
    name: str,
    minutes: float,
    warm: bool,
) -> None:
    """Fit the net; a checkpoint every 200 steps."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as entropy

    from models.train.drumnet import DETECT, LAGS, DrumNet

    torch.manual_seed(seed)
    path = work / f"{name}.pt"
    net = DrumNet().to(device)
    average = DrumNet().to(device).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    done = 0
    if path.exists():
        saved = torch.load(path, weights_only=True, map_location=device)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        done = saved["done"]
    elif warm:
        net.load_state_dict(_shipped())
    corpus = Corpus(work, seed + done)
    print(
        f"{len(corpus.drums) * SECONDS / 3600:.1f} h, {sum(p.numel() for p in net.parameters())} weights",
        flush=True,
    )
    if done == 0:
        if not warm:
            x = np.concatenate([corpus.batch(32)[0] for _ in range(6)]).reshape(-1, INPUTS)
            net.mu[:], net.sd[:] = torch.tensor(x.mean(0)), torch.tensor(x.std(0) + 0.1)
        average.load_state_dict(net.state_dict())
    labels = torch.tensor(FAMILY_OF_LABEL, device=device)
    weight = torch.full((DETECT,), 2.5, device=device)
    rarity = torch.tensor(corpus.rarity(), device=device)
    began, start, running = time.time(), done, np.zeros(3)
    for batch in batches(corpus, size):
        share = max(done / steps, (time.time() - began) / 60 / minutes if minutes else 0)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = float(rate * min(1, done / 200 + 0.02) * (0.5 + 0.5 * np.cos(np.pi * share) + 0.01))
        y = net(torch.from_numpy(batch.x).to(device))[:, WARM:]
        onsets = torch.from_numpy(batch.onsets).to(device)
        velocity = torch.from_numpy(batch.velocities).to(device)
        losses: list[Any] = [0.0, 0.0, 0.0]
        for i, lag in enumerate(LAGS):
            target, known, name_known, names, hard = targets(onsets, velocity, lag, rarity)
            out = y[:, :, i]
            losses[0] += entropy(
                out[..., :DETECT], target[:, WARM:], weight=known[:, WARM:], pos_weight=weight
            )
            named = name_known[:, WARM:][..., labels]
            raw = entropy(out[..., DETECT : -len(FAMILIES)], names[:, WARM:], reduction="none")
            losses[1] += (raw * named).sum() / named.sum().clamp(min=1)
            struck = hard[:, WARM:] > 0
            losses[2] += (
                (out[..., -len(FAMILIES) :] - hard[:, WARM:]) ** 2 * struck
            ).sum() / struck.sum().clamp(min=1)
        loss = losses[0] + 0.06 * losses[1] + 0.3 * losses[2]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        done += 1
        with torch.no_grad():
            keep = min(0.999, done / (done + 20))
            for mean, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                mean.lerp_(new, 1 - keep)
        running += [loss.item() for loss in losses]
        if done % 50 == 0:
            speed = (time.time() - began) / (done - start)
            print(
                f"{done} of {steps}, {speed:.2f} s a step, losses {(running / 50 / len(LAGS)).round(5)}",
                flush=True,
            )
            running[:] = 0
        if done % 200 == 0:
            _save(path, net, average, optimiser, done)
    _save(path, net, average, optimiser, done)


def _save(path: Path, net, average, optimiser, done: int) -> None:  # type: ignore[no-untyped-def]
    import torch

    state = {
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "done": done,
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def targets(onsets, velocity, lag: int, rarity):  # type: ignore[no-untyped-def]
    """What the head of `lag` shall say: yes `lag` frames after an onset and one more; what lies beside is not judged.

    Returns detection (families and metal) and where it is judged, what labels weigh where they are
    known, by family, labels, velocities.
    """
    import torch

    count = len(LABELS)
    families = onsets[..., count:]
    metal = families[..., list(METAL)].amax(-1, keepdim=True)
    hidden = torch.cat([families, families[..., list(METAL)].amin(-1, keepdim=True)], -1) < 0
    struck = torch.cat([families, metal], -1) > 0

    def later(x, frames: int):  # type: ignore[no-untyped-def]
        if frames == 0:
            return x
        moved = torch.zeros_like(x)
        moved[:, frames:] = x[:, :-frames]
        return moved

    on = later(struck, lag) | later(struck, lag + 1)
    beside = later(struck, lag + 2) | later(struck, lag + 3)
    beside |= later(hidden, lag) | later(hidden, lag + 1) | later(hidden, lag + 2)
    if lag > 1:
        beside |= later(struck, lag - 1)
    names = later(onsets[..., :count] > 0, lag) | later(onsets[..., :count] > 0, lag + 1)
    labelled = torch.zeros_like(struck[..., : len(FAMILIES)], dtype=torch.float32)
    for family in range(len(FAMILIES)):
        rows = [i for i, f in enumerate(FAMILY_OF_LABEL) if f == family]
        labelled[..., family] = (names[..., rows] * rarity[rows]).amax(-1)
    hard = torch.maximum(later(velocity, lag), later(velocity, lag + 1))
    return on.float(), (~beside | on).float(), labelled, names.float(), hard


def render_test(data: Path, out: Path, count: int, harsh: bool) -> None:
    """Performances of drummers never trained on, played on kits never trained on, with their annotation."""
    import soundfile as sf

    out.mkdir(parents=True, exist_ok=True)
    kits = shelf(None, held_out=True)
    homes = sorted(set(kits["snare"]) | (set(kits["hat-closed"]) & set(kits["kick"])))
    for i in range(count):
        rng = np.random.default_rng([2, i])
        played = next(performances(data / "midi" / "groove.zip", rng, test=True))
        sound, hits = render(
            rearranged(played, rng), kits, rng, plain=True, harsh=harsh, kit=homes[i % len(homes)]
        )
        sf.write(out / f"{i:03d}.flac", sound, RATE)
        rows = [f"{h['start'] / RATE:.6f}\t{PIECES[h['piece']]}\t{h['velocity']:.3f}" for h in hits]
        (out / f"{i:03d}.txt").write_text("\n".join(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("render")
    task.add_argument("data", type=Path)
    task.add_argument("work", type=Path)
    task.add_argument("--hours", type=float, default=8)
    task.add_argument("--part", type=int, default=0)
    task.add_argument("--of", type=int, default=1)
    task = tasks.add_parser("train")
    task.add_argument("work", type=Path)
    task.add_argument("--steps", type=int, default=8000)
    task.add_argument("--minutes", type=float, default=0, help="end by then, whatever the steps")
    task.add_argument("--batch", type=int, default=32)
    task.add_argument("--rate", type=float, default=2e-3)
    task.add_argument("--seed", type=int, default=1)
    task.add_argument("--device", default="cpu")
    task.add_argument("--warm", action="store_true", help="begin with the weights that ship")
    task.add_argument("--name", default="drums")
    task = tasks.add_parser("export")
    task.add_argument("work", type=Path)
    task.add_argument("--real", type=Path, help="songs to set the thresholds by")
    task.add_argument("--name", default="drums")
    task = tasks.add_parser("test")
    task.add_argument("data", type=Path)
    task.add_argument("out", type=Path)
    task.add_argument("--count", type=int, default=40)
    task.add_argument("--harsh", action="store_true", help="through a bad day at the desk as well")
    args = parser.parse_args()
    if args.task == "render":
        render_shards(args.data, args.work, args.hours, args.part, args.of)
    elif args.task == "train":
        train(
            args.work,
            args.steps,
            args.batch,
            args.rate,
            args.seed,
            args.device,
            args.name,
            args.minutes,
            args.warm,
        )
    elif args.task == "test":
        render_test(args.data, args.out, args.count, args.harsh)
    else:
        from models.train.export import export

        export(args.work, args.name, args.real)


if __name__ == "__main__":
    main()
