# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained drum ear as it ships: ONNX, the same weights as arrays, a golden pair, and sums of all."""

import hashlib
from pathlib import Path

import mir_eval
import numpy as np
import soundfile as sf
import soxr
import torch
from numba import njit

from dsp.bands import FRAME, INPUTS, bands_state, bands_step
from dsp.units import HOP, RATE
from models.train.drumnet import DENSE, DETECT, HIDDEN, LAGS, OUTPUTS, PAST, DrumNet, Streaming
from models.train.drums import TIME, Corpus
from models.train.studio import FAMILIES

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 250  # frames of the golden pair
GRID = np.concatenate([np.arange(0.05, 0.3, 0.025), np.arange(0.3, 0.96, 0.05)])
FIVE = FAMILIES[:-1]
MDB = {"KD": "kick", "SD": "snare", "HH": "hat", "TT": "tom", "CY": "cymbal"}
REARM, REFRACTORY = 0.7, round(0.048 * RATE / FRAME)


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


def timbre(net: DrumNet, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Projection of an embedding onto the plane, (2, HIDDEN + DENSE) and (2,): most hits within 0..1."""
    seen = []
    for _ in range(12):
        x, onsets, _ = corpus.batch(32)
        with torch.no_grad():
            e = net.embed(torch.from_numpy(x)).numpy()
        struck: np.ndarray = np.any(onsets[:, :-3, -len(FAMILIES) :] > 0, axis=-1)
        rows, frames = np.nonzero(struck)
        seen.append(e[rows, frames + 2])
    points = np.concatenate(seen)
    mean, spread = points.mean(0), points.std(0) + 1e-3
    axes = np.linalg.svd((points - mean) / spread, full_matrices=False)[2][:2]
    flat = (points - mean) / spread @ axes.T
    low, high = np.percentile(flat, [2, 98], axis=0)
    weights = axes / spread / (high - low)[:, None]
    return weights.astype(np.float32), (-low / (high - low) - weights @ mean).astype(np.float32)


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
    arrays["xy.w"], arrays["xy.b"] = timbre(net, corpus)
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
    (WEIGHTS / "drums.sha256").write_text("".join(sums))
    print(f"thresholds\n{arrays['threshold'].round(3)}")
