# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drum ear learns from: rendered performances as band powers, spoilt anew in every batch.

Drums and music are kept apart. What a recording does to both is done to the powers: balance, equaliser,
bandwidth, compressor, noise, gain.
"""

from pathlib import Path

import numpy as np
from numba import njit

from dsp.bands import BANDS, FRAME, INPUTS, band_frequencies, bands_hop, bands_state, relate
from dsp.events import LABELS
from dsp.units import HOP, RATE
from models.train.backing import Songbook, backing
from models.train.kits import shelf
from models.train.studio import FAMILIES, SECONDS, apart, performances, rearranged, render

FRAMES = SECONDS * RATE // FRAME  # of one performance
PER_SHARD = 12  # performances, each on two kits
# Frames of an example, so many that what was heard tells of the kit; and of what is only heard before it.
TIME, PRE = 1250, 400
ANEW = 200  # batches after which new shards are looked for
HISS = 30  # seconds of noise that all examples draw from
WHITE = 0.4  # share of noisy examples whose noise is as it was drawn; the others' is tilted
FLOOR = np.float32(1e-10)


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


def render_shards(data: Path, work: Path, hours: float, seed: int, part: int, of: int) -> None:
    """Write this part's share of a corpus, another with each seed; shards that are there already stay."""
    work.mkdir(parents=True, exist_ok=True)
    kits = shelf(data / "drums" / "oneshots")
    songbook = Songbook(data / "midi" / "pop909.zip")
    shards = int(np.ceil(hours * 3600 / (2 * PER_SHARD * SECONDS)))
    for shard in range(part, shards, of):
        path = work / f"shard_{shard:04d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, shard])
        plays = performances(data / "midi" / "groove.zip", rng)
        drums, music, truth = [], [], []
        for _ in range(PER_SHARD):
            played = next(plays)
            for _ in range(2):
                sound, hits = render(apart(rearranged(played, rng), rng), kits, rng)
                drums.append(powers(sound))
                truth.append(hits)
            music.append(powers(backing(songbook, played.beat, played.downbeat, rng)))
        counts = np.array([len(t) for t in truth])
        partial = path.with_suffix(".part.npz")
        np.savez(partial, drums=drums, music=music, truth=np.concatenate(truth), counts=counts)
        partial.rename(path)
        print(f"shard {shard} of {shards}", flush=True)


class Corpus:
    """All shards, and batches drawn from them, in examples of so many frames."""

    def __init__(self, work: Path, seed: int, frames: int = TIME) -> None:
        self.frames = frames
        self.drums: list[np.ndarray] = []  # (FRAMES, BANDS) each
        self.music: list[np.ndarray] = []
        self.backing_of: list[int] = []
        self.truth: list[np.ndarray] = []
        self.rng = np.random.default_rng(seed)
        self.hz = band_frequencies()
        noise = np.random.default_rng(0).standard_normal(HISS * RATE).astype(np.float32)
        self.white = 10 ** powers(noise)[20:].astype(np.float32)
        self._work, self._known, self._drawn = work, set[Path](), 0
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
        """Inputs (size, frames, INPUTS), onsets (size, frames, labels + families) 1 / 0 / -1 unknown, velocities."""
        self._drawn += 1
        if self._drawn % ANEW == 0:
            self.refresh()
        rng, span = self.rng, self.frames
        x = np.empty((size, span, INPUTS), np.float32)
        onsets = np.zeros((size, span, len(LABELS) + len(FAMILIES)), np.int8)
        velocities = np.zeros((size, span, len(FAMILIES)), np.float32)
        for row in range(size):
            i = int(rng.integers(len(self.drums)))
            pre = int(rng.integers(0, PRE)) if rng.random() < 0.9 else 0
            start = int(rng.integers(0, FRAMES - span - pre))
            drums = self.drums[i][start : start + pre + span].astype(np.float32)
            music = np.full_like(drums, -10)
            drum_power = float((10**drums).sum(1).mean()) + 1e-9
            loud = 0.0
            draw = rng.random()
            if draw < 0.62:
                if draw < 0.42:
                    j, at = self.backing_of[i], start
                else:
                    j, at = int(rng.integers(len(self.music))), int(rng.integers(0, FRAMES - span - pre))
                music = self.music[j][at : at + pre + span].astype(np.float32)
                loud = drum_power / (float((10**music).sum(1).mean()) + 1e-9) * 10 ** rng.uniform(-1.4, 0.9)
            silent = loud > 0 and rng.random() < 0.04  # only music
            first = int(rng.integers(0, len(self.white) - span - pre))
            noise, noise_gain = self.white[first : first + pre + span], np.zeros(BANDS)
            if rng.random() < 0.5:
                noise_gain = (self.hz / 1000) ** (0 if rng.random() < WHITE else rng.uniform(-1.5, 0.2))
                noise_gain *= drum_power * 10 ** rng.uniform(-5.5, -0.9) / (noise @ noise_gain).mean()
            ends = self.bandwidth()
            gain = drum_power and 10 ** rng.uniform(-4.2, 0.2) / drum_power * 0.05
            threshold, ratio, release = np.inf, 1.0, 0.1
            if rng.random() < 0.3:
                threshold, ratio, release = (
                    drum_power * gain * 10 ** rng.uniform(-1, 1),
                    rng.uniform(1.5, 6),
                    rng.uniform(0.05, 0.4),
                )
            told = np.zeros(pre + span, np.float32)
            _example(
                drums, music, self.colour(0.35) * ends * np.float32(1e-9 if silent else gain),
                self.colour(0.35) * ends * np.float32(loud * gain),
                noise, (noise_gain * ends * gain).astype(np.float32),
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
        inside = (frames >= 0) & (frames < len(onsets))
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
def _example(
    drums, music, drum_gain, music_gain, noise, noise_gain, threshold, ratio, release, pre, told, out
):  # type: ignore[no-untyped-def]
    """Mix the powers, press them, and relate them as the ear does; `told` is the drums' best share of a band."""
    power, follower = np.zeros(BANDS, np.float32), np.zeros(2, np.float32)
    mean, inputs = np.zeros(BANDS, np.float32), np.zeros(INPUTS, np.float32)
    level = 0.0
    fall = np.exp(-FRAME / RATE / release)
    for t in range(len(drums)):
        total, best = 0.0, 0.0
        for k in range(BANDS):
            d = np.exp(2.302585093 * drums[t, k]) * drum_gain[k]
            m = np.exp(2.302585093 * music[t, k]) * music_gain[k] + noise[t, k] * noise_gain[k]
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
