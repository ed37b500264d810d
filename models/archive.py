# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of weights as they were exported: read and checked, or refused."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent / "weights"
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


def read(path: Path) -> dict[str, np.ndarray]:
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


def fitting(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], name: str) -> None:
    """Refuse arrays of other shapes, or that hold what is no number; `name` is said of them."""
    for key, shape in shapes.items():
        if key not in arrays:
            raise WeightsError(f"{name} lacks {key}")
        if arrays[key].shape != shape:
            raise WeightsError(f"{name}: {key} has shape {arrays[key].shape}, not {shape}")
        if arrays[key].dtype.kind not in "fi" or not np.isfinite(arrays[key]).all():
            raise WeightsError(f"{name}: {key} holds what is no number")


def measured(arrays: Mapping[str, np.ndarray], keys: Iterable[str], name: str) -> None:
    """Refuse arrays that lack those by whose size the others are judged."""
    for key in keys:
        if key not in arrays or not arrays[key].ndim:
            raise WeightsError(f"{name} lacks {key}")


def between(arrays: Mapping[str, np.ndarray], keys: Iterable[str], name: str, high: float = 1.0) -> None:
    """Refuse what is not between 0 and `high`, as likelihoods are; deviations are positive."""
    for key in keys:
        if not ((arrays[key] > 0) & (arrays[key] < high)).all():
            raise WeightsError(f"{name}: {key} is out of range")


def ascending(arrays: Mapping[str, np.ndarray], key: str, name: str) -> None:
    """Refuse lags that do not ascend from 0 or more."""
    if not (np.diff(arrays[key]) > 0).all() or arrays[key][0] < 0:
        raise WeightsError(f"{name}: {key} do not ascend")
