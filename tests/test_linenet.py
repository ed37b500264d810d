# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells that a note of one line has begun: the weights that were exported, and nothing else."""

import numpy as np

from dsp.linenet import judged
from models.archive import FOLDER
from models.line import load


def test_the_golden_pair_is_reproduced() -> None:
    with np.load(FOLDER / "line.golden.npz", allow_pickle=False) as golden:
        x, y = golden["x"], golden["y"]
    weights = load()
    hidden = np.zeros(len(weights.out), np.float32)
    said = [judged(weights, row, hidden) for row in x]
    np.testing.assert_allclose(said, y, atol=1e-4)
    assert y.max() > 0.9 and y.min() < 0.1
