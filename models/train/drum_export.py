# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained drum ear as it ships: ONNX, the same weights as arrays, a golden pair, and sums of all."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numba import njit

from dsp.bands import BANDS, FRAME, INPUTS, relate
from dsp.events import LABELS
from models.train.drum_corpus import FRAMES, TIME, Corpus
from models.train.drumnet import DENSE, HIDDEN, LAGS, OUTPUTS, PAST, DrumNet, Streaming
from models.train.fit import averaged
from models.train.seal import seal

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 250  # frames of the golden pair
AT = 2  # row of LAGS at which kits are learnt


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


def mean_of(nets: list[DrumNet]) -> DrumNet:
    """The mean of nets that began with the same weights: surer than each, and no larger."""
    with torch.no_grad():
        for parts in zip(*(net.state_dict().values() for net in nets), strict=True):
            parts[0].copy_(torch.stack(parts).mean(0))
    return nets[0]


def export(work: Path, names: list[str]) -> None:
    """Write `models/weights/drums.*` from a checkpoint, or the mean of several."""
    WEIGHTS.mkdir(exist_ok=True)
    net = mean_of([averaged(work / f"{name}.pt", DrumNet()) for name in names])
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
