# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the drum ear, as they were exported: checked, or refused."""

import hashlib
import io
from functools import cache
from pathlib import Path

import numpy as np

from dsp.drumnet import DrumWeights, drum_weights, shapes

FOLDER = Path(__file__).resolve().parent / "weights"
NAME = "drums.npz"
SUMS = "SHA256SUMS"  # of every file beside it, as `sha256sum` writes them


class WeightsError(Exception):
    """A file of weights is missing, damaged, or of another net."""


def sums(folder: Path = FOLDER) -> dict[str, str]:
    """What each file beside the weights must hash to."""
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
        return {
            name.strip().lstrip("*"): digest for digest, name in (line.split(maxsplit=1) for line in lines)
        }
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / SUMS} cannot be read: {error}") from None


def read(path: Path = FOLDER / NAME) -> dict[str, np.ndarray]:
    """All arrays of an exported file whose bytes are those that were exported."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
    expected = sums(path.parent).get(path.name)
    if expected is None:
        raise WeightsError(f"{path.parent / SUMS} does not know {path.name}")
    if hashlib.sha256(data).hexdigest() != expected:
        raise WeightsError(f"{path} is not the file that was exported: its SHA-256 differs")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # noqa: BLE001 - whatever a damaged archive makes numpy raise
        raise WeightsError(f"{path} holds no arrays: {error}") from None


def checked(arrays: dict[str, np.ndarray]) -> DrumWeights:
    """Weights of the net in `dsp.drumnet`, if that is what the arrays are."""
    for name in ("conv_s.b", "dense.b", "gru.w_hh", "lags"):
        if name not in arrays or not arrays[name].ndim:
            raise WeightsError(f"the weights of the drum ear lack {name}")
    kernels, layer, lags = (len(arrays[name]) for name in ("conv_s.b", "dense.b", "lags"))
    for name, shape in shapes(kernels, layer, arrays["gru.w_hh"].shape[-1], lags).items():
        if name not in arrays:
            raise WeightsError(f"the weights of the drum ear lack {name}")
        array = arrays[name]
        if array.shape != shape:
            raise WeightsError(f"{name} of the drum ear has shape {array.shape}, not {shape}")
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise WeightsError(f"{name} of the drum ear holds what is no number")
    if not (arrays["sd"] > 0).all() or not ((arrays["threshold"] > 0) & (arrays["threshold"] < 1)).all():
        raise WeightsError("the drum ear's deviations or thresholds are out of range")
    if not (np.diff(arrays["lags"]) > 0).all() or arrays["lags"][0] < 0:
        raise WeightsError("the drum ear's lags do not ascend")
    return drum_weights(arrays)


@cache
def weights() -> dict[str, np.ndarray]:
    """All arrays that were exported with the drum ear, by name."""
    return read()


@cache
def load() -> DrumWeights:
    """The drum ear that is shipped."""
    return checked(weights())
