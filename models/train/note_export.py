# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained note ear as it ships: ONNX, the same weights as arrays, a golden pair, and their sums."""

from pathlib import Path

import numpy as np
import torch

from dsp.tones import BINS, CHANNELS, PITCHES
from models.train.fit import averaged
from models.train.note_corpus import TIME, Corpus
from models.train.notenet import HIDDEN, LAGS, PAST, WIDE, NoteNet, Streaming, arrays_of
from models.train.seal import seal
from models.train.touch import fitted

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
GOLDEN = 100  # frames of the golden pair
OVER = 0.5  # likelihood below which a note is over
# What a head says is weighed with what the earliest says two frames after a note would have to have begun,
# and with whether the pitch sounds: own, earliest, sounding, bias. Fitted to onsets of renders kept from training.
ADVICE = dict(
    zip(
        LAGS, ((1, 0, 0, 0), (1.4, -0.7, 0.35, -0.6), (1, -0.3, 0.3, -1.1), (1, 0.15, 0.15, 0.7)), strict=True
    )
)


def advised(net: NoteNet) -> NoteNet:
    """The net whose heads for onsets have taken advice; they are linear, and so is their sum."""
    earliest, sounding = 0, len(LAGS)
    weight, bias = net.head.weight.detach().clone(), net.head.bias.detach().clone()
    with torch.no_grad():
        for row, lag in enumerate(LAGS):
            own, first, sounds, more = ADVICE[lag]
            for part, out in ((weight, net.head.weight), (bias, net.head.bias)):
                out[row] = own * part[row] + first * part[earliest] + sounds * part[sounding]
            net.head.bias[row] += more
    return net


def export(work: Path, name: str, folder: Path = WEIGHTS) -> None:
    """Write `notes.*` of the weights from a checkpoint."""
    net = advised(averaged(work / f"{name}.pt", NoteNet()))
    arrays = arrays_of(net)
    arrays["over"] = np.array([OVER], np.float32)
    corpus = Corpus(work, 99)
    felt = [fitted(corpus.scenes, lag) for lag in LAGS]
    arrays["touch.w"] = np.stack([weights for weights, _ in felt])
    arrays["touch.b"] = np.array([bias for _, bias in felt], np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "notes.npz", **arrays)
    streaming = Streaming(net).eval()
    memory = [torch.zeros(PAST - 1, CHANNELS, BINS), torch.zeros(HIDDEN, PITCHES), torch.zeros(1, WIDE)]
    torch.onnx.export(
        streaming, (torch.zeros(1, CHANNELS, BINS), *memory), str(folder / "notes.onnx"), dynamo=False,
        input_names=["x", "frames", "hidden", "all"], output_names=["y", "frames_", "hidden_", "all_"],
    )  # fmt: skip
    streaming.eval()  # the exporter may leave it training
    x = np.concatenate(list(corpus.batch(-(-GOLDEN // TIME)).x))[:GOLDEN]
    y = []
    with torch.no_grad():
        for frame in x:
            out, *memory = streaming(torch.from_numpy(frame[None]), *memory)
            y.append(out.numpy())
    np.savez_compressed(folder / "notes.golden.npz", x=x, y=np.stack(y))
    seal(folder, ("notes.npz", "notes.onnx", "notes.golden.npz"))
