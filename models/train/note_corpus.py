# SPDX-License-Identifier: GPL-3.0-or-later
"""What the note ear learns from: rendered scenes as powers of the bins it hears, spoilt anew in every batch.

What a recording does to a scene is done to the powers: another scene under it, drums or talk, equaliser,
bandwidth, noise, gain.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from dsp.tones import BINS, CHANNELS, FRAME, PITCHES, WINDOWS, relate, tones_of
from dsp.units import RATE
from models.train.scenes import NOTE, composer, noise
from models.train.studio import SECONDS, performances

FRAMES = SECONDS * RATE // FRAME  # of one scene
SCENES, NOISES = 9, 5  # of a shard
TIME, PRE = 600, 80  # frames of an example, those only heard before
ANEW = 50  # batches after which new shards are looked for
DENSE = 250  # notes of a scene from which it is drawn less often
FLOOR = np.float32(1e-11)
LOWEST = 21  # MIDI number of the first pitch
HZ = 27.5 * 2 ** ((np.arange(BINS) - 1) / 36)


def powers(x: np.ndarray) -> np.ndarray:
    """log10 of the powers of each frame, shape (frames, WINDOWS, BINS)."""
    return np.log10(tones_of(x) + FLOOR).astype(np.float16)


def render_shards(data: Path, work: Path, hours: float, seed: int, part: int, of: int) -> None:
    """Write this part's share of a corpus, another with each seed; shards that are there already stay."""
    work.mkdir(parents=True, exist_ok=True)
    author = composer(data, work, part)
    shards = int(np.ceil(hours * 3600 / (SCENES * SECONDS)))
    for shard in range(part, shards, of):
        path = work / f"notes_{shard:04d}.npy"
        if path.exists():
            continue
        rng, began = np.random.default_rng([seed, shard]), time.time()
        author.plays = performances(data / "midi" / "groove.zip", rng)
        heard: list[np.ndarray] = []
        truth = []
        while len(heard) < SCENES:
            sound, notes = author.scene(rng)
            if len(notes) > 3 and np.isfinite(sound).all():
                heard.append(powers(sound))
                truth.append(notes)
        heard += [powers(noise(author, rng)) for _ in range(NOISES)]
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
    velocity: np.ndarray  # (notes,) harder or softer than the middle of the scene, which is 0.5


class Batch(NamedTuple):
    x: np.ndarray  # (size, TIME, CHANNELS, BINS)
    struck: np.ndarray  # (size, TIME, PITCHES) velocity of the note that begins in this frame, or 0
    sounding: np.ndarray  # (size, TIME, PITCHES) bool


class Corpus:
    """All shards, and batches drawn from them, of which a share of `silent` holds no note."""

    def __init__(self, work: Path, seed: int, silent: float = 0.16) -> None:
        self.silent = silent
        self.scenes: list[Scene] = []
        self.noises: list[np.ndarray] = []
        self.rng = np.random.default_rng(seed)
        white = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
        self.white = (10 ** powers(white).astype(np.float32)[40:]).mean(0)
        self._work, self._known, self._drawn = work, set[Path](), 0
        self.refresh()

    def refresh(self) -> None:
        """Take in the shards that are new."""
        for path in sorted(self._work.glob("notes_????.npy")):
            if path in self._known:
                continue
            heard = np.load(path, mmap_mode="r")
            with np.load(path.with_name(path.stem.replace("notes", "truth") + ".npz")) as file:
                counts = file["counts"]
                truths = np.split(file["truth"], np.cumsum(counts)[:-1]) if len(counts) else []
            for one, truth in zip(heard, truths, strict=False):
                assert truth.dtype == NOTE
                frames, ends = truth["start"] // FRAME, truth["end"] // FRAME
                hard = np.clip(truth["velocity"] - truth["velocity"].mean() + 0.5, 0.02, 0.98)
                self.scenes.append(Scene(one, frames, ends, truth["pitch"] - LOWEST, hard))
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
        scene = self.scenes[rng.integers(len(self.scenes))]
        while rng.random() > DENSE / max(len(scene.onset), 1):
            scene = self.scenes[rng.integers(len(self.scenes))]
        start = int(rng.integers(0, FRAMES - span))
        heard = scene.heard[start : start + span].astype(np.float32)
        up = int(rng.integers(-3, 4)) if rng.random() < 0.6 else 0
        if up:
            heard = np.roll(heard, 3 * up, 2)
            heard[..., : 3 * max(up, 0)] = np.log10(FLOOR)
            heard[..., BINS + 3 * min(up, 0) :] = np.log10(FLOOR)
            scene = scene._replace(pitch=scene.pitch + up)
        return scene, start, heard

    def batch(self, size: int) -> Batch:
        self._drawn += 1
        if self._drawn % ANEW == 0:
            self.refresh()
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
            silent = rng.random() < self.silent  # only what is no note
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
                (hiss * ends * gain).astype(np.float32), rng, pre, out.x[row],
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
def _example(heard, gain, beside, under, disturb, over, hiss, rng, pre, out):  # type: ignore[no-untyped-def]
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
                    draw = rng.random() + 1e-9
                    power[w, k] -= hiss[w, k] * np.float32(np.log(draw))
        relate(power, follower, past, inputs)
        if t >= pre:
            out[t - pre] = inputs
