# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells that a note of one line has begun: the weights that were exported, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from dsp.linenet import judged
from models.archive import FOLDER, WeightsError, read, sums
from models.line import NAME, checked, load


def test_the_golden_pair_is_reproduced() -> None:
    with np.load(FOLDER / "line.golden.npz", allow_pickle=False) as golden:
        x, y = golden["x"], golden["y"]
    weights = load()
    hidden = np.zeros(len(weights.out), np.float32)
    said = [judged(weights, row, hidden) for row in x]
    np.testing.assert_allclose(said, y, atol=1e-4)
    assert y.max() > 0.9 and y.min() < 0.1


def test_every_file_has_its_sum_and_a_card() -> None:
    assert {NAME, "line.golden.npz"} <= set(sums())
    assert Path(FOLDER / "line.md").is_file()


@pytest.mark.parametrize("name", ["hidden.w", "hidden.b", "out.w", "out.b", "asked"])
def test_every_array_is_needed(name: str) -> None:
    arrays = read(FOLDER / NAME)
    del arrays[name]
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        checked(arrays)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden.w", np.zeros((7, 32), np.float32)),
        ("hidden.b", np.float32(0)),
        ("out.w", np.full(32, np.nan, np.float32)),
        ("out.b", np.array(["x"])),
        ("asked", np.ones(1, np.float32)),
        ("asked", np.zeros(2, np.float32)),
    ],
)
def test_arrays_of_another_net_are_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(WeightsError):
        checked(read(FOLDER / NAME) | {name: value})
