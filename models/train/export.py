# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained drum ear as it ships: ONNX, the same weights as arrays, a golden pair, and sums of all."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import mir_eval
import numpy as np
import soundfile as sf
import soxr
import torch
from numba import njit

from dsp.bands import BANDS, FRAME, INPUTS, bands_state, bands_step, relate
from dsp.events import LABELS
from dsp.units import HOP, RATE
from models.train.drumnet import DENSE, DETECT, HIDDEN, LAGS, OUTPUTS, PAST, DrumNet, Streaming
from models.train.drums import FRAMES, TIME, Corpus
from models.train.studio import FAMILIES

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 250  # frames of the golden pair
AT = 2  # row of LAGS at which kits are learnt
GRID = np.concatenate([np.arange(0.05, 0.3, 0.025), np.arange(0.3, 0.96, 0.05)])
FIVE = FAMILIES[:-1]
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


def thresholds(net: DrumNet, songs: Path) -> np.ndarray:
    """Where each family of each lag is believed, shape (lags, DETECT): the best micro F on drums and mixes."""
    found = np.full((len(LAGS), DETECT), 0.5, np.float32)
    counts = np.zeros((len(LAGS), len(FIVE), len(GRID), 3))
    for path in sorted(songs.glob("*/drums.flac")) + sorted(songs.glob("*/mix.flac")):
        rows = [line.split() for line in (path.parent / "class.txt").read_text().splitlines() if line.strip()]
        x, rate = sf.read(path, dtype="float32", always_2d=True)
        with torch.no_grad():
            y = torch.sigmoid(net(torch.from_numpy(inputs_of(soxr.resample(x.mean(1), rate, RATE)))[None])[0])
        p = y.numpy()
        frames = np.zeros(len(p), np.int64)
        for i, lag in enumerate(LAGS):
            for j, family in enumerate(FIVE):
                known = np.unique([float(time) for time, word in rows if MDB.get(word) == family])
                for g, threshold in enumerate(GRID):
                    n = _crossings(np.ascontiguousarray(p[:, i, j]), threshold, frames)
                    said = (frames[:n] + 0.5 - lag) * FRAME / RATE
                    hits = len(mir_eval.util.match_events(known, said, 0.05)) if n and len(known) else 0
                    counts[i, j, g] += hits, n - hits, len(known) - hits
    for i in range(len(LAGS)):
        chosen = [len(GRID) // 2] * len(FIVE)
        for _ in range(4):
            for j in range(len(FIVE)):
                rest = sum(counts[i, k, chosen[k]] for k in range(len(FIVE)) if k != j)
                hit, extra, missed = (rest + counts[i, j]).T
                f = 2 * hit / np.maximum(2 * hit + extra + missed, 1)
                chosen[j] = int(np.argmax(np.convolve(np.pad(f, 2, mode="edge"), np.ones(5) / 5, "valid")))
        found[i, : len(FIVE)] = GRID[chosen]
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
    net = DrumNet()
    net.load_state_dict(torch.load(work / f"{name}.pt", weights_only=False, map_location="cpu")["average"])
    net.eval()
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
    files = ("drums.npz", "drums.onnx", "drums.golden.npz")
    sums = [f"{hashlib.sha256((WEIGHTS / file).read_bytes()).hexdigest()}  {file}\n" for file in files]
    (WEIGHTS / "SHA256SUMS").write_text("".join(sums))
    print(f"thresholds\n{arrays['threshold'].round(3)}")
