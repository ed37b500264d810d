# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights are taken as they were exported, or refused with a reason."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.errors import ModelError
from bridge.hearing import hearing
from bridge.preset import load
from models.archive import SUMS, WeightsError, read
from models.drums import checked
from tests.drumweights import random_arrays


def export(folder: Path, **arrays: Any) -> Path:
    """A file of weights, and the sums beside it."""
    path = folder / "drums.npz"
    np.savez(path, **arrays)
    (folder / SUMS).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  drums.npz\n")
    return path


def test_what_was_exported_comes_back(tmp_path: Path) -> None:
    arrays = random_arrays()
    got = read(export(tmp_path, **arrays, extra=np.arange(3)))
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)
    np.testing.assert_array_equal(got["extra"], np.arange(3))
    np.testing.assert_array_equal(checked(got).lags, arrays["lags"])


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    path = export(tmp_path, **random_arrays())
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="SHA-256"):
        read(path)


def test_files_that_are_not_there_or_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        read(tmp_path / "drums.npz")
    path = export(tmp_path, **random_arrays())
    (tmp_path / SUMS).write_text("")
    with pytest.raises(WeightsError, match="does not know"):
        read(path)
    (tmp_path / SUMS).unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        read(path)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = export(tmp_path, evil=np.array([{"a": 1}], object))
    with pytest.raises(WeightsError, match="no arrays"):
        read(path)
    path.write_bytes(b"not an archive")
    (tmp_path / SUMS).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  drums.npz\n")
    with pytest.raises(WeightsError, match="no arrays"):
        read(path)


@pytest.mark.parametrize("name", random_arrays())
def test_every_array_is_needed(name: str) -> None:
    arrays = random_arrays()
    del arrays[name]
    with pytest.raises(WeightsError, match=name):
        checked(arrays)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mu", np.zeros(3, np.float32)),
        ("gru.w_hh", np.zeros((288, 95), np.float32)),
        ("dense.b", np.float32(0)),
        ("dense.b", np.full(96, np.nan, np.float32)),
        ("sd", np.zeros(224, np.float32)),
        ("lags", np.array([0, 2, 1, 5, 14])),
        ("mu", np.full(224, "x")),
    ],
)
def test_arrays_of_another_net_are_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(WeightsError):
        checked(random_arrays() | {name: value})


def test_a_daemon_without_its_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise WeightsError("drums.npz is not there")

    monkeypatch.setattr("models.drums.load", refuse)
    with pytest.raises(ModelError, match="is not there") as caught:
        hearing(load("drums"), 48_000)
    assert "again" in caught.value.hint
