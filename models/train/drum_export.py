# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained drum ear as it ships: ONNX, the same weights as arrays, a golden pair, and sums of all."""

from pathlib import Path
from typing import Any, NamedTuple

import mir_eval
import numpy as np
import soundfile as sf
import soxr
import torch
from numba import njit
from scipy.ndimage import uniform_filter

from dsp.bands import BANDS, FRAME, INPUTS, bands_state, bands_step, relate
from dsp.events import LABELS
from dsp.units import HOP, RATE
from models.train.drum_corpus import FRAMES, TIME, Corpus
from models.train.drumnet import DENSE, DETECT, HIDDEN, LAGS, OUTPUTS, PAST, DrumNet, Streaming
from models.train.drums import METAL
from models.train.fit import averaged
from models.train.seal import seal
from models.train.studio import FAMILIES

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 250  # frames of the golden pair
AT = 2  # row of LAGS at which kits are learnt
GRID = np.concatenate([np.arange(0.1, 0.3, 0.05), np.arange(0.3, 0.96, 0.05)])
FIVE = FAMILIES[:-1]
FEW = 0.6  # threshold of what real songs at hand hardly have
MDB = {"KD": "kick", "SD": "snare", "HH": "hat", "TT": "tom", "CY": "cymbal"}
REARM, REFRACTORY = 0.7, round(0.048 * RATE / FRAME)


@njit(cache=False)
def _related(powers, out):  # type: ignore[no-untyped-def]
    follower, mean = np.zeros(2, np.float32), np.zeros(BANDS, np.float32)
    for t in range(len(powers)):
        relate(powers[t], follower, mean, out[t])


def related(powers: np.ndarray) -> np.ndarray:
    """Inputs of the net from the powers of all frames."""
    out = np.zeros((len(powers), INPUTS), np.float32)
    _related(powers.astype(np.float32), out)
    return out


def inputs_of(x: np.ndarray) -> np.ndarray:
    """What the net is given of audio at 48 kHz, shape (frames, INPUTS)."""
    out = np.zeros((len(x) // FRAME, INPUTS), np.float32)
    bands_step(bands_state(), x[: len(x) // HOP * HOP].reshape(-1, HOP).astype(np.float32), out)
    return out


@njit(cache=False)
def _crossings(p, threshold, out):  # type: ignore[no-untyped-def]
    """Frames at which p climbs through the threshold; how many."""
    n, armed, last = 0, True, -1000
    for t in range(len(p)):
        if armed and p[t] >= threshold:
            armed = False
            if t - last >= REFRACTORY:
                out[n], last = t, t
                n += 1
        elif p[t] < REARM * threshold:
            armed = True
    return n


class Song(NamedTuple):
    likely: np.ndarray  # (frames, lags, DETECT)
    struck: dict[str, np.ndarray]  # times of each family [s]


def songs_of(net: DrumNet, folder: Path) -> list[Song]:
    """Real songs laid out as MDB Drums: drums alone and whole mixes."""
    found = []
    for path in sorted(folder.glob("*/drums.flac")) + sorted(folder.glob("*/mix.flac")):
        rows = [line.split() for line in (path.parent / "class.txt").read_text().splitlines() if line.strip()]
        struck = {f: np.unique([float(t) for t, word in rows if MDB.get(word) == f]) for f in FIVE}
        x, rate = sf.read(path, dtype="float32", always_2d=True)
        with torch.no_grad():
            y = torch.sigmoid(net(torch.from_numpy(inputs_of(soxr.resample(x.mean(1), rate, RATE)))[None])[0])
        found.append(Song(y[..., :DETECT].numpy(), struck))
    return found


def _counts(known: np.ndarray, frames: np.ndarray, lag: int) -> np.ndarray:
    """Hits, extra, missed."""
    said = (frames + 0.5 - lag) * FRAME / RATE
    hits = len(mir_eval.util.match_events(known, said, 0.05)) if len(said) and len(known) else 0
    return np.array([hits, len(said) - hits, len(known) - hits])


def _odds(p: Any) -> Any:
    return p / (1 - p + 1e-9)


def _tally(songs: list[Song], row: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each family but the metal, (families, grid, 3), and of hat and cymbal together, (grid, grid, 3)."""
    alone, metal = np.zeros((len(FIVE), len(GRID), 3)), np.zeros((len(GRID), len(GRID), 3))
    work = np.zeros(100_000, np.int64)
    for song in songs:
        p = np.ascontiguousarray(song.likely[:, row])
        for j, family in enumerate(FIVE):
            for g, threshold in enumerate(GRID) if j not in METAL else ():
                n = _crossings(np.ascontiguousarray(p[:, j]), threshold, work)
                alone[j, g] += _counts(song.struck[family], work[:n], LAGS[row])
        # One hand plays the metal: what is further beyond its threshold speaks for both.
        for g, hat in enumerate(GRID):
            for h, cymbal in enumerate(GRID):
                beyond = np.stack(
                    [_odds(p[:, j]) / _odds(np.float64(t)) for j, t in zip(METAL, (hat, cymbal), strict=True)]
                )
                winner = beyond.argmax(0)
                best = beyond.max(0)
                n = _crossings(best / (1 + best), 0.5, work)
                for k, j in enumerate(METAL):
                    frames = work[:n][winner[work[:n]] == k]
                    metal[g, h] += _counts(song.struck[FIVE[j]], frames, LAGS[row])
    return alone, metal


def thresholds(net: DrumNet, folder: Path) -> np.ndarray:
    """Where each family of each lag is believed, shape (lags, DETECT): the best micro F, drums and mixes together."""
    songs = songs_of(net, folder)
    found = np.full((len(LAGS), DETECT), 0.5, np.float32)
    for row in range(len(LAGS)):
        alone, metal = _tally(songs, row)
        chosen = [len(GRID) // 2] * len(FIVE)
        pair: Any = (len(GRID) // 2, len(GRID) // 2)

        def f(counts: np.ndarray) -> np.ndarray:
            hit, extra, missed = np.moveaxis(counts, -1, 0)
            return uniform_filter(2 * hit / np.maximum(2 * hit + extra + missed, 1), 3, mode="nearest")

        for _ in range(4):
            sums = {j: alone[j, chosen[j]] for j in range(len(FIVE)) if j not in METAL}
            for j in sums:
                rest = sum(v for k, v in sums.items() if k != j) + metal[pair]
                chosen[j] = int(np.argmax(f(rest + alone[j])))
                sums[j] = alone[j, chosen[j]]
            pair = np.unravel_index(int(np.argmax(f(sum(sums.values()) + metal))), metal.shape[:2])
        found[row, : len(FIVE)] = GRID[chosen]
        found[row, list(METAL)] = GRID[list(pair)]
        found[row, FIVE.index("tom")] = FEW  # too few are struck there to tell
        total = sum(alone[j, chosen[j]] for j in range(len(FIVE)) if j not in METAL) + metal[pair]
        print(f"lag {LAGS[row]}: F {2 * total[0] / (2 * total[0] + total[1] + total[2]):.3f}", flush=True)
    return found


class Strokes(NamedTuple):
    """What the net knows of strokes as they are decided."""

    embeddings: np.ndarray  # (n, HIDDEN + DENSE)
    labels: np.ndarray  # (n,)
    sounds: np.ndarray  # (n,) the same number: the same piece of the same kit


def strokes(net: DrumNet, corpus: Corpus, performances: int = 150) -> Strokes:
    """Labelled strokes of rendered performances, drums alone, at the lag of most decisions."""
    embeddings, labels, sounds = [], [], []
    for i in corpus.rng.permutation(len(corpus.drums))[:performances]:
        truth = corpus.truth[i]
        truth = truth[(truth["label"] >= 0) & (truth["start"] // FRAME + LAGS[AT] < FRAMES)]
        inputs = related(10 ** corpus.drums[i].astype(np.float32) * corpus.colour(0.3))
        with torch.no_grad():
            known = net.embed(torch.from_numpy(inputs)[None])[0].numpy()
        embeddings.append(known[truth["start"] // FRAME + LAGS[AT]])
        labels.append(truth["label"])
        sounds.append(1000 * int(i) + truth["piece"].astype(np.int64))
    return Strokes(np.concatenate(embeddings), np.concatenate(labels), np.concatenate(sounds))


def timbre(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Projection of an embedding onto the plane, (2, HIDDEN + DENSE) and (2,): most strokes within 0..1."""
    mean, spread = points.mean(0), points.std(0) + 1e-3
    axes = np.linalg.svd((points - mean) / spread, full_matrices=False)[2][:2]
    flat = (points - mean) / spread @ axes.T
    low, high = np.percentile(flat, [2, 98], axis=0)
    weights = axes / spread / (high - low)[:, None]
    return weights.astype(np.float32), (-low / (high - low) - weights @ mean).astype(np.float32)


def prior(heard: Strokes) -> tuple[np.ndarray, np.ndarray]:
    """How strokes of one sound spread, (n, n), and the mean of each label, (labels, n)."""
    points = heard.embeddings.astype(np.float64)
    spread, freedom = np.zeros((points.shape[1],) * 2), 0
    for sound in np.unique(heard.sounds):
        same = points[heard.sounds == sound]
        if len(same) > 2:
            spread += (same - same.mean(0)).T @ (same - same.mean(0))
            freedom += len(same) - 1
    means = [
        points[heard.labels == row].mean(0) if (heard.labels == row).any() else points.mean(0)
        for row in range(len(LABELS))
    ]
    return (spread / max(freedom, 1)).astype(np.float32), np.stack(means).astype(np.float32)


def export(work: Path, name: str, real: Path | None) -> None:
    """Write `models/weights/drums.*` from a checkpoint."""
    WEIGHTS.mkdir(exist_ok=True)
    net = averaged(work / f"{name}.pt", DrumNet())
    corpus = Corpus(work, 99)
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    arrays = {
        "mu": state["mu"], "sd": state["sd"],
        "conv_s.w": state["conv_s.weight"], "conv_s.b": state["conv_s.bias"],
        "conv_l.w": state["conv_l.weight"], "conv_l.b": state["conv_l.bias"],
        "dense.w": state["dense.weight"], "dense.b": state["dense.bias"],
        "conv_t.w": state["conv_t.weight"], "conv_t.b": state["conv_t.bias"],
        "gru.w_ih": state["gru.weight_ih_l0"], "gru.w_hh": state["gru.weight_hh_l0"],
        "gru.b_ih": state["gru.bias_ih_l0"], "gru.b_hh": state["gru.bias_hh_l0"],
        "head.w": state["head.weight"].reshape(len(LAGS), OUTPUTS, -1),
        "head.b": state["head.bias"].reshape(len(LAGS), OUTPUTS),
        "lags": np.array(LAGS, np.int64),
        "threshold": thresholds(net, real) if real else np.full((len(LAGS), DETECT), 0.5, np.float32),
    }  # fmt: skip
    heard = strokes(net, corpus)
    arrays["xy.w"], arrays["xy.b"] = timbre(heard.embeddings)
    arrays["kit.cov"], arrays["kit.mean"] = prior(heard)
    np.savez(WEIGHTS / "drums.npz", **arrays)
    streaming = Streaming(net).eval()
    memory = [torch.zeros(PAST - 1, INPUTS), torch.zeros(PAST - 1, DENSE), torch.zeros(1, HIDDEN)]
    torch.onnx.export(
        streaming, (torch.zeros(1, INPUTS), *memory), str(WEIGHTS / "drums.onnx"), dynamo=False,
        input_names=["x", "frames", "dense", "hidden"], output_names=["y", "frames_", "dense_", "hidden_"],
    )  # fmt: skip
    streaming.eval()  # the exporter may leave it training
    x = np.concatenate(list(corpus.batch(-(-GOLDEN // TIME))[0]))[:GOLDEN]
    y = []
    with torch.no_grad():
        for frame in x:
            out, *memory = streaming(torch.from_numpy(frame[None]), *memory)
            y.append(out.numpy()[0])
    np.savez(WEIGHTS / "drums.golden.npz", x=x, y=np.stack(y))
    seal(WEIGHTS, ("drums.npz", "drums.onnx", "drums.golden.npz"))
    print(f"thresholds\n{arrays['threshold'].round(3)}")
